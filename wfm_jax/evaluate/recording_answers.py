"""What a model says of segments of a recording, and how its answers compare with labels.

Samples are what a recording has, so the model reads its ``iq`` view. Where segments begin at
symbols of the link, the other views follow from them by a receiver's Fourier transform, and the
model may be given these too.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate.chunks import in_blocks
from wfm_jax.evaluate.scores import FrameScores, score
from wfm_jax.evaluate.view_removal import check_subset
from wfm_jax.model import ModelConfig, build, prepare
from wfm_jax.model.config import VIEWS
from wfm_jax.results.recorded_frames import Labels
from wfm_jax.signal import link


class Answers(NamedTuple):
    """What a model says of segments whose modulation it is not told.

    Attributes:
        modulation: float32[n, n_modulations], probabilities.
        k_db, snr_db: float32[n].
        los: float32[n], probability of a line of sight.
        delay_spread_s: float32[n].
    """

    modulation: Any
    k_db: Any
    snr_db: Any
    los: Any
    delay_spread_s: Any


def answer_segments(
    config: ModelConfig, params: Any, iq: np.ndarray, subsets: Sequence[tuple[str, ...]]
) -> list[Answers]:
    """Answers to segments, one for each subset of views.

    Args:
        config: the model; its link is that of the segments.
        params: its parameters.
        iq: complex64[n, n_samples], in any unit.
        subsets: views that are given; all are made of the samples.

    Returns:
        NumPy answers, in the order of ``subsets``.
    """
    apply = build(config, jax.random.key(0))[0]

    @jax.jit
    def program(params: Any, iq: jax.Array, present: jax.Array) -> Answers:
        shown: dict[str, Any] = dict.fromkeys(link.Frame._fields) | link.views(config.link, iq)
        blind = jnp.full(iq.shape[:1], config.n_modulations, jnp.int32)
        out = apply(params, prepare(config, link.Frame(**shown), blind, present)[0])
        return Answers(
            jax.nn.softmax(out.modulation),
            out.k_db,
            out.snr_db,
            jax.nn.sigmoid(out.los),
            out.delay_spread_s,
        )

    return [
        in_blocks(lambda *block: program(params, *block), iq, _present(config, subset, iq.shape[0]))
        for subset in subsets
    ]


def score_segments(
    config: ModelConfig,
    params: Any,
    iq: np.ndarray,
    labels: Labels,
    subsets: Sequence[tuple[str, ...]],
) -> list[FrameScores]:
    """Scores of segments that are labelled frames; arguments of :func:`answer_segments`.

    ``iq`` is in the unit of the labels; bits and channel are told with the modulation known.
    """
    apply = build(config, jax.random.key(0))[0]

    @jax.jit
    def program(params: Any, iq: jax.Array, labels: Labels, present: jax.Array) -> FrameScores:
        frame = link.Frame(**link.views(config.link, iq), **labels._asdict())
        return score(config, apply, params, frame, present)

    found = []
    for subset in subsets:
        present = _present(config, subset, iq.shape[0])
        found.append(in_blocks(lambda *block: program(params, *block), iq, labels, present))
    return found


def _present(config: ModelConfig, subset: tuple[str, ...], n: int) -> np.ndarray:
    """bool[n, len(VIEWS)]."""
    subset = check_subset(config, subset)
    return np.broadcast_to(np.array([view in subset for view in VIEWS]), (n, len(VIEWS)))
