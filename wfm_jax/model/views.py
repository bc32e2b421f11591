"""Views of a frame as a network reads them: classical preprocessing, done once for all students.

Gain control (every view over the frame's rms), timing alignment, and the LS channel interpolated
between the pilots: what any receiver does before it thinks. No parameters here.

Any subset of the views may be present. What classical preprocessing can still make of the present
ones, it makes: the resource elements to demap from the samples where there is no grid, the pilots
from the elements where there is no csi. The tokens of an absent view are missing all the same.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.model import positions
from wfm_jax.model.config import VIEWS, ModelConfig
from wfm_jax.signal import link, ofdm, receivers

HANN_POWER = 0.375  # mean square of the spectrogram's window


class Inputs(NamedTuple):
    """What a model is applied to.

    Attributes:
        views: by name, float32[batch, tokens, times, features]: what each token of a view shows at
            each of its times. Frequency-aligned views have ``n_patches`` tokens, ``iq`` has
            ``n_segments`` of a single time.
        visible: by name, bool[batch, tokens]: tokens that are there, neither absent nor masked.
        modulation: int32[batch], index of the known modulation, ``n_modulations`` where blind.
        grid: complex64[batch, n_symbols, n_subcarriers], aligned, unit rms; 0 where unknown.
        has_grid: bool[batch], whether ``grid`` is known.
        pilots: complex64[batch, 2, n_pilots_each], LS at the pilots: their mean over the pilot
            symbols, and the change over half a frame of the straight line through them (0 for a
            single pilot symbol); 0 where unknown.
        has_pilots: bool[batch], whether ``pilots`` are known.
        channel_ls: complex64[batch, 2, n_subcarriers], ``pilots`` interpolated over frequency.
    """

    views: dict[str, jax.Array]
    visible: dict[str, jax.Array]
    modulation: jax.Array
    grid: jax.Array
    has_grid: jax.Array
    pilots: jax.Array
    has_pilots: jax.Array
    channel_ls: jax.Array


class Received(NamedTuple):
    """The frame in the units of :class:`Inputs`: what labels must be multiplied by to compare.

    ``gain`` float32[batch] times ``ramp`` complex64[batch, n_subcarriers] takes a channel of the
    frame to one of the aligned, unit-rms frame.
    """

    gain: jax.Array
    ramp: jax.Array


def prepare(
    config: ModelConfig,
    frame: link.Frame,
    modulation: jax.Array,
    present: jax.Array | None = None,
) -> tuple[Inputs, Received]:
    """Turns a frame's views into inputs; reads no label of the frame.

    Args:
        config: the model; views it does not name are absent.
        frame: received frames; only the views are read. A view that is None is absent.
        modulation: int32[batch], the modulation token; ``config.n_modulations`` is blind.
        present: bool[batch, len(VIEWS)], which views each frame has, in the order of ``VIEWS``;
            default all.

    Raises:
        ValueError: frames without any view that the model reads.
    """
    given = [name for name in config.views if getattr(frame, name) is not None]
    _check_present(np.ones((1, len(VIEWS)), bool), given, config.views)
    batch = modulation.shape[0]
    has = {name: jnp.full((batch,), name in given) for name in VIEWS}
    if present is not None:
        _check_present(present, given, config.views)
        has = {name: present[:, i] & has[name] for i, name in enumerate(VIEWS)}
    raw = _elements(config.link, frame, has, given, everything=present is None)
    gain = _gain(frame, raw, has, given)
    scale = gain[:, None, None]
    aligned = receivers.align_timing(config.link, raw.grid * scale, raw.csi * scale)
    pilots, channel_ls = pilot_line(config.link, aligned.csi)
    patches = functools.partial(to_patches, config)
    views = {}
    level = noise_level(aligned.csi)
    if "grid" in config.views:
        is_pilot = config.link.pilot_mask.astype(np.float32)
        views["grid"] = patches(grid_features(aligned.grid, channel_ls[:, :1], level, is_pilot))
    if "csi" in config.views:
        views["csi"] = patches(csi_features(config.link, aligned.csi, level))
    if "spectrogram" in config.views:
        times = positions.window_times(config.link).size
        shape = (batch, times, config.link.n_subcarriers)
        power = frame.spectrogram if "spectrogram" in given else jnp.zeros(shape)
        decibel = power + 20.0 * jnp.log10(scale)
        views["spectrogram"] = patches(jnp.maximum(decibel, -40.0)[..., None] / 10.0)
    if "iq" in config.views:
        samples = frame.iq if "iq" in given else jnp.zeros((batch, config.link.n_samples))
        short = config.n_segments * config.iq_segment - config.link.n_samples
        samples = jnp.pad(samples * gain[:, None], ((0, 0), (0, short)))
        samples = samples.reshape(batch, config.n_segments, 1, config.iq_segment)
        views["iq"] = jnp.concatenate([samples.real, samples.imag], axis=-1)
    visible = {k: jnp.broadcast_to(has[k][:, None], view.shape[:2]) for k, view in views.items()}
    inputs = Inputs(
        views=views,
        visible=visible,
        modulation=modulation,
        grid=aligned.grid,
        has_grid=raw.has_grid,
        pilots=pilots,
        has_pilots=raw.has_csi,
        channel_ls=channel_ls,
    )
    return inputs, Received(gain, aligned.ramp)


def n_features(config: ModelConfig, view: str) -> int:
    """Features of a view's token at one time."""
    if view == "iq":
        return 2 * config.iq_segment
    return {"grid": 8, "csi": 5, "spectrogram": 1}[view] * config.patch_subcarriers


def to_patches(config: ModelConfig, view: jax.Array) -> jax.Array:
    """[batch, times, n_subcarriers, features] to [batch, n_patches, times, ...]."""
    shape = (*view.shape[:2], config.n_patches, config.patch_subcarriers * view.shape[-1])
    return jnp.moveaxis(view.reshape(shape), 1, 2)


def pilot_line(config: link.LinkConfig, csi: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``pilots`` and ``channel_ls`` of :class:`Inputs`, complex64[batch, 2, ...], of aligned csi of
    unit rms."""
    pilots = jnp.einsum("ls,bsp->blp", _line(config), csi)
    return pilots, jnp.einsum("fp,blp->blf", receivers.interpolation_matrix(config), pilots)


def grid_features(
    grid: jax.Array, channel: jax.Array, level: jax.Array, is_pilot: np.ndarray | jax.Array
) -> jax.Array:
    """What a ``grid`` token shows of each element: received, equalised, the LS channel of its
    subcarrier, the noise level, and whether it ``is_pilot``: float32[batch, n_symbols,
    n_subcarriers, 8]."""
    equalised = grid * jnp.conj(channel) / (jnp.square(jnp.abs(channel)) + 0.05)
    shown = [part for x in (grid, equalised, channel) for part in (x.real, x.imag)]
    shown += [level[:, None, None], jnp.asarray(is_pilot)]
    return jnp.stack([jnp.broadcast_to(x, grid.shape) for x in shown], axis=-1)


def csi_features(config: link.LinkConfig, csi: jax.Array, level: jax.Array) -> jax.Array:
    """What a ``csi`` token shows at each pilot symbol: the LS channel, how far it is from the mean
    over the pilot symbols, and the noise level: float32[batch, n_pilot_symbols, n_subcarriers, 5].
    """
    deviation = csi - jnp.mean(csi, axis=1, keepdims=True)
    weights = receivers.interpolation_matrix(config)
    shown = [jnp.einsum("fp,bsp->bsf", weights, x) for x in (csi, deviation)]
    parts = [part for x in shown for part in (x.real, x.imag)]
    return jnp.stack([*parts, jnp.broadcast_to(level[:, None, None], parts[0].shape)], axis=-1)


def noise_level(csi: jax.Array) -> jax.Array:
    """Log of a noise estimate, float32[batch], a third in size: the power of what is left of the
    pilots' deviation from their mean over the pilot symbols, once each symbol may turn and scale as
    a whole (a carrier offset does)."""
    mean = jnp.mean(csi, axis=1, keepdims=True)
    deviation = csi - mean
    energy = jnp.sum(jnp.square(jnp.abs(mean)), axis=2, keepdims=True) + 1e-9
    common = jnp.sum(deviation * jnp.conj(mean), axis=2, keepdims=True) / energy
    noise = jnp.mean(jnp.square(jnp.abs(deviation - common * mean)), axis=(1, 2))
    return 0.3 * jnp.log(noise + 1e-5)


def _check_present(present: jax.Array | np.ndarray, given: list[str], read: tuple[str, ...]):
    """ValueError where a frame has none of the views; of a traced ``present`` nothing is known."""
    try:
        of_given = np.asarray(present)[:, [VIEWS.index(name) for name in given]]
    except jax.errors.TracerArrayConversionError:
        return
    if not np.all(np.any(of_given, axis=1)):
        raise ValueError(f"a frame needs at least one of the views {', '.join(read)}")


class _Elements(NamedTuple):
    grid: jax.Array
    csi: jax.Array
    has_grid: jax.Array
    has_csi: jax.Array


def _elements(
    config: link.LinkConfig,
    frame: link.Frame,
    has: dict[str, jax.Array],
    given: list[str],
    *,
    everything: bool,
) -> _Elements:
    """Resource elements and pilots from whichever views are there; zeros from none.

    ``everything``: every frame has all the views in ``given``, so nothing need be made twice.
    """
    batch = has["grid"].shape[0]
    none = jnp.zeros((batch, config.n_symbols, config.n_subcarriers), jnp.complex64)
    grid = frame.grid if "grid" in given else none
    if "iq" in given and not (everything and "grid" in given):
        cp, n = config.cp_samples, config.n_subcarriers
        from_iq = ofdm.to_grid(frame.iq, config.n_symbols, cp, n)
        grid = jnp.where(has["grid"][:, None, None], grid, from_iq)
    has_grid = has["grid"] | has["iq"]
    grid = jnp.where(has_grid[:, None, None], grid, 0.0)
    csi = link.ls_at_pilots(config, grid)
    if "csi" in given:
        csi = jnp.where(has["csi"][:, None, None], frame.csi, csi)
    return _Elements(grid, csi, has_grid, has_grid | has["csi"])


def _gain(
    frame: link.Frame, raw: _Elements, has: dict[str, jax.Array], given: list[str]
) -> jax.Array:
    """One over the rms of the received elements, or of what else is there."""
    power = jnp.mean(jnp.square(jnp.abs(raw.grid)), axis=(1, 2))
    power = jnp.where(raw.has_grid, power, jnp.mean(jnp.square(jnp.abs(raw.csi)), axis=(1, 2)))
    if "spectrogram" in given:
        shown = jnp.mean(10.0 ** (frame.spectrogram / 10.0), axis=(1, 2)) / HANN_POWER
        power = jnp.where(raw.has_csi, power, shown)
    return jax.lax.rsqrt(power + 1e-30)


def _line(config: link.LinkConfig) -> np.ndarray:
    """Least squares line through the pilot symbols, float32[2, n_pilot_symbols]: its value at their
    mean time, and its change over half a frame."""
    at = pilot_offsets(config, positions.pilot_times(config))
    mean = np.full(at.size, 1.0 / at.size)
    return np.stack([mean, at / max(float(at @ at), 1e-9)]).astype(np.float32)


def pilot_offsets(config: link.LinkConfig, times: np.ndarray) -> np.ndarray:
    """Times in OFDM symbols, of any shape, as half frames from the mean pilot symbol."""
    return (times - positions.pilot_times(config).mean()) / (0.5 * config.n_symbols)
