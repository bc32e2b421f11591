"""The forward pass in float64, written from the formulas of tokenizers, a pre-norm transformer and
the heads."""

import jax
import numpy as np
from scipy import special

from wfm_jax import compress
from wfm_jax.model import positions
from wfm_jax.signal import qam

RANK = 16


class Formulas:
    """The model of the given parameters.

    ``encode(inputs)`` is float64[batch, n_tokens, d_model], ``answer(inputs)`` all outputs by name.
    """

    def __init__(self, config, params):
        self.config, self.link = config, config.link
        self.params = {
            path: np.asarray(leaf, np.float64) for path, leaf in compress.flatten(params).items()
        }

    def dense(self, name, x):
        return x @ self.params[f"{name}/kernel"] + self.params[f"{name}/bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        return x * self.params[f"{name}/scale"] + self.params[f"{name}/bias"]

    def times(self, view):
        """Codes of the times within a token of a view; an iq segment is a single time."""
        if view == "iq":
            return np.zeros((1, positions.TIME_WAVES))
        of = {
            "grid": positions.symbol_times,
            "csi": positions.pilot_times,
            "spectrogram": positions.window_times,
        }
        return positions.time_code(of[view](self.link))

    def tokens(self, view, shown, visible):
        """A rectified layer of each time, their mean or the absent vector, and a layer with the
        token's place."""
        code = np.broadcast_to(self.times(view), (*shown.shape[:3], positions.TIME_WAVES))
        hidden = self.dense(f"embed_{view}/times", np.concatenate([shown, code], axis=-1))
        hidden = np.maximum(hidden, 0.0).mean(axis=2)
        hidden = np.where(visible[..., None], hidden, self.params[f"embed_{view}/absent"])
        code_of = positions.segment_code if view == "iq" else positions.frequency_code
        code = code_of(self.config)
        code = np.broadcast_to(code, (len(shown), *code.shape))
        return self.dense(f"embed_{view}/token", np.concatenate([hidden, code], axis=-1))

    def encode(self, inputs):
        inputs = jax.tree.map(np.asarray, inputs)
        tokens = {
            view: self.tokens(view, shown.astype(np.float64), inputs.visible[view])
            for view, shown in inputs.views.items()
        }
        frame = self.params["embed_modulation"][inputs.modulation][:, None]
        patches = np.zeros((len(frame), self.config.n_patches, self.config.d_model))
        patches = patches + sum(tokens[view] for view in tokens if view != "iq")
        x = np.concatenate([frame, patches, *([tokens["iq"]] if "iq" in tokens else [])], axis=1)
        return self.blocks(x)

    def blocks(self, x):
        for i, heads in enumerate(self.config.heads):
            x = x + self.attention(f"block_{i}", heads, x)
            hidden = self.dense(f"block_{i}/mlp/up", self.norm(f"block_{i}/mlp_norm", x))
            gelu = np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3))
            x = x + self.dense(f"block_{i}/mlp/down", 0.5 * hidden * (1 + gelu))
        return self.norm("final_norm", x)

    def attention(self, block, heads, x):
        y, dim = self.norm(f"{block}/attention_norm", x), self.config.head_dim
        parts = [self.dense(f"{block}/attention/{name}", y) for name in ("query", "key", "value")]
        mixed = []
        for h in range(heads):
            q, k, v = (part[..., dim * h : dim * h + dim] for part in parts)
            mixed.append(special.softmax(q @ np.swapaxes(k, 1, 2) / np.sqrt(dim), axis=-1) @ v)
        return self.dense(f"{block}/attention/out", np.concatenate(mixed, axis=-1))

    def answer(self, inputs):
        x, n, m = self.encode(inputs), self.config.n_patches, self.config.n_modulations
        patches = x[:, 1 : 1 + n]
        summary = self.dense("head_frame", np.concatenate([x[:, 0], patches.mean(axis=1)], axis=-1))
        k, snr, los, spread, doppler, motion, trust = summary[:, m:].T
        lines = self.lines(inputs, patches)
        channel, log_noise = self.elements(lines, patches, special.expit(motion - 2.0))
        evidence = self.evidence(inputs, channel, log_noise)
        behind = evidence.max(axis=1, keepdims=True) - evidence
        bounded = -30.0 * np.log1p(behind / 30.0) * np.asarray(inputs.has_grid)[:, None]
        return {
            "channel": channel,
            "log_noise": log_noise,
            "modulation": summary[:, :m] + special.expit(trust - 1.0)[:, None] * bounded,
            "k_db": 7.0 + 8.0 * k,
            "snr_db": 15.0 + 10.0 * snr,
            "los": los,
            "delay_spread_s": 50e-9 * np.exp(0.5 * spread),
            "doppler_hz": 10.0 * np.exp(doppler),
        }

    def lines(self, inputs, patches):
        """The LS line over time plus a filter over the pilots."""
        batch, n_subcarriers = len(patches), self.link.n_subcarriers
        code = positions.frequency_code(self.config)
        code = np.broadcast_to(code, (batch, *code.shape))
        located = np.concatenate([patches, code], axis=-1)
        query = self.dense("head_query", located).reshape(batch, n_subcarriers, 2, RANK)
        key = self.dense("head_key", located).reshape(batch, n_subcarriers, RANK)
        key = key[:, :: self.link.pilot_spacing]
        weights = np.einsum("bfcr,bpr->bcfp", query, key) / key.shape[1]
        pilots = np.asarray(inputs.pilots, np.complex128)
        lines = np.asarray(inputs.channel_ls, np.complex128)
        return lines + np.einsum("bfp,blp->blf", weights[:, 0] + 1j * weights[:, 1], pilots)

    def elements(self, lines, patches, moving):
        """Channel and log noise: the line, whose change counts for a share, plus a correction;
        noise that grows with the square of the time."""
        element = self.dense("head_element", patches)
        element = element.reshape(len(patches), self.link.n_subcarriers, 4)
        real, imag, noise, spread = np.moveaxis(element, -1, 0)
        middle = lines[:, 0] + 0.1 * (real + 1j * imag)
        half_frames = np.arange(self.link.n_symbols) - np.mean(self.link.pilot_symbols)
        half_frames = half_frames[:, None] / (0.5 * self.link.n_symbols)
        channel = middle[:, None] + moving[:, None, None] * half_frames * lines[:, 1:]
        noise = noise[:, None] + spread[:, None] * half_frames**2
        return channel, -9.0 + 11.0 * special.expit(0.5 * noise)

    def evidence(self, inputs, channel, log_noise):
        """Log likelihood of each constellation, over all of its points and all data elements; the
        noise may as well be 1 dB less or more."""
        data = ~self.link.pilot_mask
        y, h = np.asarray(inputs.grid, np.complex128)[:, data], channel[:, data]
        gain = np.abs(h) ** 2 + 1e-4
        symbols, n0 = y * h.conj() / gain, np.exp(log_noise[:, data]) / gain
        rows = []
        for noise in (n0 * 10**-0.1, n0, n0 * 10**0.1):
            for m in self.link.bits_per_symbol:
                points = np.asarray(qam.constellation(m))
                metric = [-(np.abs(symbols - point) ** 2) / noise for point in points]
                likelihood = special.logsumexp(metric, axis=0) - m * np.log(2.0) - np.log(noise)
                rows.append(likelihood.sum(axis=1))
        rows = np.array(rows).reshape(3, len(self.link.bits_per_symbol), -1)
        return special.logsumexp(rows, axis=0).T
