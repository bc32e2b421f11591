"""Contrasts: paired differences between pipelines at the same operating point.

Both sides are scored on the same frames, so what is common to them cancels: a contrast resolves
what two separate intervals do not. Intervals are over frames, of one seed each.
"""

import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.intervals import paired_difference, resample_weights
from wfm_jax.results import atomic, naming
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.sweep.measure import RESAMPLES_SEED, load_scores

PAIRS = (
    ("P-Q-KD", "P-Q"),
    ("P-Q-FT", "P-Q"),
    ("P-Q-KD", "P-Q-FT"),
    ("Q-P-KD", "Q-P-FT"),
    ("Q-P-KD", "P-Q-KD"),
    ("P-KD-Q", "P-Q-KD"),
    ("P-S-KD", "P-S-FT"),
)
MOST = 40  # pairs that are read on a screen
METRICS = {"amc_accuracy": metrics.amc_accuracy, "gmi_fraction": metrics.gmi_fraction}
_POINT = ("sparsity", "weight_bits")
_SAME = (
    *(*_POINT, "student", "init", "structure", "distribution", "score"),
    *("act_bits", "table_bits", "vector_bits", "scale", "rounding", "bound", "group_size"),
    *("quant_format", "allocation", "rank_share", "schedule"),
)
_SAME_IF_BOTH = (
    *("seed", "learning_rate", "steps", "recovery_steps", "temperature", "alpha"),
    *("feature_weight", "relation_weight", "attention_weight"),
)


def contrasts(
    rows: Sequence[dict[str, Any]],
    folder: str | os.PathLike,
    test_set: TestSet,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Differences of :data:`PAIRS` wherever both sides were measured at one operating point.

    Args:
        rows: of the run.
        folder: of the run.
        test_set: its frames.
        progress: told of every pair, where there are many.

    Returns:
        One dict a pair and metric: ``a``, ``b`` (pipelines with their marks), the operating point,
        ``student``, ``seed``, ``ways`` (words for how ``a`` acts, less those of all rows),
        ``metric``, ``difference`` (a minus b), ``low`` and ``high`` of its 95 % interval.
    """
    weights = resample_weights(test_set.strata, seed=RESAMPLES_SEED)
    found, pairs, shared = [], list(_matches(rows)), set(naming.shared_ways(rows))
    progress = progress if progress and len(pairs) > MOST else Silent()
    progress.start("comparing pairs", len(pairs))
    for a, b in pairs:
        one, other = (load_scores(folder, row["config_id"], test_set) for row in (a, b))
        for name, metric in METRICS.items():
            difference, low, high = paired_difference(metric, one, other, weights)
            found.append(
                {
                    "a": naming.pipeline_name(a),
                    "b": naming.pipeline_name(b),
                    **{column: a[column] for column in (*_POINT, "student", "seed")},
                    "ways": " ".join(way for way in naming.ways(a) if way not in shared),
                    "metric": name,
                    "difference": difference,
                    "low": low,
                    "high": high,
                }
            )
        progress.advance(1)
    return found


def write_contrasts(found: Sequence[dict[str, Any]], path: str | os.PathLike) -> None:
    """Writes contrasts as JSON, one a line."""
    lines = [json.dumps(contrast) + "\n" for contrast in found]
    atomic.write_bytes(pathlib.Path(path), "".join(lines).encode())


def print_contrasts(found: Sequence[dict[str, Any]], console: Console) -> None:
    """Prints a row for each pair at each operating point, dim where the sign is open; of more than
    :data:`MOST` pairs the first."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.title = "Paired differences on the same test frames, with their 95 % intervals"
    for heading in ("contrast", "point", "student", "seed"):
        table.add_column(heading, no_wrap=True)
    for heading in ("AMC, points", "GMI fraction"):
        table.add_column(heading, justify="right", no_wrap=True)
    pairs = list(zip(found[::2], found[1::2], strict=True))
    for amc, gmi in pairs[:MOST]:
        table.add_row(
            f"{amc['a']} - {amc['b']}",
            _point(amc),
            amc["student"],
            str(amc["seed"]),
            _cell(amc, 100.0, 1),
            _cell(gmi, 1.0, 4),
        )
    console.print(table)
    if len(pairs) > MOST:
        more = f"The first {MOST} of {len(pairs):,}; all of them are in contrasts.jsonl."
        console.print(more, style="dim", highlight=False)


def _point(contrast: dict[str, Any]) -> str:
    """``4b 75% 2:4``; without what the pipelines do not act on."""
    bits, sparsity = contrast["weight_bits"], contrast["sparsity"]
    return " ".join(
        ([] if bits is None else [f"{bits:g}b"])
        + ([] if sparsity is None else [f"{100 * sparsity:g}%"])
        + ([contrast["ways"]] if contrast["ways"] else [])
    )


def _cell(contrast: dict[str, Any], scale: float, digits: int) -> str:
    values = (scale * contrast[name] for name in ("difference", "low", "high"))
    text = "{:+.{d}f} [{:+.{d}f}, {:+.{d}f}]".format(*values, d=digits)
    open_sign = contrast["low"] <= 0.0 <= contrast["high"]
    return f"[dim]{escape(text)}[/dim]" if open_sign else escape(text)


def _matches(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[dict, dict]]:
    for first, second in PAIRS:
        of = {
            name: [r for r in rows if r["pipeline"] == name and r["status"] == "ok" and _plain(r)]
            for name in (first, second)
        }
        yield from ((a, b) for a in of[first] for b in of[second] if _comparable(a, b))


def _comparable(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two rows differ in the pipeline alone; a setting that one lacks cannot differ."""
    same = all(a[column] == b[column] for column in _SAME)
    return same and all(
        a[column] == b[column] for column in _SAME_IF_BOTH if None not in (a[column], b[column])
    )


def _plain(row: dict[str, Any]) -> bool:
    """No factor but the pipeline: default scoring and start of training."""
    return row["score_on"] in (None, "current") and row["train_from"] in (None, "snapped")
