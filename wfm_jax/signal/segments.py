"""Segments of a recording: where they start, and which of them hold a signal. On the host."""

from collections.abc import Sequence

import numpy as np


def segment_starts(
    spans: Sequence[tuple[int, int]], segment_samples: int, hop_samples: int
) -> np.ndarray:
    """First samples of segments that lie within spans, a hop apart.

    Args:
        spans: first sample and length of each.
        segment_samples: length of a segment; a shorter span has none.
        hop_samples: from one segment to the next, at least 1.

    Returns:
        int64[n_segments], span by span.

    Raises:
        ValueError: a length or hop below one.

    >>> segment_starts([(0, 10), (20, 4), (30, 5)], segment_samples=5, hop_samples=3)
    array([ 0,  3, 30])
    """
    for name, value in (("segment_samples", segment_samples), ("hop_samples", hop_samples)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    found = [
        np.arange(start, start + length - segment_samples + 1, hop_samples)
        for start, length in spans
    ]
    return np.concatenate([np.zeros(0, np.int64), *found]).astype(np.int64)


def cut(samples: np.ndarray, starts: np.ndarray, segment_samples: int) -> np.ndarray:
    """The segments, ``[n_segments, segment_samples]``.

    Args:
        samples: ``[n]``.
        starts: index of the first sample of each, int ``[n_segments]``.
        segment_samples: their length.

    Raises:
        ValueError: a segment that reaches beyond the samples.
    """
    starts = np.asarray(starts, np.int64)
    beyond = (starts < 0) | (starts + segment_samples > samples.size)
    if beyond.any():
        raise ValueError(
            f"segments of {segment_samples} must lie within {samples.size} samples, one starts at "
            f"{starts[beyond][0]}"
        )
    return samples[starts[:, None] + np.arange(segment_samples)]


def mean_power(segments: np.ndarray) -> np.ndarray:
    """Mean of |x|^2 of each segment: float64[n_segments] of [n_segments, n]."""
    return np.mean(np.square(np.abs(segments), dtype=np.float64), axis=1)


def holds_signal(power: np.ndarray, gate_db: float | None) -> np.ndarray:
    """Which segments are not silence: those with power at most ``gate_db`` below the loudest's.

    Args:
        power: float64[n_segments] of :func:`mean_power`.
        gate_db: None for all that have any power.
    """
    floor = 0.0 if gate_db is None else np.max(power, initial=0.0) * 10.0 ** (-gate_db / 10.0)
    return (power >= floor) & (power > 0.0)
