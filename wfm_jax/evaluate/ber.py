"""Error-rate curves over SNR: every receiver on the same frames, point by point.

    study = Study(links={"tdl_d": LinkConfig(scenario=TDL_D)}, levels_db=(0, 10, 20), seed=0)
    rows = simulate(study)
    ber_picture(rows, "ber.png")

One program serves all constellations and SNRs of a scenario. The frames of a point depend on the
seed and on the point alone, so points may be done in any order, and a run that goes on after a stop
ends as one that was never stopped.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from wfm_jax.evaluate.ber_point import measure_point, point_row
from wfm_jax.evaluate.ber_study import Point, Study
from wfm_jax.evaluate.detection import Estimator, Step, link_step
from wfm_jax.evaluate.estimators import classical_estimators
from wfm_jax.evaluate.genie_theory import KDistribution, Rates, genie_rates, k_distribution
from wfm_jax.results.ber_rows import Row
from wfm_jax.results.progress import Progress, Silent

_COVARIANCE, _K = 0, 1  # streams of the seed beside those of the points


class Prepared(NamedTuple):
    """A scenario's compiled step and its distribution of K."""

    step: Step
    k: KDistribution


def simulate(study: Study, **options) -> list[Row]:
    """All rows of :func:`run`, at once."""
    return [row for rows in run(study, **options) for row in rows]


def run(
    study: Study,
    *,
    done: Iterable[Row] = (),
    own: Mapping[str, Estimator] | None = None,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[list[Row]]:
    """Measures what is missing, a point at a time.

    Args:
        study: what to measure.
        done: rows of before: they are neither measured nor yielded again.
        own: more estimators, of the user's own, by name.
        progress: display.
        check: called between batches; what it raises ends the run.

    Yields:
        the new rows of a point, one a receiver; columns ``wfm_jax.results.ber_rows.COLUMNS``.
    """
    progress = progress or Silent()
    known = {_identity(row): row for row in done}
    curves, prepared = study.curves(), {}

    def between(note: str) -> None:
        progress.advance(0, note)
        check()

    def ready(scenario: str) -> Prepared:
        if scenario not in prepared:
            progress.say(f"{scenario}: compiling")
            prepared[scenario] = prepare(study, scenario, own)
        return prepared[scenario]

    progress.start("points", sum(map(len, curves)))
    for curve in curves:
        active, ahead = [*study.receivers, *(own or {})], len(curve)
        theory = None
        for i, point in enumerate(curve):
            there = ((name, known.get((*_place(point), name))) for name in active)
            rows = {name: row for name, row in there if row is not None}
            missing = [name for name in active if name not in rows]
            if missing:
                check()
                step, k = ready(point.scenario)
                theory = theory or genie_rates(k, point.bits_per_symbol, _snrs_db(curve))
                started = time.monotonic()
                sums = measure_point(step, point, study, active, between=between)
                wall_s = time.monotonic() - started
                expected = Rates(*(values[i] for values in theory))
                for name in missing:
                    rows[name] = point_row(study, point, name, sums[name], expected, wall_s)
                yield [rows[name] for name in missing]
            active = [name for name, row in rows.items() if not row["ends_curve"]]
            ahead -= 1
            progress.advance(1 if active else 1 + ahead)
            if not active:
                break


def prepare(study: Study, scenario: str, own: Mapping[str, Estimator] | None = None) -> Prepared:
    """Compiles a scenario's step: one program for all its constellations and SNRs."""
    config, key = study.links[scenario], jax.random.key(study.seed)
    estimators = classical_estimators(
        config,
        study.receivers,
        key=jax.random.fold_in(key, _COVARIANCE),
        over_time=study.over_time,
    )
    step = link_step(
        config,
        estimators | dict(own or {}),
        batch_frames=study.batch_frames,
        demapping=study.demapping,
        decisions=study.decisions,
    )
    compiled = jax.jit(step).lower(key, jnp.float32(0.0), jnp.int32(0)).compile()
    return Prepared(compiled, k_distribution(config.scenario, key=jax.random.fold_in(key, _K)))


def _place(point: Point) -> tuple[str, int, float]:
    return point.scenario, 2**point.bits_per_symbol, point.snr_db


def _identity(row: Row) -> tuple[str, int, float, str]:
    return row["scenario"], row["constellation"], row["snr_db"], row["receiver"]


def _snrs_db(curve: Sequence[Point]) -> tuple[float, ...]:
    return tuple(point.snr_db for point in curve)
