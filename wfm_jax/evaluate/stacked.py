"""From scores SNR by SNR to a receiver over SNR, and from resampled values to columns of a row."""

from collections.abc import Sequence

import jax
import numpy as np

from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.intervals import interval
from wfm_jax.evaluate.scores import FrameScores, Scored


def stack_over_snr(
    test_set: TestSet, snrs_db: Sequence[float], scores: Sequence[FrameScores]
) -> Scored:
    """A receiver over SNR; what overflowed counts as missing.

    Args:
        test_set: the frames.
        snrs_db: their SNRs.
        scores: float32[n_frames] each, one an SNR.
    """

    def finite(*values: np.ndarray) -> np.ndarray:
        stacked = np.stack(values)
        return np.where(np.isfinite(stacked), stacked, np.nan)

    return Scored(test_set, tuple(snrs_db), jax.tree.map(finite, *scores))


def with_interval(name: str, values: np.ndarray) -> dict[str, float]:
    """Columns of a value and of the ends of its 95 % interval: ``name``, ``_low``, ``_high``.

    Args:
        name: of the value, with its unit.
        values: float64[1 + n_resamples], first as drawn.
    """
    low, high = interval(values)
    return {name: float(values[0]), f"{name}_low": low, f"{name}_high": high}
