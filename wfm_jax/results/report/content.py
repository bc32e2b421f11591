"""What the page shows of runs: the findings in words, and the data that its pictures draw."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from wfm_jax.results import choose, naming, plots, verdict
from wfm_jax.results.naming import Row, number
from wfm_jax.results.pareto import pareto_ranks
from wfm_jax.results.report.columns import packed, rounded, views
from wfm_jax.results.report.commands import Commands
from wfm_jax.results.report.extras import Cells, Profile
from wfm_jax.results.report.run_folder import Run
from wfm_jax.results.sensitivity_rows import short_name

LOSSES = (0.01, 0.05, 0.1, 0.2)
_MOST_CURVES = 4  # that are drawn at first
_SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down", "D": "diamond"}
_TASKS = (  # column, heading, factor, unit, decimals, whether more is better
    ("amc_accuracy", "AMC accuracy", 100, "points", 1, True),
    ("gmi_fraction", "GMI fraction", 1, "", 3, True),
    ("channel_nmse_db", "Channel NMSE", 1, "dB", 2, False),
    ("k_mae_db", "K-factor error", 1, "dB", 2, False),
    ("snr_mae_db", "SNR error", 1, "dB", 2, False),
    ("los_accuracy", "LOS accuracy", 100, "points", 1, True),
)
_CELL = ("difference", "low", "high")


class Choice(NamedTuple):
    """The smallest file that keeps ``1 - loss`` of the teacher on every task.

    Attributes:
        run: name of its run.
        loss: a share.
        row: None where no configuration keeps so much.
        index: of the row on the page, -1 for none.
        best: what the best configuration keeps instead, in words; empty where there is a row.
    """

    run: str
    loss: float
    row: Row | None
    index: int
    best: str


class Finding(NamedTuple):
    """What is said of a run before any picture: sentences, choices, and numbers of its rows."""

    run: Run
    sentences: list[str]
    choices: list[Choice]
    n_finished: int
    n_other: int


def findings(runs: Sequence[Run]) -> list[Finding]:
    """What is said of each run."""
    start, found = 0, []
    for run in runs:
        done = choose.finished(run.rows)
        of_all = len(naming.configurations(run.rows))
        choices = [_choice(run, loss, start) for loss in LOSSES]
        found.append(Finding(run, verdict.sentences(run.rows), choices, len(done),
                             of_all - len(done)))  # fmt: skip
        start += len(run.rows)
    return found


def _choice(run: Run, loss: float, start: int) -> Choice:
    try:
        row = choose.smallest_within(run.rows, loss)
    except ValueError:
        known = [r for r in choose.finished(run.rows) if number(r, "retention") > -1e9]
        best = max(known, key=lambda r: number(r, "retention"), default=None)
        words = "none has a retention" if best is None else (
            f"none; {naming.point_name(best)} keeps {100 * number(best, 'retention'):.1f} "
            f"± {100 * number(best, 'retention_ci95'):.1f} %"
        )  # fmt: skip
        return Choice(run.name, loss, None, -1, words)
    index = start + next(i for i, own in enumerate(run.rows) if own is row)
    return Choice(run.name, loss, row, index, "")


def differences(runs: Sequence[Run]) -> list[str]:
    """In words, why rows of several runs may not compare."""
    found = []
    for column, words in (
        ("teacher_hash", "other teachers: each retention is of its own teacher"),
        ("test_frames_hash", "other test frames: scores differ by the frames too"),
    ):
        sets = [{row[column] for row in run.rows} - {None} for run in runs]
        if len(set().union(*sets)) > 1:
            found.append(f"These rows were measured with {words}.")
    names = [{n for row in run.rows for n, v in row.items() if v is not None} for run in runs]
    for (a, of_a), (b, of_b) in itertools.combinations(zip(runs, names, strict=True), 2):
        if of_a and of_b and (alone := sorted(of_a ^ of_b)):
            found.append(
                f"{a.name} and {b.name} have different columns: {len(alone)} are in one of them "
                "alone, and empty in the other's rows."
            )
    return found


def data(
    found: Sequence[Finding],
    commands: Sequence[Commands | None],
    cells: Sequence[Cells] = (),
    profiles: Sequence[Profile] = (),
) -> dict[str, Any]:
    """What the page's pictures and its table are made of, in JSON's types."""
    runs = [finding.run for finding in found]
    rows = [row for run in runs for row in _shown(run, several=len(runs) > 1)]
    columns = packed(rows)
    return {
        "count": len(rows),
        "columns": columns,
        "views": views([column["name"] for column in columns]),
        "references": _references(runs),
        "panels": [_panel(plots.RETENTION if _has_retention(runs) else plots.GMI),
                   _panel(plots.SNR_LOSS)],
        "stages": {stage: {"color": color, "symbol": _SYMBOLS[mark], "words": words}
                   for stage, (color, mark, words) in plots.LAST_STAGE.items()},
        "tasks": [dict(zip(("column", "heading", "factor", "unit", "decimals", "more"), task,
                           strict=True)) for task in _TASKS],
        "chosen": _chosen(found),
        "contrasts": _contrasts(runs),
        "commands": _commands(runs, commands),
        "cells": [heat_map(found) for found in cells if found.rows],
        "profiles": [{"title": p.title, "slot_ms": p.slot_ms, "rows": p.rows} for p in profiles],
    }  # fmt: skip


def curves(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Bit error rates by the row's index on the page, one dict a run that has any."""
    start, found = 0, []
    for run in runs:
        if run.curves:
            ber = {start + i: [[rounded(v, 3) for v in own] for own in run.curves.ber[identity]]
                   for i, row in enumerate(run.rows)
                   if (identity := row["config_id"]) in run.curves.ber}  # fmt: skip
            found.append({"snrs_db": run.curves.snrs_db, "ber": ber, "start": start,
                          "bits_per_symbol": run.curves.bits_per_symbol})  # fmt: skip
        start += len(run.rows)
    return found


def _has_retention(runs: Sequence[Run]) -> bool:
    return naming.quality_column([row for run in runs for row in run.rows]) == "retention"


def _shown(run: Run, several: bool) -> list[dict[str, Any]]:
    """Rows with what the page calls them, and their rank among all that have come to their end."""
    ranks = _ranks(run.rows)
    return [
        {
            **({"run": run.name} if several else {}),
            "rank": rank,
            "name": naming.point_name(row),
            "last": "" if naming.is_reference(row) else plots.last_stage(row),
            **row,
        }
        for rank, row in zip(ranks, run.rows, strict=True)
    ]


def _ranks(rows: Sequence[Row]) -> list[int | None]:
    places = [i for i, row in enumerate(rows)
              if not naming.is_reference(row) and row["status"] == "ok"]  # fmt: skip
    ranks: list[int | None] = [None] * len(rows)
    own = [rows[i] for i in places]
    quality = naming.numbers(own, naming.quality_column(rows))
    found = pareto_ranks(naming.numbers(own, "size_bytes"), quality)
    for i, rank in zip(places, found, strict=True):
        ranks[i] = int(rank)
    return ranks


def _references(runs: Sequence[Run]) -> list[dict[str, int]]:
    """Where the reference rows are, by name, one dict a run."""
    start, found = 0, []
    for run in runs:
        own = {row["pipeline"]: start + i for i, row in enumerate(run.rows)
               if naming.is_reference(row) and row["pipeline"] in naming.REFERENCES}  # fmt: skip
        found.append(own)
        start += len(run.rows)
    return found


def _panel(panel: plots.Panel) -> dict[str, Any]:
    return panel._asdict() | {"more": panel.larger_is_better}


def _chosen(found: Sequence[Finding]) -> list[int]:
    """Rows whose curves are drawn at first: the choices, then the best small files."""
    picked = [c.index for finding in found for c in finding.choices if c.row]
    start = 0
    for run in [finding.run for finding in found]:
        ranks = _ranks(run.rows)
        front = [i for i, rank in enumerate(ranks) if rank == 1]
        front.sort(key=lambda i: number(run.rows[i], "size_bytes"))
        picked += [start + front[j] for j in (len(front) // 2, len(front) // 4) if front]
        start += len(run.rows)
    return list(dict.fromkeys(picked))[:_MOST_CURVES]


def _contrasts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Those of all runs, pair by pair and of a pair point by point, so that seeds and runs stand
    beside each other."""
    found = [_contrast(run, row) for run in runs for row in run.contrasts]
    pairs = {pair: i for i, pair in enumerate(dict.fromkeys(one["pair"] for one in found))}
    points = {at: i for i, at in enumerate(dict.fromkeys(one["where"] for one in found))}
    return sorted(found, key=lambda one: (pairs[one["pair"]], points[one["where"]]))


def _contrast(run: Run, row: Row) -> dict[str, Any]:
    bits, sparsity = row["weight_bits"], row["sparsity"]
    point = " ".join(
        ([] if bits is None else [f"{bits:g}b"])
        + ([] if sparsity is None else [f"{100 * sparsity:.3g}%"])
    )
    student = row["student"] or "same"
    words = [point or naming.DASH, "" if student == "same" else student, row["ways"]]
    return {
        "run": run.name,
        "pair": f"{row['a']} less {row['b']}",
        "where": " ".join(filter(None, words)),
        "seed": row["seed"],
        "metric": row["metric"],
        **{name: rounded(row[name], 5) for name in _CELL},
    }


def _commands(runs: Sequence[Run], commands: Sequence[Commands | None]) -> list[dict[str, Any]]:
    found = []
    for run, given in zip(runs, commands, strict=True):
        known = given or Commands("", "", [""] * len(run.rows), [""] * len(run.rows))
        remarks = list(dict.fromkeys(known.remarks))
        place = {text: i for i, text in enumerate(remarks)}
        own, codes = list(known.own), [place[text] for text in known.remarks]
        found.append(known._asdict() | {"own": own, "remarks": remarks, "codes": codes})
    return found


def heat_map(cells: Cells) -> dict[str, Any]:
    """Sensitivity as a matrix: a line a tensor, a column a level, None where nothing was measured.

    ``certain`` says where the paired 95 % interval excludes zero.
    """
    tensors = list(dict.fromkeys(row["tensor"] for row in cells.rows))
    levels = list(dict.fromkeys((row["method"], row["level"]) for row in cells.rows))
    line = {name: i for i, name in enumerate(tensors)}
    place = {level: i for i, level in enumerate(levels)}
    rise: list[list[Any]] = [[None] * len(levels) for _ in tensors]
    certain = [[False] * len(levels) for _ in tensors]
    for row in cells.rows:
        i, j = line[row["tensor"]], place[row["method"], row["level"]]
        rise[i][j] = rounded(row["task_loss_change"], 4)
        low, high = number(row, "task_loss_change_low"), number(row, "task_loss_change_high")
        certain[i][j] = bool(low > 0.0 or high < 0.0)
    words = [
        f"{at:g} bits" if method == "bits" else f"{100 * at:g} % pruned" for method, at in levels
    ]
    return {"name": cells.name, "tensors": [short_name(name) for name in tensors],
            "levels": words, "rise": rise, "certain": certain}  # fmt: skip
