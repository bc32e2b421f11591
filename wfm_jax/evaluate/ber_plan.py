"""What error-rate curves would cost: at most so many frames at each point, one batch timed here."""

import os
import pathlib

import jax
import jax.numpy as jnp

from wfm_jax.evaluate.ber_files import ROWS
from wfm_jax.evaluate.ber_study import Study
from wfm_jax.evaluate.detection import link_step
from wfm_jax.evaluate.estimators import classical_estimators
from wfm_jax.evaluate.measuring_plan import frame_bytes
from wfm_jax.evaluate.probe import time_program
from wfm_jax.results import ber_rows
from wfm_jax.results.plan import Fact, Plan, about, counted, disk_fact
from wfm_jax.results.room import in_units
from wfm_jax.results.rows import rows_so_far

_ROW_BYTES, _PICTURE_BYTES = 1500.0, 500e3


def plan_curves(
    study: Study, folder: Fact, workdir: str | os.PathLike, *, goes_on: bool = False
) -> Plan:
    """The plan of a study of error rates.

    Args:
        study: what to measure.
        folder: what would become of the run folder.
        workdir: where it would write.
        goes_on: whether what the folder holds is this study's.
    """
    path = pathlib.Path(workdir) / ROWS
    rows = rows_so_far(path, ber_rows.COLUMNS) if goes_on else []
    done = {(row["scenario"], row["constellation"], row["snr_db"]) for row in rows}
    points = [point for curve in study.curves() for point in curve]
    left = [p for p in points if (p.scenario, 2**p.bits_per_symbol, p.snr_db) not in done]
    batches = -(-study.stop.max_frames // study.batch_frames)
    most = batches * study.batch_frames
    n_scenarios = len({point.scenario for point in left})
    facts = [
        folder,
        Fact(
            "points",
            f"{len(left):,}",
            f"{len(points):,} in {counted(len(study.curves()), 'curve')} of "
            f"{', '.join(study.links)}, {len(points) - len(left)} have rows; "
            f"receivers {', '.join(study.receivers)}",
        ),
        Fact(
            "frames",
            f"at most {len(left) * most:,}",
            f"{most:,} a point, fewer where {study.stop.target_frame_errors:,} are wrong before or "
            "a curve ends",
        ),
        Fact("compiling", counted(n_scenarios, "program"), "one of each scenario"),
        Fact(
            "memory",
            in_units(2.0 * study.batch_frames * max(map(frame_bytes, study.links.values()))),
            f"{study.batch_frames} frames at once, twice for what is made of them",
        ),
        disk_fact(workdir, len(left) * len(study.receivers) * _ROW_BYTES + _PICTURE_BYTES, "rows"),
    ]
    if not left:
        nothing = Fact("time", "seconds", "every row is there; the picture is drawn anew")
        return Plan("error-rate curves, nothing is missing", (*facts[:2], nothing))
    compile_s, batch_s = _timed(study, left[0].scenario)
    basis = (
        f"an estimate from a batch of {left[0].scenario} timed here: {compile_s:.2g} s to compile, "
        f"{batch_s:.2g} s for {study.batch_frames} frames"
    )
    time = Fact(
        "time",
        f"at most {about(n_scenarios * compile_s + len(left) * batches * batch_s)}",
        basis,
    )
    return Plan("error-rate curves", (*facts, time))


def _timed(study: Study, scenario: str) -> tuple[float, float]:
    """Seconds to compile a scenario's step, and of a batch."""
    config, key = study.links[scenario], jax.random.key(study.seed)
    estimators = classical_estimators(config, study.receivers, key=key, over_time=study.over_time)
    step = link_step(
        config,
        estimators,
        batch_frames=study.batch_frames,
        demapping=study.demapping,
        decisions=study.decisions,
    )
    return time_program(step, key, jnp.float32(10.0), jnp.int32(0))
