"""The link: frames of random QAM over Rician multipath, with all their views and exact labels.

Everything runs inside one jitted program, in the time domain: bits, symbols, OFDM with cyclic
prefix, a tapped delay line applied sample by sample, noise, and back to the grid. All views are
therefore of the same draw, noise and prefix included.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import factory, fading, mixed_qam, ofdm, qam


@dataclasses.dataclass(frozen=True)
class LinkConfig:
    """A link, static: a different one is a different program.

    Attributes:
        n_symbols, n_subcarriers: size of the resource grid (the FFT uses every subcarrier).
        sample_rate_hz: subcarrier spacing times ``n_subcarriers``.
        cp_samples: length of the cyclic prefix.
        n_taps: sample-spaced taps of the delay line.
        pilot_symbols, pilot_spacing: OFDM symbols that carry a comb of pilots, and its spacing.
        bits_per_symbol: the constellations a frame's modulation is drawn from.
        snr_db_range: the nominal SNR is uniform between these.
        max_timing_offset: the receiver's window starts up to this many samples early, inside the
            prefix; uniform over whole samples. ``cp_samples - n_taps + 1`` at most.
        scenario: distribution of K, delay spread, LOS and speed.
        n_sinusoids: rays per scattered tap.
    """

    n_symbols: int = 8
    n_subcarriers: int = 32
    sample_rate_hz: float = 20e6
    cp_samples: int = 16
    n_taps: int = 10
    pilot_symbols: tuple[int, ...] = (1, 6)
    pilot_spacing: int = 2
    bits_per_symbol: tuple[int, ...] = (2, 4, 6, 8)
    snr_db_range: tuple[float, float] = (0.0, 30.0)
    max_timing_offset: int = 6
    scenario: factory.Scenario = factory.FACTORY_HALL
    n_sinusoids: int = 8

    def __post_init__(self):
        for name in ("n_symbols", "n_subcarriers", "sample_rate_hz", "n_taps", "n_sinusoids"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for m in self.bits_per_symbol:
            qam.check_bits_per_symbol(m)
        if not self.bits_per_symbol or list(self.bits_per_symbol) != sorted(
            set(self.bits_per_symbol)
        ):
            raise ValueError(
                f"bits_per_symbol must be a rising sequence, got {self.bits_per_symbol}"
            )
        if not all(0 <= s < self.n_symbols for s in self.pilot_symbols) or not self.pilot_symbols:
            raise ValueError(
                f"pilot_symbols must lie in 0...{self.n_symbols - 1}, got {self.pilot_symbols}"
            )
        if len(set(self.pilot_symbols)) < len(self.pilot_symbols):
            raise ValueError(f"pilot_symbols must be distinct, got {self.pilot_symbols}")
        if self.pilot_spacing < 1 or self.n_subcarriers % self.pilot_spacing:
            raise ValueError(
                f"pilot_spacing must divide n_subcarriers={self.n_subcarriers}, "
                f"got {self.pilot_spacing}"
            )
        if self.n_data == 0:
            raise ValueError(
                f"pilot_symbols={self.pilot_symbols} with pilot_spacing={self.pilot_spacing} leave "
                "no resource element for data"
            )
        if self.cp_samples > self.n_subcarriers:
            raise ValueError(
                f"cp_samples must be at most n_subcarriers={self.n_subcarriers}, "
                f"got {self.cp_samples}"
            )
        spare = self.cp_samples - self.n_taps + 1
        if spare < 0:
            raise ValueError(
                f"cp_samples={self.cp_samples} is shorter than the profile by {-spare} samples "
                f"(n_taps={self.n_taps})"
            )
        if not 0 <= self.max_timing_offset <= spare:
            raise ValueError(
                f"max_timing_offset must be in 0...{spare} (inside the cyclic prefix), "
                f"got {self.max_timing_offset}"
            )
        low, high = self.snr_db_range
        if not low <= high:
            raise ValueError(f"snr_db_range must be (low, high) with low <= high, got {low, high}")

    @property
    def sample_s(self) -> float:
        return 1.0 / self.sample_rate_hz

    @property
    def symbol_s(self) -> float:
        """Duration of an OFDM symbol with its prefix."""
        return (self.n_subcarriers + self.cp_samples) * self.sample_s

    @property
    def max_bits_per_symbol(self) -> int:
        return max(self.bits_per_symbol)

    @functools.cached_property
    def pilot_mask(self) -> np.ndarray:
        """bool[n_symbols, n_subcarriers]."""
        return ofdm.pilot_mask(
            self.n_symbols, self.n_subcarriers, self.pilot_symbols, self.pilot_spacing
        )

    @functools.cached_property
    def pilots(self) -> np.ndarray:
        """complex64[n_pilots], row-major over the mask."""
        return ofdm.pilot_values(int(self.pilot_mask.sum()))

    @property
    def n_data(self) -> int:
        """Resource elements that carry data."""
        return int((~self.pilot_mask).sum())


class Draw(NamedTuple):
    """What is drawn of each link before bits and noise; every entry has a leading [batch].

    ``modulation`` int32 indexes ``LinkConfig.bits_per_symbol``; ``snr_db`` is nominal:
    n0 = 10^(-snr_db/10) for a channel of unit mean power.
    """

    modulation: jax.Array
    snr_db: jax.Array
    timing_offset: jax.Array
    propagation: factory.Propagation


class Frame(NamedTuple):
    """Received frames: paired views of one draw, and exact labels.

    Views:
        iq: complex64[batch, n_symbols * (n_subcarriers + cp_samples)], time samples with prefix.
        grid: complex64[batch, n_symbols, n_subcarriers], received resource elements.
        csi: complex64[batch, n_pilot_symbols, n_subcarriers / pilot_spacing], LS at the pilots.
        spectrogram: float32[batch, n_windows, n_subcarriers], log power of ``iq`` in dB.

    Labels:
        modulation: int32[batch], index into ``LinkConfig.bits_per_symbol``.
        bits: int8[batch, n_data, m_max]; the first bits of a symbol are those in use.
        channel: complex64[batch, n_symbols, n_subcarriers].
        k_db: float32[batch], NaN without a LOS ray.
        delay_spread_s: float32[batch], rms, of the realised profile with its LOS ray.
        snr_db: float32[batch], mean |h|^2 over the grid, over n0.
        los: bool[batch].
        n0: float32[batch], variance of the complex noise per resource element.
        doppler_hz: float32[batch], maximal Doppler shift.
    """

    iq: jax.Array
    grid: jax.Array
    csi: jax.Array
    spectrogram: jax.Array
    modulation: jax.Array
    bits: jax.Array
    channel: jax.Array
    k_db: jax.Array
    delay_spread_s: jax.Array
    snr_db: jax.Array
    los: jax.Array
    n0: jax.Array
    doppler_hz: jax.Array


def draw_links(config: LinkConfig, *, key: jax.Array, batch_size: int) -> Draw:
    """Draws modulation, SNR, timing and propagation of ``batch_size`` independent links."""
    key_mod, key_snr, key_time, key_prop = jax.random.split(key, 4)
    low, high = config.snr_db_range
    return Draw(
        modulation=jax.random.randint(key_mod, (batch_size,), 0, len(config.bits_per_symbol)),
        snr_db=jax.random.uniform(key_snr, (batch_size,), minval=low, maxval=high),
        timing_offset=jax.random.randint(key_time, (batch_size,), 0, config.max_timing_offset + 1),
        propagation=factory.draw_propagation(config.scenario, key=key_prop, batch_size=batch_size),
    )


def transmit(config: LinkConfig, draw: Draw, *, key: jax.Array) -> Frame:
    """Sends random bits over the drawn links.

    Args:
        config: the link.
        draw: one entry per frame, from :func:`draw_links` or made by hand.
        key: typed PRNG key of bits, fading and noise.
    """
    key_bits, key_taps, key_noise = jax.random.split(key, 3)
    batch = draw.modulation.shape[0]
    m_max = config.max_bits_per_symbol
    octets = jax.random.bits(key_bits, (batch, config.n_data, -(-m_max // 8)), jnp.uint8)
    bits = jnp.unpackbits(octets, axis=-1)[..., :m_max].astype(jnp.int8)
    symbols = mixed_qam.modulate(bits, draw.modulation, config.bits_per_symbol)
    sent = ofdm.place(symbols, config.pilots, config.pilot_mask)

    prop = draw.propagation
    powers = fading.exponential_powers(prop.decay_s, config.n_taps, config.sample_s)
    times_s = config.symbol_s * jnp.arange(config.n_symbols, dtype=jnp.float32)
    taps = fading.rician_taps(
        key_taps, powers, prop.k_linear, prop.doppler_hz, times_s, n_sinusoids=config.n_sinusoids
    )
    taps = _delay(taps, draw.timing_offset, config.n_taps + config.max_timing_offset)
    n0 = 10.0 ** (-draw.snr_db / 10.0)
    samples = _filter(ofdm.to_time(sent, config.cp_samples), taps)
    noise = jax.random.normal(key_noise, samples.shape, jnp.complex64)
    iq = samples + noise * jnp.sqrt(n0)[:, None]
    grid = ofdm.to_grid(iq, config.n_symbols, config.cp_samples)
    channel = ofdm.frequency_response(taps, config.n_subcarriers)

    delays_s = config.sample_s * jnp.arange(config.n_taps, dtype=jnp.float32)
    power = jnp.mean(jnp.square(jnp.abs(channel)), axis=(1, 2))
    return Frame(
        iq=iq,
        grid=grid,
        csi=ls_at_pilots(config, grid),
        spectrogram=spectrogram(iq, config.n_subcarriers),
        modulation=draw.modulation,
        bits=bits,
        channel=channel,
        k_db=prop.k_db,
        delay_spread_s=fading.rms_delay_spread_s(powers, delays_s, prop.k_linear),
        snr_db=10.0 * jnp.log10(power / n0),
        los=prop.los,
        n0=n0,
        doppler_hz=prop.doppler_hz,
    )


def sample_frames(config: LinkConfig, *, key: jax.Array, batch_size: int) -> Frame:
    """Draws ``batch_size`` independent frames; jit it with ``config`` and ``batch_size`` static.

    Example:
        >>> import jax
        >>> from wfm_jax.signal import link
        >>> frame = link.sample_frames(link.LinkConfig(), key=jax.random.key(0), batch_size=2)
        >>> frame.grid.shape, frame.csi.shape, frame.bits.shape
        ((2, 8, 32), (2, 2, 16), (2, 224, 8))
    """
    key_draw, key_send = jax.random.split(key)
    draw = draw_links(config, key=key_draw, batch_size=batch_size)
    return transmit(config, draw, key=key_send)


def data_elements(config: LinkConfig, grid: jax.Array) -> jax.Array:
    """The data resource elements of [batch, n_symbols, n_subcarriers, ...] as [batch, n_data, ...],
    in the order of ``Frame.bits``."""
    index = np.flatnonzero(~config.pilot_mask.reshape(-1))
    return grid.reshape(grid.shape[0], -1, *grid.shape[3:])[:, index]


def ls_at_pilots(config: LinkConfig, grid: jax.Array) -> jax.Array:
    """Least-squares estimates at the pilots, complex64[batch, n_pilot_symbols, n_pilots_each]."""
    n_comb = config.n_subcarriers // config.pilot_spacing
    received = grid[:, np.asarray(sorted(config.pilot_symbols)), :: config.pilot_spacing]
    return received / config.pilots.reshape(len(config.pilot_symbols), n_comb)


def spectrogram(iq: jax.Array, n_bins: int) -> jax.Array:
    """Log power in dB of Hann-windowed FFTs of ``n_bins`` samples, 3/4 of a window apart.

    Returns:
        float32[batch, n_windows, n_bins]; windows do not follow the OFDM symbols' borders.
    """
    hop = 3 * n_bins // 4
    n_windows = (iq.shape[-1] - n_bins) // hop + 1
    index = hop * np.arange(n_windows)[:, None] + np.arange(n_bins)
    window = np.hanning(n_bins + 1)[:-1].astype(np.float32)
    spectrum = jnp.fft.fft(iq[:, index] * window, axis=-1, norm="ortho")
    return 10.0 * jnp.log10(jnp.square(jnp.abs(spectrum)) + 1e-12)


def _delay(taps: jax.Array, offset: jax.Array, length: int) -> jax.Array:
    """Delays taps [batch, n_symbols, n_taps] by whole samples into [batch, n_symbols, length]."""
    source = np.arange(length) - offset[:, None]
    inside = (source >= 0) & (source < taps.shape[-1])
    source = jnp.clip(source, 0, taps.shape[-1] - 1)[:, None, :]
    return jnp.where(inside[:, None, :], jnp.take_along_axis(taps, source, axis=-1), 0.0)


def _filter(samples: jax.Array, taps: jax.Array) -> jax.Array:
    """Applies taps [batch, n_symbols, n_taps], constant over an OFDM symbol, to
    [batch, n_symbols * length]."""
    batch, n_symbols, n_taps = taps.shape
    padded = jnp.pad(samples, ((0, 0), (n_taps - 1, 0)))
    received = jnp.zeros((batch, n_symbols, samples.shape[1] // n_symbols), samples.dtype)
    for delay in range(n_taps):
        start = n_taps - 1 - delay
        shifted = padded[:, start : start + samples.shape[1]].reshape(received.shape)
        received = received + taps[..., delay, None] * shifted
    return received.reshape(samples.shape)
