"""A model on frames that lack views, and who never saw the frame on the same ones."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.evaluate import link_state
from wfm_jax.evaluate.chunks import in_chunks
from wfm_jax.evaluate.frames import TestSet, test_frames
from wfm_jax.evaluate.metrics import AMC_SNRS_DB
from wfm_jax.evaluate.scores import FrameScores, Scored, no_scores, score
from wfm_jax.evaluate.stacked import stack_over_snr
from wfm_jax.model import ModelConfig, build
from wfm_jax.model.config import VIEWS
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.signal import link

SNRS_DB = AMC_SNRS_DB


def standard_subsets(views: Sequence[str]) -> list[tuple[str, ...]]:
    """All views, each removed, each alone; in the order of ``VIEWS``."""
    everything = tuple(view for view in VIEWS if view in views)
    removed = [tuple(v for v in everything if v != view) for view in everything]
    alone = [(view,) for view in everything]
    return list(dict.fromkeys(s for s in [everything, *removed, *alone] if s))


def check_subset(config: ModelConfig, subset: Iterable[str]) -> tuple[str, ...]:
    """The subset in the order of ``VIEWS``. Raises ValueError unless the model reads them all, and
    there is one."""
    subset = set(subset)
    if not subset or subset - set(config.views):
        raise ValueError(
            f"views must be some of {', '.join(config.views)}, got {'+'.join(sorted(subset))!r}"
        )
    return tuple(view for view in VIEWS if view in subset)


class Measured(NamedTuple):
    """The model with each subset of views, and what it is measured against, on the same frames."""

    by_subset: dict[tuple[str, ...], Scored]
    full: Scored
    null: Scored
    prior: Scored


def measure(
    test_set: TestSet,
    config: ModelConfig,
    params: Any,
    null: Any,
    subsets: Sequence[tuple[str, ...]],
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> Measured:
    """Measures a model on frames that lack views.

    Args:
        test_set: the frozen frames; its link is the model's.
        config: the model.
        params: its parameters.
        null: the same with every prunable weight zero.
        subsets: views that are present, of :func:`standard_subsets` or :func:`check_subset`.
        progress: display.
        check: called between programs; what it raises ends the run.
    """
    progress = progress or Silent()
    apply = build(config, jax.random.key(0))[0]

    @jax.jit
    def program(params: Any, frame: link.Frame, present: jax.Array) -> FrameScores:
        def scores(frame: link.Frame) -> FrameScores:
            each = jnp.broadcast_to(present, (frame.n0.size, len(VIEWS)))
            return score(config, apply, params, frame, each)

        return in_chunks(scores, frame)

    draw = jax.jit(functools.partial(test_frames, test_set))
    everything = check_subset(config, config.views)
    wanted = list(dict.fromkeys([everything, *subsets]))
    found: dict[tuple[str, ...] | None, list[FrameScores]] = {}
    labels = []
    progress.start("views", len(SNRS_DB) * (len(wanted) + 1))
    for snr_db in SNRS_DB:
        frame = draw(jnp.float32(snr_db))
        labels.append(link_state.labels(frame))
        for subset in (None, *wanted):
            check()
            views = np.array([view in (subset or everything) for view in VIEWS])
            scores = program(null if subset is None else params, frame, views)
            found.setdefault(subset, []).append(jax.device_get(scores))
            progress.advance(1, f"{'null' if subset is None else '+'.join(subset)}, {snr_db:g} dB")
    scored = {subset: stack_over_snr(test_set, SNRS_DB, scores) for subset, scores in found.items()}
    null_scored = scored.pop(None)
    prior = Scored(
        test_set, SNRS_DB, prior_scores(null_scored.scores, labels, config.n_modulations)
    )
    by_subset = {subset: scored[subset] for subset in wanted}
    return Measured(by_subset, scored[everything], null_scored, prior)


def prior_scores(
    like: FrameScores, labels: Sequence[link_state.Labels], n_modulations: int
) -> FrameScores:
    """Scores of who never saw the frame."""
    shape = like.n_bits.shape
    constant = link_state.constant_answers(labels)
    answers: Mapping[str, Any] = {
        name: getattr(constant, name)
        for name in (
            "k_error_db", "has_k", "snr_error_db", "los_correct", "delay_spread_error_s"
        )
    }  # fmt: skip
    return no_scores(shape)._replace(
        bit_errors=0.5 * like.n_bits,
        n_bits=like.n_bits,
        gmi_fraction=np.zeros(shape),
        channel_error=like.channel_power,
        channel_power=like.channel_power,
        amc_correct=np.full(shape, 1.0 / n_modulations),
        **answers,
    )
