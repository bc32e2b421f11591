"""Scores many configurations over SNR with one compiled program.

The program scores a single configuration, all its SNRs and frames; a host loop hands it one
configuration after the other. So it compiles once however many there are, nothing is padded, and
the memory in use is that of one chunk of frames. Test frames are drawn once.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate.classical import classical_receivers, score_receiver
from wfm_jax.evaluate.frames import TestSet, test_frames
from wfm_jax.evaluate.scores import Apply, FrameScores, Scored, score
from wfm_jax.model import ModelConfig
from wfm_jax.signal import link

CHUNK = 100


class Frames(NamedTuple):
    """A test set at several SNRs, drawn: ``frame`` has leaves [n_snr, n_frames, ...]."""

    test_set: TestSet
    snrs_db: tuple[float, ...]
    frame: link.Frame


def draw_frames(test_set: TestSet, snrs_db: Sequence[float]) -> Frames:
    """Draws the test frames at each nominal SNR."""
    snrs_db = tuple(float(snr_db) for snr_db in snrs_db)
    frame = jax.jit(_draw, static_argnums=0)(test_set, jnp.asarray(snrs_db, jnp.float32))
    return Frames(test_set, snrs_db, frame)


def make_scorer(
    config: ModelConfig, apply: Apply, frames: Frames, *, chunk: int = CHUNK
) -> Callable[[Any], Scored]:
    """A compiled ``scorer(params) -> Scored``.

    Keep it: it compiles at its first call and never again for parameters of the same shapes.

    Args:
        config: the model.
        apply: its forward pass.
        frames: from :func:`draw_frames`.
        chunk: frames per forward pass at most.
    """

    @jax.jit
    def program(params: Any, frame: link.Frame) -> FrameScores:
        return _in_chunks(functools.partial(score, config, apply, params), frame, chunk)

    return lambda params: _on_host(frames, program(params, frames.frame))


def score_many(scorer: Callable[[Any], Scored], params: Any) -> list[Scored]:
    """Scores configurations one after the other; unstacked on the host, where that compiles
    nothing.

    Args:
        scorer: from :func:`make_scorer`.
        params: what each configuration's forward pass sees, every leaf [n_configs, ...].
    """
    leaves, treedef = jax.tree.flatten(jax.device_get(params))
    return [scorer(treedef.unflatten(configuration)) for configuration in zip(*leaves, strict=True)]


def score_classical(
    frames: Frames, covariance: jax.Array, *, chunk: int = CHUNK
) -> dict[str, Scored]:
    """Scores ``ls``, ``lmmse`` and ``genie``; ``covariance`` as in ``classical_receivers``."""
    config = frames.test_set.link

    @jax.jit
    def program(covariance: jax.Array, frame: link.Frame) -> list[FrameScores]:
        return [
            _in_chunks(functools.partial(score_receiver, config, estimate), frame, chunk)
            for estimate in classical_receivers(covariance).values()
        ]

    scores = [_on_host(frames, of_one) for of_one in program(covariance, frames.frame)]
    return dict(zip(classical_receivers(covariance), scores, strict=True))


def _draw(test_set: TestSet, snrs_db: jax.Array) -> link.Frame:
    return jax.lax.map(functools.partial(test_frames, test_set), snrs_db)


def _in_chunks(
    scores: Callable[[link.Frame], FrameScores], frame: link.Frame, most: int
) -> FrameScores:
    """``scores(frame)`` of leaves [n_snr, n_frames, ...], at most ``most`` frames at a time."""
    shape = frame.n0.shape
    size = next(size for size in range(most, 0, -1) if frame.n0.size % size == 0)
    chunks = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[2:]), frame)
    return jax.tree.map(lambda x: x.reshape(shape), jax.lax.map(scores, chunks))


def _on_host(frames: Frames, scores: FrameScores) -> Scored:
    """What overflowed counts as missing: an infinity times a weight of zero would be."""
    values = (np.where(np.isfinite(values), values, np.nan) for values in map(np.asarray, scores))
    return Scored(frames.test_set, frames.snrs_db, FrameScores(*values))
