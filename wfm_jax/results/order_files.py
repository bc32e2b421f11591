"""What an order study leaves in a folder: verdict, numbers, pictures, and the rows they are of."""

import json
import math
import os
import pathlib
from typing import Any

from wfm_jax.results import atomic
from wfm_jax.results.order_contrasts import CONTRASTS, OTHERS, PRIMARY
from wfm_jax.results.order_curves_picture import curves_picture
from wfm_jax.results.order_exploratory import exploratory
from wfm_jax.results.order_pictures import forest_picture, size_picture
from wfm_jax.results.order_points import points, units
from wfm_jax.results.order_rows import StudyRows
from wfm_jax.results.order_sanity import sameness
from wfm_jax.results.order_study import (
    Answer,
    answers,
    established_when_shuffled,
)
from wfm_jax.results.order_teachers import over_teachers
from wfm_jax.results.order_verdict import Findings, verdict
from wfm_jax.results.rows import write_parquet
from wfm_jax.results.sign_flips import Interval

VERDICT, EXPLORATORY = "verdict.txt", "exploratory.txt"
NUMBERS, ROWS = "order_contrasts.jsonl", "rows.parquet"
FOREST, SIZES, CURVES = "contrasts.png", "contrasts_over_size.png", "orders.png"


def write_study(
    study: StudyRows, folder: str | os.PathLike, *, shuffles: int = 0, seed: int = 0
) -> Findings:
    """Answers the declared contrasts and writes everything, each file in one step.

    Args:
        study: the rows.
        folder: where to, made if it is not there.
        shuffles: runs with exchanged labels.
        seed: of the exchanges.

    Returns:
        What was found.

    Raises:
        ValueError: a teacher's reference rows are missing.
    """
    measured = points(study, PRIMARY)
    chance = None
    if shuffles:
        n = established_when_shuffled(measured, CONTRASTS, shuffles, seed=seed)
        chance = (n, shuffles)
    findings = Findings(
        study,
        units(measured),
        answers(measured, CONTRASTS),
        [(score, answers(points(study, score), CONTRASTS)) for score in OTHERS],
        sameness(study.rows),
        chance,
    )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(folder / VERDICT, verdict(findings).encode())
    atomic.write_bytes(folder / EXPLORATORY, exploratory(measured).encode())
    _write_numbers(findings, folder / NUMBERS)
    write_parquet(study.rows, folder / ROWS)
    forest_picture(findings.answers, folder / FOREST)
    size_picture(findings.answers, folder / SIZES)
    curves_picture(measured, folder / CURVES)
    return findings


def _write_numbers(findings: Findings, path: pathlib.Path) -> None:
    """A line a contrast and score: those of the primary score have verdicts and sizes."""
    lines = [_declared(i, answer) for i, answer in enumerate(findings.answers, start=1)]
    lines += [
        {"contrast": i, "score": score.column, "name": score.name, "exploratory": True,
         **_difference(answer), "p": answer.p, "p_holm": answer.p_holm}
        for score, of in findings.others
        for i, answer in enumerate(of, start=1)
    ]  # fmt: skip
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    atomic.write_bytes(path, text.encode())


def _declared(i: int, answer: Answer) -> dict[str, Any]:
    estimate, teachers = answer.estimate, over_teachers(answer.estimate)
    return {
        "contrast": i,
        "score": PRIMARY.column,
        "name": PRIMARY.name,
        "exploratory": False,
        **_difference(answer),
        "together": _ends(answer.together),
        "p": answer.p,
        "p_holm": answer.p_holm,
        "verdict": answer.verdict,
        "why": estimate.why,
        "missing": estimate.missing,
        "failed": list(estimate.failed),
        "seeds": [[*unit] for unit in estimate.units],
        "differences": estimate.differences.tolist(),
        "by_teacher": teachers.means,
        "teachers": _ends(teachers.interval),
        "sizes": [
            {
                "structure": panel.structure,
                "size_bytes": panel.size_bytes.tolist(),
                "difference": panel.differences.mean(axis=0).tolist(),
                "band": [_ends(interval) for interval in panel.band()],
                "indifferent_from": panel.indifferent_from(),
            }
            for panel in estimate.panels
        ],
    }


def _difference(answer: Answer) -> dict[str, Any]:
    """In the units of the score, larger is better."""
    known = math.isfinite(answer.difference)
    return {
        "a": answer.contrast.a_name,
        "b": answer.contrast.b_name,
        "difference": answer.difference if known else None,
        "interval": _ends(answer.interval),
    }


def _ends(interval: Interval) -> list[float | None]:
    return [end if math.isfinite(end) else None for end in interval]
