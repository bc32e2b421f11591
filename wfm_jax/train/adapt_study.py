"""Which links to adapt a model to, by which methods, from how many labelled frames.

A unit of work is a target and a number of labelled frames: every method adapts to the same labelled
sets, one a seed, and all are scored on the same frozen test frames as the model before.
"""

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.frames import TestSet, hash_frame
from wfm_jax.evaluate.many import draw_frames, make_scorer
from wfm_jax.evaluate.scores import Scored
from wfm_jax.model import ModelConfig, build
from wfm_jax.results.adapt_rows import Row, complete_row
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.signal.link import LinkConfig
from wfm_jax.train.adapt import (
    Adapted,
    AdaptSettings,
    Method,
    draw_labelled,
    look_steps,
    make_adapt,
)
from wfm_jax.train.adapt_gains import compare
from wfm_jax.train.model_files import Teacher


@dataclasses.dataclass(frozen=True)
class AdaptStudy:
    """What to adapt to, and how.

    Attributes:
        targets: links by name, of the model's constellations.
        methods: by name; ``full`` is what the others are held against.
        learning_rates: of the methods.
        settings: of every adaptation.
        n_labelled: numbers of labelled frames.
        seeds: of the labelled sets, the factors and the order of frames.
        n_test_frames: test frames of a target, at least; strata are of equal size.
        test_seed: of the test frames.
    """

    targets: Mapping[str, LinkConfig]
    methods: Mapping[str, Method]
    learning_rates: Mapping[str, float]
    settings: AdaptSettings
    n_labelled: tuple[int, ...] = (1000,)
    seeds: tuple[int, ...] = (0, 1, 2)
    n_test_frames: int = 800
    test_seed: int = 1


class Unit(NamedTuple):
    """What is done at once.

    Attributes:
        target: name of the link.
        n_labelled: labelled frames.
        config: the model on that link.
        rows: of ``results.adapt_rows``, a score of a method each.
        models: by method, as adapted to the first seed's labelled set.
    """

    target: str
    n_labelled: int
    config: ModelConfig
    rows: list[Row]
    models: dict[str, Adapted]


def run(
    study: AdaptStudy,
    teacher: Teacher,
    *,
    done: Collection[tuple[str, int]] = (),
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Unit]:
    """Adapts and measures, target by target; what can be known to be wrong is raised at once.

    Args:
        study: what to adapt to.
        teacher: the model.
        done: pairs of target and number of labelled frames to pass over.
        progress: display.
        check: called before each adaptation; what it raises ends the run.

    Raises:
        ValueError: a target of other constellations, patterns that match nothing, ranks that do
            not fit.
    """
    progress = progress or Silent()
    configs = {name: on_link(teacher.config, name, at) for name, at in study.targets.items()}
    for method in study.methods.values():
        method.start(teacher.params, key=jax.random.key(0))
    todo = {t: [n for n in study.n_labelled if (t, n) not in done] for t in configs}
    n_units = sum(map(len, todo.values()))
    progress.start("adapting", n_units * len(study.methods) * len(study.seeds))
    for target in (target for target, counts in todo.items() if counts):
        bench = _make_bench(study, configs[target], teacher)
        for n_labelled in todo[target]:
            yield _run_unit(study, target, n_labelled, bench, teacher, progress, check)


def on_link(config: ModelConfig, name: str, link: LinkConfig) -> ModelConfig:
    """The model on a target's link. Raises ValueError for other constellations."""
    if link.bits_per_symbol != config.link.bits_per_symbol:
        raise ValueError(
            f"target {name} must have the model's constellations {config.link.bits_per_symbol}, "
            f"got {link.bits_per_symbol}"
        )
    return dataclasses.replace(config, link=link)


class _Bench(NamedTuple):
    """A target's test frames: who scores on them, the model as it came, and their hash."""

    config: ModelConfig
    score: Callable[[Any], Scored]
    before: Scored
    frames_hash: str


def _make_bench(study: AdaptStudy, config: ModelConfig, teacher: Teacher) -> _Bench:
    test_set = TestSet(config.link, study.test_seed, frames_per_stratum=1)
    each = -(-study.n_test_frames // test_set.n_frames)
    test_set = dataclasses.replace(test_set, frames_per_stratum=each)
    frames = draw_frames(test_set, metrics.AMC_SNRS_DB)
    score = make_scorer(config, build(config, jax.random.key(0))[0], frames)
    return _Bench(config, score, score(teacher.params), hash_frame(frames.frame))


def _run_unit(
    study: AdaptStudy,
    target: str,
    n_labelled: int,
    bench: _Bench,
    teacher: Teacher,
    progress: Progress,
    check: Callable[[], None],
) -> Unit:
    config = bench.config
    sets = {seed: draw_labelled(config.link, n_labelled, seed=seed) for seed in study.seeds}
    after: dict[str, list[Scored]] = {}
    models, of_method = {}, {}
    for name, method in study.methods.items():
        adapt, started = make_adapt(config, method, study.settings), time.monotonic()
        rate, best_steps = study.learning_rates[name], []
        for seed, frames in sets.items():
            check()
            adapted = adapt(teacher.params, frames, seed=seed, learning_rate=rate)
            after.setdefault(name, []).append(bench.score(adapted.params))
            models.setdefault(name, adapted)
            best_steps.append(int(look_steps(study.settings)[int(adapted.look)]))
            progress.advance(1, f"{target}, {name}")
        trained = _size(models[name].trained)
        of_method[name] = {
            "trained": trained,
            "trained_share": trained / _size(teacher.params),
            "learning_rate": rate,
            "best_step": float(np.mean(best_steps)),
            "wall_s": time.monotonic() - started,
        }
    of_unit = {
        "target": target,
        "n_labelled": n_labelled,
        "steps": study.settings.steps,
        "seeds": len(study.seeds),
        "test_frames": bench.before.test_set.n_frames,
        "test_frames_hash": bench.frames_hash,
        "teacher_hash": teacher.hash,
    }
    rows = [
        complete_row(of_unit | of_method[name] | {"method": name, "score": score} | columns)
        for (name, score), columns in compare(bench.before, after).items()
    ]
    return Unit(target, n_labelled, config, rows, models)


def _size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
