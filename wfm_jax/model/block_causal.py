"""The model over a coherence block: pilots first, then one OFDM symbol after the other.

The same parameters as the model of whole frames, with other tokens. There a token spans all times
of the frame (a deep set, which reads any number of them); here it spans one, and the tokens come in
groups of ``n_tokens``, each a frame token and the patches:

- the first group is what the pilots show: csi, the grid being absent;
- each OFDM symbol is a group: what the grid shows at that one time, and csi again.

Attention is block-causal: a group attends to itself and to all before it. The answers of a symbol
therefore depend on the pilots, the symbols before it and itself. Everything else keeps to that too:
gain and noise level are those of the pilots, the filter over the pilots is made by the first group,
a symbol's correction of the channel and its noise by the symbol's own tokens, and the evidence of
the constellations is summed over the symbols so far.

A block starts when the pilots of the frame are known, all of them: with a pilot symbol late in the
frame, an answer to an earlier symbol waits for it, as an estimate interpolated between pilots does.
A link whose pilots are in its first symbol waits for nothing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.model import positions, views
from wfm_jax.model.config import ModelConfig
from wfm_jax.model.model import WirelessModel, link_state, log_noise_of
from wfm_jax.model.outputs import (
    N_DOUBTS,
    Outputs,
    equalise,
    evidence_in_doubt,
    weigh_evidence,
)
from wfm_jax.model.points import At, unchanged

VIEWS = ("grid", "csi")


class Pilots(NamedTuple):
    """What a coherence block starts with.

    Attributes:
        csi: complex64[batch, n_pilot_symbols, n_pilots_each], LS at the pilots, timing aligned.
        modulation: int32[batch], index of the known modulation, ``n_modulations`` where blind.
    """

    csi: jax.Array
    modulation: jax.Array


class Known(NamedTuple):
    """What the pilots say before any token meets another; of pilots scaled to unit rms.

    Attributes:
        gain: float32[batch], what scales them.
        pilots, channel_ls: as in :class:`wfm_jax.model.Inputs`.
        level: float32[batch], noise level as the tokenizers read it.
        frame: float32[batch, d_model], the frame token.
        csi: float32[batch, n_patches, d_model], what csi shows of each patch.
    """

    gain: jax.Array
    pilots: jax.Array
    channel_ls: jax.Array
    level: jax.Array
    frame: jax.Array
    csi: jax.Array


class Symbols(NamedTuple):
    """What is fixed of OFDM symbols: ``code`` float32[n, TIME_WAVES] of their times, ``is_pilot``
    float32[n, n_subcarriers], ``offset`` float32[n] from the mean pilot symbol in half frames."""

    code: np.ndarray | jax.Array
    is_pilot: np.ndarray | jax.Array
    offset: np.ndarray | jax.Array


def full_pass(model: WirelessModel, inputs: views.Inputs, at: At = unchanged) -> Outputs:
    """The answers to a frame: channel and noise of each symbol, modulation and link state as they
    are after the last one; ``at`` is called at every point."""
    return latest(every_answer(model, inputs, at))


def every_answer(model: WirelessModel, inputs: views.Inputs, at: At = unchanged) -> Outputs:
    """All answers at every symbol of a frame, axes [batch, n_symbols] in front of every field.

    Channel and noise are in the units of ``inputs``, and follow them: of inputs of twice the
    amplitude the channel is twice as large, so that nothing hangs on the gain of the whole frame.
    """
    config, symbols = model.config, all_symbols(model.config)
    known = listen(model, pilots_of(config, inputs), inputs.visible["csi"])
    elements = inputs.grid * known.gain[:, None, None]
    later = symbol_tokens(model, known, symbols, elements, inputs.visible["grid"])
    x = jnp.concatenate([first_tokens(model, known)[:, None], later], axis=1)
    group = np.arange(x.shape[1]).repeat(config.n_tokens)
    visible = group <= group[:, None]
    tokens = x.reshape(x.shape[0], -1, config.d_model)
    tokens = model.run_blocks(tokens, at, lambda layer, k, v: (k, v, visible)).reshape(x.shape)
    lines = model.filter_pilots(tokens[:, 0, 1:], known.channel_ls, known.pilots)
    before = no_evidence(config, x.shape[0])
    heard = inputs.has_grid
    outputs, _ = answer(model, lines, symbols, tokens[:, 1:], elements, heard, before)
    return in_units_of(known.gain, outputs)


def latest(outputs: Outputs) -> Outputs:
    """Of answers at n symbols: channel and noise of all, the rest as it is at the last."""
    return Outputs(*outputs[:2], *(x[:, -1] for x in outputs[2:]))


def in_units_of(gain: jax.Array, outputs: Outputs) -> Outputs:
    """Channel and noise of answers [batch, n, ...] as they were before ``gain``, float32[batch]."""
    gain = gain[:, None, None]
    channel, log_noise = outputs.channel / gain, outputs.log_noise - 2.0 * jnp.log(gain)
    return outputs._replace(channel=channel, log_noise=log_noise)


def pilots_of(config: ModelConfig, inputs: views.Inputs) -> Pilots:
    """The pilots among a frame's inputs, as its csi view shows them."""
    view = jnp.moveaxis(inputs.views["csi"], 2, 1)
    shown = view.reshape(*view.shape[:2], config.link.n_subcarriers, -1)
    at_pilots = shown[:, :, :: config.link.pilot_spacing]
    return Pilots(jax.lax.complex(at_pilots[..., 0], at_pilots[..., 1]), inputs.modulation)


def all_symbols(config: ModelConfig) -> Symbols:
    """Those of a frame."""
    times = positions.symbol_times(config.link)
    offset = views.pilot_offsets(config.link, times).astype(np.float32)
    return Symbols(positions.time_code(times), config.link.pilot_mask.astype(np.float32), offset)


def listen(model: WirelessModel, pilots: Pilots, visible: jax.Array) -> Known:
    """Reads the pilots; ``visible`` bool[batch, n_patches] says where tokens are shown csi."""
    config = model.config
    power = jnp.mean(jnp.square(jnp.abs(pilots.csi)), axis=(1, 2))
    gain = jax.lax.rsqrt(power + 1e-30)
    csi = pilots.csi * gain[:, None, None]
    line, channel_ls = views.pilot_line(config.link, csi)
    level = views.noise_level(csi)
    view = views.to_patches(config, views.csi_features(config.link, csi, level))
    times = positions.time_code(positions.pilot_times(config.link))
    shown = model.tokenizer("csi")(view, visible, times, positions.frequency_code(config))
    frame = model.embed_modulation[...][pilots.modulation]
    return Known(gain, line, channel_ls, level, frame, shown)


def first_tokens(model: WirelessModel, known: Known) -> jax.Array:
    """The group of the pilots, float32[batch, n_tokens, d_model]."""
    config, batch = model.config, known.frame.shape[0]
    nothing = jnp.zeros((batch, config.n_patches, 1, views.n_features(config, "grid")))
    hidden, code = jnp.zeros((batch, config.n_patches), bool), np.zeros((1, positions.TIME_WAVES))
    absent = model.tokenizer("grid")(nothing, hidden, code, positions.frequency_code(config))
    return jnp.concatenate([known.frame[:, None], absent + known.csi], axis=1)


def symbol_tokens(
    model: WirelessModel, known: Known, symbols: Symbols, elements: jax.Array, visible: jax.Array
) -> jax.Array:
    """The groups of n OFDM symbols, float32[batch, n, n_tokens, d_model].

    Args:
        model: the model.
        known: what the pilots said.
        symbols: which symbols.
        elements: complex64[batch, n, n_subcarriers], scaled by the pilots' gain.
        visible: bool[batch, n_patches], where the grid is shown.
    """
    config, (batch, n) = model.config, elements.shape[:2]
    shown = views.grid_features(elements, known.channel_ls[:, :1], known.level, symbols.is_pilot)
    view = jnp.moveaxis(views.to_patches(config, shown), 2, 1)
    tokens = model.tokenizer("grid")(
        view.reshape(batch, n * config.n_patches, 1, -1),
        jnp.tile(visible, (1, n)),
        jnp.repeat(symbols.code, config.n_patches, axis=0)[:, None],
        np.tile(positions.frequency_code(config), (n, 1)),
    )
    patches = tokens.reshape(batch, n, config.n_patches, -1) + known.csi[:, None]
    frame = jnp.broadcast_to(known.frame[:, None, None], (batch, n, 1, config.d_model))
    return jnp.concatenate([frame, patches], axis=2)


def no_evidence(config: ModelConfig, batch: int) -> jax.Array:
    """That of the constellations before the first symbol, zeros float32[batch, N_DOUBTS,
    n_modulations]."""
    return jnp.zeros((batch, N_DOUBTS, config.n_modulations))


def answer(
    model: WirelessModel,
    lines: jax.Array,
    symbols: Symbols,
    tokens: jax.Array,
    elements: jax.Array,
    heard: jax.Array,
    evidence: jax.Array,
) -> tuple[Outputs, jax.Array]:
    """All heads at n OFDM symbols in a row.

    Args:
        model: the model.
        lines: complex64[batch, 2, n_subcarriers], the filtered pilots.
        symbols: which symbols.
        tokens: float32[batch, n, n_tokens, d_model], of the encoder.
        elements: complex64[batch, n, n_subcarriers], scaled by the pilots' gain.
        heard: bool[batch], whether ``elements`` are known.
        evidence: float32[batch, N_DOUBTS, n_modulations], of the symbols before.

    Returns:
        The answers at each symbol, axes [batch, n] in front, and the evidence after the last.
    """
    batch, n = elements.shape[:2]
    each = tokens.reshape(batch * n, *tokens.shape[2:])

    def unfold(x: jax.Array) -> jax.Array:
        return x.reshape(batch, n, *x.shape[1:])

    opinion, state = jax.tree.map(unfold, model.summarise(each[:, 0], each[:, 1:]))
    real, imag, noise, spread = jnp.moveaxis(unfold(model.of_elements(each[:, 1:])), -1, 0)
    offset = jnp.asarray(symbols.offset)[:, None]
    moving = jax.nn.sigmoid(state["motion"] - 2.0)[..., None]
    channel = lines[:, :1] + 0.1 * jax.lax.complex(real, imag) + moving * offset * lines[:, 1:]
    log_noise = log_noise_of(noise + spread * jnp.square(offset))

    columns = evidence_in_doubt(model.config.link, *equalise(elements, channel, log_noise))
    counts = heard[:, None, None] & (jnp.asarray(symbols.is_pilot) == 0.0)
    sums = [jnp.sum(jnp.where(counts, column, 0.0), axis=-1) for column in columns]
    in_doubt = jnp.cumsum(jnp.stack(sums, axis=-1), axis=2)
    in_doubt = in_doubt + jnp.moveaxis(evidence, 1, 0)[:, :, None]
    trust = jax.nn.sigmoid(state["trust"] - 1.0)[..., None]
    modulation = opinion + trust * jax.lax.stop_gradient(weigh_evidence(in_doubt))
    outputs = Outputs(channel, log_noise, modulation, **link_state(state))
    return outputs, jnp.moveaxis(in_doubt[:, :, -1], 0, 1)
