"""Position codes: where a token, and a step in time within it, lies in the frame.

Sines and cosines of fixed physical rates, not tables: a frame of another size, or another number of
symbols, is read at positions between and beyond those of training. Codes are computed once per
link, on the host.
"""

import numpy as np

from wfm_jax.model.config import ModelConfig
from wfm_jax.signal import link
from wfm_jax.signal.link import LinkConfig

DELAYS_S = np.geomspace(12.5e-9, 400e-9, 12)
SYMBOL_PERIODS = np.geomspace(4.0, 64.0, 5)
SYMBOL_HARMONICS = np.arange(1.0, 4.0)

FREQUENCY_WAVES = 2 * DELAYS_S.size
TIME_WAVES = 2 * SYMBOL_PERIODS.size
SEGMENT_WAVES = TIME_WAVES + 2 * SYMBOL_HARMONICS.size


def frequency_code(config: ModelConfig) -> np.ndarray:
    """Of the patches, float32[n_patches, FREQUENCY_WAVES]: what paths of fixed delays, 12.5 to
    400 ns, do to a patch's middle frequency."""
    patches = config.link.frequencies_hz.reshape(config.n_patches, -1).mean(axis=1)
    return _waves(np.outer(patches, DELAYS_S))


def time_code(symbols: np.ndarray) -> np.ndarray:
    """Of times in OFDM symbols, float32[n, TIME_WAVES]: periods of 4 to 64 symbols."""
    return _waves(np.outer(symbols, 1.0 / SYMBOL_PERIODS))


def segment_code(config: ModelConfig) -> np.ndarray:
    """Of the ``iq`` segments, float32[n_segments, SEGMENT_WAVES]: the time of their middle, and its
    place within its OFDM symbol (which part of it is cyclic prefix)."""
    middle = (np.arange(config.n_segments) + 0.5) * config.iq_segment / config.link.symbol_samples
    return np.concatenate([time_code(middle), _waves(np.outer(middle, SYMBOL_HARMONICS))], axis=1)


def window_times(config: LinkConfig) -> np.ndarray:
    """Middles of the spectrogram's windows in OFDM symbols, float64[n_windows]."""
    starts = link.spectrogram_starts(config.n_samples, config.n_fft)
    return (starts + 0.5 * config.n_fft) / config.symbol_samples


def pilot_times(config: LinkConfig) -> np.ndarray:
    """Middles of the pilot symbols in OFDM symbols, float64[n_pilot_symbols]."""
    return np.asarray(sorted(config.pilot_symbols)) + 0.5


def symbol_times(config: LinkConfig) -> np.ndarray:
    """Middles of all OFDM symbols, float64[n_symbols]."""
    return np.arange(config.n_symbols) + 0.5


def _waves(turns: np.ndarray) -> np.ndarray:
    phase = 2.0 * np.pi * turns
    return np.concatenate([np.sin(phase), np.cos(phase)], axis=1).astype(np.float32)
