"""The link: frames of random QAM over Rician multipath, with all their views and exact labels.

Everything runs inside one jitted program, in the time domain: bits, symbols, OFDM with cyclic
prefix, a tapped delay line applied sample by sample, noise, and back to the grid. All views are
therefore of the same draw, noise and prefix included, and so is the interference where the prefix
is too short.
"""

import dataclasses
import functools
import math
import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal import channel, fading, mixed_qam, noise, ofdm, offsets, profiles, qam, words
from wfm_jax.signal.factory import FACTORY_HALL
from wfm_jax.signal.propagation import Propagation, Scenario


@dataclasses.dataclass(frozen=True)
class LinkConfig:
    """A link, static: a different one is a different program.

    Attributes:
        n_symbols, n_subcarriers: size of the resource grid.
        sample_rate_hz: subcarrier spacing times the FFT's size.
        cp_samples: length of the cyclic prefix.
        fft_size: at least ``n_subcarriers``, the rest is guard band; None uses every subcarrier,
            which is for delays on the sample grid: of others the interpolation filter is true over
            three quarters of the sample rate only.
        pilot_symbols, pilot_spacing: OFDM symbols that carry a comb of pilots, and its spacing.
        bits_per_symbol: the constellations a frame's modulation is drawn from.
        snr_db_range: the nominal SNR is uniform between these.
        max_timing_offset: the receiver's window starts up to this many samples early; uniform over
            whole samples, or over all numbers with ``fractional_timing``.
        fractional_timing: timing offsets between samples, too.
        max_carrier_offset_hz: the receiver's oscillator is off by up to this, either way.
        scenario: distribution of profile, K, LOS and speed.
        n_sinusoids: waves per scattered ray.
        fading_within_symbols: the channel moves from sample to sample, not from symbol to symbol;
            its label is then the mean over a symbol's FFT window.
        filter_half_width: of the interpolation filter for delays off the sample grid, in samples; a
            scenario whose delays are on the grid needs none (``n_filter``).
    """

    n_symbols: int = 8
    n_subcarriers: int = 32
    sample_rate_hz: float = 20e6
    cp_samples: int = 16
    fft_size: int | None = None
    pilot_symbols: tuple[int, ...] = (1, 6)
    pilot_spacing: int = 2
    bits_per_symbol: tuple[int, ...] = (2, 4, 6, 8)
    snr_db_range: tuple[float, float] = (0.0, 30.0)
    max_timing_offset: int = 6
    fractional_timing: bool = False
    max_carrier_offset_hz: float = 0.0
    scenario: Scenario = FACTORY_HALL
    n_sinusoids: int = 8
    fading_within_symbols: bool = False
    filter_half_width: int = channel.FILTER_HALF_WIDTH

    def __post_init__(self):
        for name in ("n_symbols", "n_subcarriers", "sample_rate_hz", "n_sinusoids"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("cp_samples", "max_timing_offset", "max_carrier_offset_hz"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
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
        if self.n_fft < self.n_subcarriers:
            raise ValueError(
                f"fft_size must be at least n_subcarriers={self.n_subcarriers}, got {self.fft_size}"
            )
        if self.cp_samples > self.n_fft:
            raise ValueError(
                f"cp_samples must be at most the FFT's size {self.n_fft}, got {self.cp_samples}"
            )
        if self.filter_half_width < 1:
            raise ValueError(f"filter_half_width must be positive, got {self.filter_half_width}")
        low, high = self.snr_db_range
        if not low <= high:
            raise ValueError(f"snr_db_range must be (low, high) with low <= high, got {low, high}")
        missing = self.n_taps - 1 - self.cp_samples
        if missing > 0:
            warnings.warn(
                f"cp_samples={self.cp_samples} is shorter than the channel by {missing} samples "
                f"(longest delay {self.scenario.longest_delay_s * 1e9:.0f} ns, interpolation "
                f"filter {2 * self.n_filter}, timing offset {self.max_timing_offset} samples): "
                "OFDM symbols interfere",
                stacklevel=3,
            )

    @property
    def sample_s(self) -> float:
        """Duration of a sample."""
        return 1.0 / self.sample_rate_hz

    @property
    def n_fft(self) -> int:
        """Size of the FFT."""
        return self.fft_size or self.n_subcarriers

    @property
    def symbol_samples(self) -> int:
        """Samples of an OFDM symbol with its prefix."""
        return self.n_fft + self.cp_samples

    @property
    def symbol_s(self) -> float:
        """Duration of an OFDM symbol with its prefix."""
        return self.symbol_samples * self.sample_s

    @property
    def n_samples(self) -> int:
        """Samples of a frame."""
        return self.n_symbols * self.symbol_samples

    @property
    def frequencies_hz(self) -> np.ndarray:
        """Of the subcarriers, relative to the carrier: float64[n_subcarriers]."""
        return ofdm.subcarrier_frequencies_hz(self.n_subcarriers, self.sample_rate_hz / self.n_fft)

    @property
    def n_filter(self) -> int:
        """Half width of the interpolation filter in use: 0 where all delays are on the grid."""
        grid_s = self.scenario.delay_grid_s
        on_grid = grid_s is not None and (
            math.isinf(grid_s) or _is_whole(grid_s * self.sample_rate_hz)
        )
        return 0 if on_grid and not self.fractional_timing else self.filter_half_width

    @property
    def n_taps(self) -> int:
        """Sample-spaced taps of the channel with filter and timing offset: from the first to the
        last tap that can be reached."""
        longest = self.scenario.longest_delay_s * self.sample_rate_hz + self.max_timing_offset
        return math.ceil(longest - 1e-3) + 1 + 2 * self.n_filter

    @property
    def max_bits_per_symbol(self) -> int:
        """Bits per symbol of the largest constellation."""
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
    n0 = 10^(-snr_db/10) for a channel of unit mean power; ``timing_offset`` is in samples;
    ``carrier_offset_hz`` is None where the oscillator is on frequency; ``propagation`` is what the
    scenario drew: profile, speed, line of sight.
    """

    modulation: jax.Array
    snr_db: jax.Array
    timing_offset: jax.Array
    carrier_offset_hz: jax.Array | None
    propagation: Propagation


class Frame(NamedTuple):
    """Received frames: paired views of one draw, and exact labels.

    Views:
        iq: complex64[batch, n_samples], time samples with prefix.
        grid: complex64[batch, n_symbols, n_subcarriers], received resource elements.
        csi: complex64[batch, n_pilot_symbols, n_subcarriers / pilot_spacing], LS at the pilots.
        spectrogram: float32[batch, n_windows, n_subcarriers], log power of ``iq`` in dB, in the
            subcarriers' order.

    Labels:
        modulation: int32[batch], index into ``LinkConfig.bits_per_symbol``.
        bits: int8[batch, n_data, m_max]; the first bits of a symbol are those in use.
        channel: complex64[batch, n_symbols, n_subcarriers], what a data symbol is multiplied by:
            the mean over its FFT window where the channel moves or the oscillator turns.
        k_db: float32[batch], NaN where there is no K: nothing that does not fade, or nothing that
            does; see ``has_k``.
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

    @property
    def has_k(self) -> jax.Array:
        """bool[batch], whether there is a K to estimate."""
        return jnp.isfinite(self.k_db)


def draw_links(config: LinkConfig, *, key: jax.Array, batch_size: int) -> Draw:
    """Draws modulation, SNR, offsets and propagation of ``batch_size`` independent links."""
    key_mod, key_snr, key_time, key_carrier, key_prop = jax.random.split(key, 5)
    shape, latest = (batch_size,), config.max_timing_offset
    if config.fractional_timing:
        timing = words.random_uniform(key_time, shape, 0.0, latest)
    else:
        timing = words.random_index(key_time, shape, latest + 1).astype(jnp.float32)
    carrier_offset_hz = None
    if config.max_carrier_offset_hz:
        most = config.max_carrier_offset_hz
        carrier_offset_hz = words.random_uniform(key_carrier, shape, -most, most)
    return Draw(
        modulation=words.random_index(key_mod, shape, len(config.bits_per_symbol)),
        snr_db=words.random_uniform(key_snr, shape, *config.snr_db_range),
        timing_offset=timing,
        carrier_offset_hz=carrier_offset_hz,
        propagation=config.scenario.draw(key=key_prop, batch_size=batch_size),
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
    bits = words.random_bits(key_bits, (batch, config.n_data, m_max))
    symbols = mixed_qam.modulate(bits, draw.modulation, config.bits_per_symbol)
    sent = ofdm.place(symbols, config.pilots, config.pilot_mask)

    taps = draw_taps(config, draw, key=key_taps)
    samples = channel.apply_taps(ofdm.to_time(sent, config.cp_samples, config.n_fft), taps)
    response = ofdm.tap_response(_symbol_means(config, taps), config.n_subcarriers, config.n_fft)
    if draw.carrier_offset_hz is not None:
        turn = offsets.oscillator(draw.carrier_offset_hz, config.n_samples, config.sample_s)
        samples = samples * turn
        response = response * _symbol_means(config, turn[..., None])
    n0 = 10.0 ** (-draw.snr_db / 10.0)
    prop = draw.propagation
    power = jnp.mean(jnp.square(jnp.abs(response)), axis=(1, 2))
    return Frame(
        **views(config, noise.awgn(key_noise, samples, n0[:, None])),
        modulation=draw.modulation,
        bits=bits,
        channel=response,
        k_db=prop.k_db,
        delay_spread_s=profiles.rms_delay_spread_s(prop.profile),
        snr_db=10.0 * jnp.log10(power / n0),
        los=prop.los,
        n0=n0,
        doppler_hz=prop.doppler_hz,
    )


def views(config: LinkConfig, iq: jax.Array) -> dict[str, jax.Array]:
    """All views of received samples complex64[batch, n_samples], by their names in
    :class:`Frame`."""
    grid = ofdm.to_grid(iq, config.n_symbols, config.cp_samples, config.n_subcarriers)
    return {
        "iq": iq,
        "grid": grid,
        "csi": ls_at_pilots(config, grid),
        "spectrogram": spectrogram(iq, config.n_fft, config.n_subcarriers),
    }


def draw_taps(config: LinkConfig, draw: Draw, *, key: jax.Array) -> jax.Array:
    """Draws the fading and projects it on sample-spaced taps.

    Returns:
        complex64[batch, n_times, n_taps], ``n_times`` the frame's OFDM symbols, or its samples with
        ``fading_within_symbols``. Tap i is at the delay i - ``n_filter`` samples.
    """
    n_times = config.n_samples if config.fading_within_symbols else config.n_symbols
    times_s = config.n_samples / n_times * config.sample_s * jnp.arange(n_times)
    prop = draw.propagation
    gains = fading.ray_gains(
        key,
        prop.profile,
        prop.doppler_hz,
        prop.arrival_rad,
        times_s,
        n_sinusoids=config.n_sinusoids,
    )
    delays_s = offsets.window_offset(prop.profile.delays_s, draw.timing_offset, config.sample_s)
    return channel.sample_taps(
        gains,
        delays_s,
        sample_s=config.sample_s,
        n_taps=config.n_taps,
        half_width=config.n_filter,
    )


def sample_frames(config: LinkConfig, *, key: jax.Array, batch_size: int) -> Frame:
    """Draws ``batch_size`` independent frames; jit it with ``config`` and ``batch_size`` static.

    Example:
        >>> import jax
        >>> from wfm_jax.signal import link
        >>> sample = jax.jit(link.sample_frames, static_argnames=("config", "batch_size"))
        >>> frame = sample(link.LinkConfig(), key=jax.random.key(0), batch_size=2)
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


def spectrogram_starts(n_samples: int, fft_size: int) -> np.ndarray:
    """First samples of the spectrogram's windows, int[n_windows]."""
    return np.arange(0, n_samples - fft_size + 1, 3 * fft_size // 4)


def spectrogram(iq: jax.Array, fft_size: int, n_subcarriers: int) -> jax.Array:
    """Log power in dB of Hann-windowed FFTs of ``fft_size`` samples, 3/4 of a window apart.

    Args:
        iq: complex64[batch, n_samples].
        fft_size: length of a window.
        n_subcarriers: bins to keep.

    Returns:
        float32[batch, n_windows, n_subcarriers], the bins around the middle in rising order of
        frequency; windows do not follow the OFDM symbols' borders.
    """
    starts = spectrogram_starts(iq.shape[-1], fft_size)
    n_windows, index = starts.size, starts[:, None] + np.arange(fft_size)
    window = np.hanning(fft_size + 1)[:-1].astype(np.float32)
    windowed = (iq[:, index] * window).reshape(iq.shape[0], -1)
    spectrum = ofdm.to_grid(windowed, n_windows, 0, n_subcarriers)
    return 10.0 * jnp.log10(jnp.square(jnp.abs(spectrum)) + 1e-12)


def _symbol_means(config: LinkConfig, x: jax.Array) -> jax.Array:
    """Means over the FFT window of each OFDM symbol, of [batch, n_samples, ...]; entries that hold
    for a whole symbol, [batch, n_symbols, ...], stay as they are."""
    if x.shape[1] == config.n_symbols:
        return x
    per_symbol = x.reshape(x.shape[0], config.n_symbols, config.symbol_samples, *x.shape[2:])
    return jnp.mean(per_symbol[:, :, config.cp_samples :], axis=2)


def _is_whole(x: float) -> bool:
    return abs(x - round(x)) < 1e-6
