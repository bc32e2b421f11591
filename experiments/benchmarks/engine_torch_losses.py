"""The engine's distillation step once more, in PyTorch: compressed weights and the losses on them.

As its users write it: keep masks and straight-through rounding are parametrizations of the modules'
weights, so that the module's code is that of the peer of ``train``. Numbers that differ from
configuration to configuration (bits, temperature, alpha) are tensors: its compiler makes one
program for all.
"""

from collections.abc import Mapping
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]
from torch.nn.utils import parametrize  # pyright: ignore[reportMissingImports]

from experiments.benchmarks.train_torch_losses import Losses
from experiments.benchmarks.train_torch_model import Batch, Model
from wfm_jax.model import ModelConfig


class Compressed(nn.Module):
    """Latent weight to what the forward pass sees: masked, then rounded to a grid of its own scale
    per output channel, with the gradient of the identity where a weight is kept."""

    keep: Tensor | None
    scale: Tensor
    per_step: Tensor
    most: Tensor

    def __init__(self, keep: Tensor | None, scale: Tensor, bits: Tensor):
        super().__init__()
        per_step = torch.where(scale == 0.0, 0.0, 1.0 / scale)
        buffers = {"keep": keep, "scale": scale, "per_step": per_step, "most": 2 ** (bits - 1) - 1}
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        kept = weight if self.keep is None else weight * self.keep
        integers = (kept * self.per_step).round().clamp(-self.most, self.most)
        return kept + (integers * self.scale - kept).detach()


class Distilled(nn.Module):
    """A student under compression: a batch and the teacher's answers to the loss.

    Args:
        config: of the student.
        teacher_config: of its teacher.
        weights: of the tasks.
        recipe: ``temperature`` and ``alpha``.
    """

    temperature: Tensor
    alpha: Tensor

    def __init__(
        self,
        config: ModelConfig,
        teacher_config: ModelConfig,
        weights: Mapping[str, float],
        recipe: Mapping[str, float],
    ):
        super().__init__()
        self.losses, self.teacher = Losses(config, dict(weights)), Model(teacher_config)
        self.teacher.requires_grad_(False)
        for name in ("temperature", "alpha"):
            self.register_buffer(name, torch.tensor(recipe[name]), persistent=False)

    def compress(
        self, keep: Mapping[str, Tensor], scale: Mapping[str, Tensor], bits: Mapping[str, Tensor]
    ) -> None:
        """Puts masks and grids in force, by the names of the student's parameters."""
        for name in scale:
            where, _, of = name.rpartition(".")
            method = Compressed(keep.get(name), scale[name], bits[name])
            # It is not called to see what it does to shapes: that would round the weights' start.
            module = self.losses.model.get_submodule(where)
            parametrize.register_parametrization(module, of, method, unsafe=True)

    def answer(self, batch: Batch) -> dict[str, Tensor]:
        """The teacher's answers, and the LLRs behind them."""
        with torch.no_grad():
            outputs = self.teacher(batch)
            return outputs | {"llr": self.losses.llrs(batch, outputs)}

    def forward(self, batch: Batch, teacher: dict[str, Tensor] | None = None) -> Tensor:
        """The loss; without the teacher's answers it is asked for them."""
        teacher = self.answer(batch) if teacher is None else teacher
        outputs = self.losses.model(batch)
        outputs = outputs | {"llr": self.losses.llrs(batch, outputs)}
        task = self._total(self.losses.losses(batch, outputs))
        distillation = self._total(self.distillation_losses(batch, outputs, teacher))
        return self.alpha * distillation + (1.0 - self.alpha) * task

    def distillation_losses(
        self, batch: Batch, outputs: Mapping[str, Tensor], teacher: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """As :func:`wfm_jax.train.losses.distillation_losses`."""
        losses, t = self.losses, self.temperature
        log_q, log_p = (F.log_softmax(x["modulation"] / t, dim=-1) for x in (outputs, teacher))
        classes = t.square() * F.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1)
        bits = t.square() * bernoulli_kl(outputs["llr"] / t, teacher["llr"] / t)
        los = t.square() * bernoulli_kl(outputs["los"] / t, teacher["los"] / t)
        return {
            "modulation": losses.mean_where(classes, batch.blind & batch.has_grid),
            "bits": losses.used_bits_mean(batch, bits),
            "channel": losses.channel_error(batch, outputs, teacher["channel"]),
            "link": losses.state_error(batch, outputs, teacher) + los.mean(),
        }

    def _total(self, losses: Mapping[str, Tensor]) -> Tensor:
        weighted = [self.losses.weights[name] * loss for name, loss in losses.items()]
        return torch.stack(weighted).sum()


def bernoulli_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL divergence of bits from their logits, in nats, elementwise."""
    p: Any = torch.sigmoid(teacher)
    cross = F.binary_cross_entropy_with_logits(student, p, reduction="none")
    return cross - F.binary_cross_entropy_with_logits(teacher, p, reduction="none")
