"""The losses of the model's tasks once more, in PyTorch, with the exact demapper that bits need."""

from collections.abc import Mapping

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

from experiments.benchmarks.train_torch_model import Batch, Model, constants
from wfm_jax.model import ModelConfig
from wfm_jax.signal import qam
from wfm_jax.signal.link import LinkConfig


class Losses(nn.Module):
    """Model and losses: a batch to the weighted sum and the tasks' losses."""

    level: Tensor
    prior: Tensor
    label: Tensor
    used: Tensor

    def __init__(self, config: ModelConfig, weights: dict[str, float]):
        super().__init__()
        self.model, self.weights = Model(config), weights
        self.frame_s = config.link.n_samples * config.link.sample_s
        constants(self, **_padded_levels(config.link))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        outputs = self.model(batch)
        losses = self.losses(batch, outputs | {"llr": self.llrs(batch, outputs)})
        weighted = [self.weights[name] * loss for name, loss in losses.items()]
        return torch.stack(weighted).sum(), losses

    def losses(self, batch: Batch, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tasks' losses of a model's outputs and the ``llr`` behind them."""
        classes = F.cross_entropy(outputs["modulation"], batch.modulation, reduction="none")
        bits = F.binary_cross_entropy_with_logits(outputs["llr"], batch.bits, reduction="none")
        los = F.binary_cross_entropy_with_logits(outputs["los"], batch.los)
        return {
            "modulation": self.mean_where(classes, batch.blind & batch.has_grid),
            "bits": self.used_bits_mean(batch, bits),
            "channel": self.channel_error(batch, outputs, batch.channel),
            "link": self.state_error(batch, outputs, batch._asdict()) + los,
        }

    def channel_error(self, batch: Batch, outputs: Mapping[str, Tensor], channel: Tensor) -> Tensor:
        error = (outputs["channel"] - channel).square().sum(-1).mean(dim=(1, 2))
        return self.mean_where(error / (0.5 * batch.n0 + 3e-4), batch.has_pilots)

    def state_error(
        self, batch: Batch, outputs: Mapping[str, Tensor], target: Mapping[str, Tensor]
    ) -> Tensor:
        """Squared errors of the link state, each a mean over the frames that show it."""
        k_error = (outputs["k_db"] - target["k_db"]) / 6.0
        snr_error = (outputs["snr_db"] - target["snr_db"]) / 8.0
        spread_error = _log_ratio(outputs["delay_spread_s"], target["delay_spread_s"]) / 0.5
        doppler_error = _log_ratio(outputs["doppler_hz"], target["doppler_hz"])
        return (
            self.mean_where(k_error.square(), batch.has_k)
            + snr_error.square().mean()
            + self.mean_where(spread_error.square(), batch.delay_spread_s > 0.0)
            + self.mean_where(doppler_error.square(), batch.doppler_hz * self.frame_s > 0.01)
        )

    def llrs(self, batch: Batch, outputs: Mapping[str, Tensor]) -> Tensor:
        """LLRs of the data bits, zero in unused slots: [batch, n_data, bits]."""
        symbols, noise = self.model.equalise(batch, outputs["channel"], outputs["log_noise"])
        level, prior, label, used = (
            table[batch.modulation] for table in (self.level, self.prior, self.label, self.used)
        )
        n, n_data = noise.shape
        distance = symbols.reshape(n, -1, 1) - level[:, None]
        scale = 1.0 / noise.repeat_interleave(2, dim=1)[..., None]
        metric = prior[:, None] - distance.square() * scale
        metric = metric - metric.amax(dim=-1, keepdim=True)
        excess = F.relu(-40.0 - metric)
        weight = torch.exp(metric.clamp(min=-40.0) - 4.0 * torch.log1p(excess / 4.0))
        one, zero = weight @ label, weight @ (1.0 - label)
        llr = torch.log(one + 1e-37) - torch.log(zero + 1e-37)
        llr = llr.reshape(n, n_data, 2, -1).transpose(2, 3).flatten(2)
        return torch.where(used[:, None] & batch.has_grid[:, None, None], llr, 0.0)

    def used_bits_mean(self, batch: Batch, nats: Tensor) -> Tensor:
        """Mean over the used bits in bits, frames with a grid weighted equally."""
        used = self.used[batch.modulation]
        total = (nats * used[:, None]).sum(dim=(1, 2)) / np.log(2.0)
        return self.mean_where(total / (nats.shape[1] * used.sum(dim=1)), batch.has_grid)

    @staticmethod
    def mean_where(x: Tensor, where: Tensor) -> Tensor:
        return torch.where(where, x, 0.0).sum() / where.sum().clamp(min=1)


def _padded_levels(link: LinkConfig) -> dict[str, np.ndarray]:
    """Tables over modulations for the demapper: levels, log priors and labels of one axis, padded
    to the largest constellation, and the bits in use."""
    orders = link.bits_per_symbol
    n, k = len(orders), max(orders) // 2
    level = np.zeros((n, 2**k), np.float32)
    prior = np.full((n, 2**k), -1e9, np.float32)
    label = np.zeros((n, 2**k, k), np.float32)
    for i, m in enumerate(orders):
        values, labels = qam.axis_levels(m)
        level[i, : values.size] = values
        prior[i, : values.size] = -np.log(values.size)
        label[i, : values.size, : m // 2] = labels
    used = np.arange(2 * k) < np.asarray(orders)[:, None]
    return {"level": level, "prior": prior, "label": label, "used": used}


def _log_ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.log(a.clamp(min=1e-12)) - torch.log(b.clamp(min=1e-12))
