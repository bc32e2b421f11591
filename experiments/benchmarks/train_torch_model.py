"""The model and the losses of its tasks once more, in PyTorch: what the peer of ``train`` trains.

The names of the modules are those of our parameters, the constant tables (position codes, pilots,
constellations) are ours. Real arithmetic throughout, a last axis of two for real and imaginary
part: no code is generated for complex numbers by its compiler. Constellation levels and both axes
of a symbol are one more axis, not a loop: fewer, larger operations.
"""

from typing import Any, NamedTuple

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

from wfm_jax.model import ModelConfig, positions, views
from wfm_jax.model.model import FILTER_RANK, LINK_STATE, view_times
from wfm_jax.signal import qam

NOISE_DOUBT_DB = (-1.0, 0.0, 1.0)


class Batch(NamedTuple):
    """What is read and what is asked for, as in :class:`wfm_jax.model.Batch`; complex numbers are
    float32[..., 2], flags and bits that enter a loss are float32."""

    views: dict[str, Tensor]
    visible: dict[str, Tensor]
    token: Tensor
    grid: Tensor
    has_grid: Tensor
    pilots: Tensor
    has_pilots: Tensor
    channel_ls: Tensor
    modulation: Tensor
    blind: Tensor
    bits: Tensor
    channel: Tensor
    n0: Tensor
    k_db: Tensor
    has_k: Tensor
    snr_db: Tensor
    delay_spread_s: Tensor
    doppler_hz: Tensor
    los: Tensor


class Tokenizer(nn.Module):
    """[batch, tokens, times, features] to [batch, tokens, width]."""

    time_code: Tensor
    place_code: Tensor

    def __init__(self, n_features: int, times: np.ndarray, places: np.ndarray, width: int):
        super().__init__()
        self.times = nn.Linear(n_features + times.shape[1], width)
        self.token = nn.Linear(width + places.shape[1], width)
        self.absent = nn.Parameter(torch.zeros(width))
        constants(self, time_code=times, place_code=places)

    def forward(self, view: Tensor, visible: Tensor) -> Tensor:
        code = self.time_code.expand(*view.shape[:2], -1, -1)
        hidden = F.relu(self.times(torch.cat([view, code], dim=-1)))
        shown = torch.where(visible[..., None], hidden.mean(dim=2), self.absent)
        code = self.place_code.expand(view.shape[0], -1, -1)
        return self.token(torch.cat([shown, code], dim=-1))


class Attention(nn.Module):
    """Multi-head self-attention by the library's own kernel."""

    def __init__(self, d_model: int, n_heads: int, head_dim: int):
        super().__init__()
        self.n_heads, inner = n_heads, n_heads * head_dim
        self.query, self.key, self.value = (nn.Linear(d_model, inner) for _ in range(3))
        self.out = nn.Linear(inner, d_model)

    def forward(self, x: Tensor) -> Tensor:
        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, d_model: int, width: int):
        super().__init__()
        self.up, self.down = nn.Linear(d_model, width), nn.Linear(width, d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        d = config.d_model
        self.attention_norm = nn.LayerNorm(d, eps=1e-6)
        self.attention = Attention(d, config.heads[layer], config.head_dim)
        self.mlp_norm = nn.LayerNorm(d, eps=1e-6)
        self.mlp = MLP(d, config.mlp_widths[layer])

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Model(nn.Module):
    """A batch to the outputs of every head, by the names of :class:`wfm_jax.model.Outputs`."""

    place_code: Tensor
    offset: Tensor
    data: Tensor
    doubt: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        d, patch, times = config.d_model, config.patch_subcarriers, view_times(config)
        places = positions.frequency_code(config)
        for view in config.views:
            code = positions.segment_code(config) if view == "iq" else places
            tokenizer = Tokenizer(views.n_features(config, view), times[view], code, d)
            self.add_module(f"embed_{view}", tokenizer)
        self.embed_modulation = nn.Parameter(torch.zeros(config.n_modulations + 1, d))
        for i in range(config.n_layers):
            self.add_module(f"block_{i}", Block(config, i))
        self.final_norm = nn.LayerNorm(d, eps=1e-6)
        self.head_element = nn.Linear(d, 4 * patch)
        located = d + positions.FREQUENCY_WAVES
        self.head_query = nn.Linear(located, 2 * FILTER_RANK * patch)
        self.head_key = nn.Linear(located, FILTER_RANK * patch)
        self.head_frame = nn.Linear(2 * d, config.n_modulations + len(LINK_STATE))
        offset = views.pilot_offsets(config.link, positions.symbol_times(config.link))
        data = np.flatnonzero(~config.link.pilot_mask.reshape(-1))
        doubt = 10.0 ** (np.asarray(NOISE_DOUBT_DB) / 10.0)
        constants(self, place_code=places, data=data)
        constants(self, offset=offset[:, None].astype(np.float32), doubt=doubt.astype(np.float32))
        for m in config.link.bits_per_symbol:
            constants(self, **{f"levels_{m}": np.sort(qam.axis_levels(m)[0])})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        frame, patches = self.encode(batch)
        return self.answer(batch, frame, patches)

    def encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        config, modules = self.config, dict(self.named_children())
        tokens = {v: modules[f"embed_{v}"](batch.views[v], batch.visible[v]) for v in config.views}
        segments = [tokens.pop("iq")] if "iq" in tokens else []
        # On the batch's device from the start: a CUDA graph holds nothing of the CPU.
        patches = batch.grid.new_zeros(len(batch.token), config.n_patches, config.d_model)
        patches = sum(tokens.values(), patches)
        frame = self.embed_modulation[batch.token][:, None]
        x = torch.cat([frame, patches, *segments], dim=1)
        for i in range(config.n_layers):
            x = modules[f"block_{i}"](x)
        x = self.final_norm(x)
        return x[:, 0], x[:, 1 : 1 + config.n_patches]

    def answer(self, batch: Batch, frame: Tensor, patches: Tensor) -> dict[str, Tensor]:
        n, n_modulations = len(frame), self.config.n_modulations
        summary = self.head_frame(torch.cat([frame, patches.mean(dim=1)], dim=-1))
        state = dict(zip(LINK_STATE, summary[:, n_modulations:].unbind(1), strict=True))

        places = self.place_code.expand(n, -1, -1)
        located = torch.cat([patches, places], dim=-1)
        query = self.head_query(located).reshape(n, -1, 2, FILTER_RANK)
        key = self.head_key(located).reshape(n, -1, FILTER_RANK)
        lines = batch.channel_ls + interpolate(query, key, batch.pilots)

        element = self.head_element(patches).reshape(n, -1, 4)
        middle = lines[:, 0] + 0.1 * element[..., :2]
        moving = torch.sigmoid(state["motion"] - 2.0)[:, None, None, None]
        channel = middle[:, None] + moving * self.offset[..., None] * lines[:, 1:]
        noise = element[:, None, :, 2] + element[:, None, :, 3] * self.offset.square()
        log_noise = -9.0 + 11.0 * torch.sigmoid(0.5 * noise)

        with torch.no_grad():
            evidence = self.log_likelihood(batch, channel, log_noise)
        trust = torch.sigmoid(state["trust"] - 1.0)
        return {
            "channel": channel,
            "log_noise": log_noise,
            "modulation": summary[:, :n_modulations] + trust[:, None] * evidence,
            "k_db": 7.0 + 8.0 * state["k_db"],
            "snr_db": 15.0 + 10.0 * state["snr_db"],
            "los": state["los"],
            "delay_spread_s": 50e-9 * torch.exp(0.5 * state["delay_spread_s"]),
            "doppler_hz": 10.0 * torch.exp(state["doppler_hz"]),
        }

    def equalise(self, batch: Batch, channel: Tensor, log_noise: Tensor) -> tuple[Tensor, Tensor]:
        """Data symbols [batch, n_data, 2] and the noise variance left on them [batch, n_data]."""
        parts = (batch.grid, channel, log_noise)
        y, h, log_noise = (x.flatten(1, 2)[:, self.data] for x in parts)
        gain = h.square().sum(-1) + 1e-4
        real = (y * h).sum(-1)
        imaginary = y[..., 1] * h[..., 0] - y[..., 0] * h[..., 1]
        symbols = torch.stack([real, imaginary], dim=-1) / gain[..., None]
        return symbols, torch.exp(log_noise) / gain

    def log_likelihood(self, batch: Batch, channel: Tensor, log_noise: Tensor) -> Tensor:
        symbols, noise = self.equalise(batch, channel, log_noise)
        symbols, scale = symbols[:, :, None], 1.0 / (noise[..., None] * self.doubt)[..., None]
        orders = self.config.link.bits_per_symbol
        levels = [self.get_buffer(f"levels_{m}") for m in orders]
        columns = [_log_evidence(symbols, scale, of_order) for of_order in levels]
        total = torch.logsumexp(torch.stack(columns, dim=-1).sum(dim=1), dim=1)
        behind = total.amax(dim=-1, keepdim=True) - total
        bounded = -30.0 * torch.log1p(behind / 30.0)
        return torch.where(batch.has_grid[:, None], bounded, 0.0)


def interpolate(query: Tensor, key: Tensor, pilots: Tensor) -> Tensor:
    """The filter over the pilots: query [batch, n_subcarriers, 2, rank], key [batch, n_subcarriers,
    rank] and pilots [batch, n, n_pilots, 2] to [batch, n, n_subcarriers, 2]."""
    n_pilots = pilots.shape[2]
    key = key[:, :: key.shape[1] // n_pilots] / n_pilots
    weights = torch.einsum("bfcr,bpr->bcfp", query, key)
    parts = torch.einsum("bcfp,blpd->blfcd", weights, pilots)
    real = parts[..., 0, 0] - parts[..., 1, 1]
    return torch.stack([real, parts[..., 0, 1] + parts[..., 1, 0]], dim=-1)


def constants(module: nn.Module, **arrays: Any) -> None:
    """Gives a module tables that are no parameters."""
    for name, array in arrays.items():
        module.register_buffer(name, torch.tensor(array), persistent=False)


def _log_evidence(symbols: Tensor, scale: Tensor, levels: Tensor) -> Tensor:
    """[batch, n_data, n], of symbols [batch, n_data, 1, 2], one over the n noise variances thought
    possible [batch, n_data, n, 1], and the rising levels of one axis."""
    least, step = levels[0], levels[1] - levels[0]
    nearest = ((symbols - least) / step).round().clamp(0, len(levels) - 1)
    top = -(symbols - (least + step * nearest)).square() * scale
    distance = symbols[..., None] - levels
    total = torch.exp(-distance.square() * scale[..., None] - top[..., None]).sum(dim=-1)
    return (torch.log(total / len(levels)) + top).sum(dim=-1) + torch.log(scale[..., 0])
