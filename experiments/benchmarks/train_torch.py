"""The same training with PyTorch, as its users write it: the peer of the suite ``train``.

Module, loss, backward, clipping, fused Adam, a learning rate set every step; eager, or the loss
behind ``torch.compile``. Its frames are drawn beforehand and given to it as tensors.
"""

from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]

from experiments.benchmarks import machine
from experiments.benchmarks import train_torch_model as peer
from experiments.benchmarks.train_torch_losses import Losses
from wfm_jax import compress
from wfm_jax.model import Batch, ModelConfig
from wfm_jax.train.optimizer import FINAL_FRACTION, WARMUP_FRACTION
from wfm_jax.train.teacher import TeacherSettings


def versions() -> dict[str, str]:
    return {"torch": metadata.version("torch")}


class Loop:
    """A training at its start.

    Args:
        config: the model.
        settings: the training: weights, learning rate, steps.
        params: our parameters, copied.
        compiled: model and losses behind ``torch.compile``.
        device: "cpu" or "cuda:0".
    """

    def __init__(
        self,
        config: ModelConfig,
        settings: TeacherSettings,
        params: Any,
        *,
        compiled: bool = False,
        device: str = "cpu",
    ):
        self.settings, self.n_steps = settings, 0
        self.module = Losses(config, vars(settings.weights)).to(device)
        self.module.model.load_state_dict(by_their_names(params))
        self.run: Callable = self.module
        if compiled:
            self.run = torch.compile(self.module, dynamic=False)
        parameters = self.module.parameters()
        self.optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.99), fused=True)

    def step(self, batch: peer.Batch) -> dict[str, Tensor]:
        """One optimizer step; the tasks' losses before it."""
        rate = learning_rate_at(self.n_steps, self.settings.steps, self.settings.learning_rate)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss, losses = self.run(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimizer.step()
        self.n_steps += 1
        return {task: loss.detach() for task, loss in losses.items()}

    def call(self, batches: Sequence[peer.Batch]) -> Callable[[], dict[str, float]]:
        """A step on each batch; their mean losses, when they are done."""

        def steps() -> dict[str, float]:
            losses = [self.step(batch) for batch in batches]
            return {
                task: float(sum(each[task] for each in losses)) / len(losses) for task in losses[0]
            }

        return steps


def by_their_names(params: Any) -> dict[str, Tensor]:
    """Our parameters, or their gradients, by the names and in the layout of the module's."""
    named = {}
    for path, array in compress.flatten(params).items():
        *where, name = path.split("/")
        array = np.array(array)
        if name in ("kernel", "scale"):
            name, array = "weight", array.T
        named[".".join([*where, name])] = torch.from_numpy(np.ascontiguousarray(array))
    return named


def tensors(batch: Batch, device: str = "cpu") -> peer.Batch:
    """A batch of ours as the peer reads it."""
    batch = jax.tree.map(np.array, batch)
    inputs, frame = batch.inputs, batch.frame
    pairs = {
        "grid": inputs.grid,
        "pilots": inputs.pilots,
        "channel_ls": inputs.channel_ls,
        "channel": batch.channel,
    }
    values = {
        "views": inputs.views,
        "visible": inputs.visible,
        "token": inputs.modulation,
        "has_grid": inputs.has_grid,
        "has_pilots": inputs.has_pilots,
        "modulation": frame.modulation.astype(np.int64),
        "blind": batch.blind,
        "bits": frame.bits.astype(np.float32),
        "n0": batch.n0,
        "k_db": np.nan_to_num(frame.k_db),
        "has_k": np.isfinite(frame.k_db),
        "snr_db": frame.snr_db,
        "delay_spread_s": frame.delay_spread_s,
        "doppler_hz": frame.doppler_hz,
        "los": frame.los.astype(np.float32),
    }
    values |= {name: np.stack([x.real, x.imag], axis=-1) for name, x in pairs.items()}
    return peer.Batch(**jax.tree.map(lambda x: torch.tensor(x, device=device), values))


def learning_rate_at(step: int, total_steps: int, peak: float) -> float:
    """As :func:`wfm_jax.train.optimizer.learning_rate_at`."""
    progress = (step + 1) / total_steps
    fall = min(max((progress - WARMUP_FRACTION) / (1.0 - WARMUP_FRACTION), 0.0), 1.0)
    cosine = FINAL_FRACTION + (1.0 - FINAL_FRACTION) * 0.5 * (1.0 + np.cos(np.pi * fall))
    return float(peak * min(progress / WARMUP_FRACTION, cosine))


def matrix_operations(device: str = "cpu", size: int = 2048) -> float:
    """Operations per second of its float32 matrix product, best of five."""
    matrix = torch.ones(size, size, device=device) / size

    def product() -> None:
        torch.mm(matrix, matrix)
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    return 2.0 * size**3 / machine.best(product)
