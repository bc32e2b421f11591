"""Which configurations of a sweep meet what a person needs: bytes, latency, bit errors."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.profiling import artefacts, study
from wfm_jax.export.load_model import load_model
from wfm_jax.results import choose
from wfm_jax.results.naming import number, point_name, reference
from wfm_jax.results.progress import Progress
from wfm_jax.results.rows import rows_so_far

Row = dict[str, Any]


class Targets(NamedTuple):
    """Limits; None is no limit.

    Attributes:
        max_bytes: of the packed file.
        max_p95_ms: of one frame at a time, as an ONNX file.
        max_ber_loss: growth of bit errors, of the teacher's, in the worst constellation.
        candidates: configurations to time at most.
    """

    max_bytes: float | None
    max_p95_ms: float | None
    max_ber_loss: float | None
    candidates: int


class Verdict(NamedTuple):
    """What came out.

    Attributes:
        n_rows: configurations that the sweep finished.
        n_small: of these, with files that are small enough.
        n_exact: of those, with bit errors that are few enough.
        timed: rows of those that were timed: the configuration's, with ``p50_ms``, ``p95_ms``,
            ``ber_loss`` and ``meets``.
    """

    n_rows: int
    n_small: int
    n_exact: int
    timed: list[Row]


class Sweep(NamedTuple):
    """The finished configurations of a run folder, and its teacher's row."""

    folder: pathlib.Path
    teacher: Any
    rows: list[Any]


def rows_of(folder: pathlib.Path) -> Sweep:
    """The rows of a sweep; ValueError where there are none that are finished."""
    rows = rows_so_far(folder / "results.jsonl")
    teacher, done = reference(rows, "teacher"), choose.finished(rows)
    if teacher is None or not done:
        raise ValueError(f"--sweep={folder}: no sweep with finished configurations")
    return Sweep(folder, teacher, done)


def hold_against(
    targets: Targets,
    sweep: Sweep,
    settings: study.Settings,
    folder: pathlib.Path,
    progress: Progress,
) -> Verdict:
    """Times the best configurations that meet what rows tell, in turns.

    Args:
        targets: the limits.
        sweep: from :func:`rows_of`.
        settings: how to time.
        folder: of the ONNX files, which stay there.
        progress: one step a call of all.

    Raises:
        ValueError: a packed file that is damaged.
    """
    small = [r for r in sweep.rows if _within(number(r, "size_bytes"), targets.max_bytes)]
    exact = [r for r in small if _within(choose.ber_loss(r, sweep.teacher), targets.max_ber_loss)]
    best = sorted(exact, key=lambda r: (-number(r, "retention"), number(r, "size_bytes")))
    timed = _time(best[: targets.candidates], sweep.folder, settings, folder, progress)
    for row in timed:
        row["ber_loss"] = choose.ber_loss(row, sweep.teacher)
        row["meets"] = _within(row["p95_ms"], targets.max_p95_ms)
    return Verdict(len(sweep.rows), len(small), len(exact), timed)


def _within(value: float, limit: float | None) -> bool:
    return limit is None or value <= limit


def _time(
    rows: Sequence[Any],
    sweep: pathlib.Path,
    settings: study.Settings,
    folder: pathlib.Path,
    progress: Progress,
) -> list[Row]:
    """The rows with their latencies; configurations of one link are timed on the same frames."""
    if not rows:
        return []
    forms, config = [], None
    for row in rows:
        model = load_model(sweep / "files" / f"{row['config_id']}.wfm")
        path = folder / f"{row['config_id']}.onnx"
        forms.append(artefacts.of_onnx(row["config_id"], model, path, settings.n_threads))
        config = model.config
    assert config is not None
    alone = settings._replace(batch_sizes=(1,))
    found = {row["form"]: row for row in study.measure(forms, config, alone, progress)}
    return [
        {
            **row,
            "name": point_name(row),
            **{name: found[row["config_id"]][name] for name in ("p50_ms", "p95_ms")},
            "onnx_bytes": found[row["config_id"]]["size_bytes"],
        }
        for row in rows
    ]


def print_verdict(verdict: Verdict, targets: Targets, console: Any) -> None:
    """Prints who meets the targets, in words and as a table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    n_met = sum(row["meets"] for row in verdict.timed)
    small = (
        "any size" if targets.max_bytes is None else f"at most {targets.max_bytes / 1e3:,.1f} kB"
    )
    exact = "any bit errors" if targets.max_ber_loss is None else (
        f"bit errors within {targets.max_ber_loss:.0%} of the teacher's"
    )  # fmt: skip
    fast = (
        "any latency" if targets.max_p95_ms is None else f"p95 of at most {targets.max_p95_ms:g} ms"
    )
    console.print(
        f"Of {verdict.n_rows} configurations {verdict.n_small} have {small}, {verdict.n_exact} of "
        f"these {exact}; of the {len(verdict.timed)} best of them, which were timed, {n_met} have "
        f"{fast}.",
        highlight=False,
    )
    if not verdict.timed:
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in (
        "config_id",
        "configuration",
        "kB",
        "retention",
        "BER loss",
        "p50 ms",
        "p95 ms",
    ):
        left = heading.startswith("config")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    table.add_column("meets", no_wrap=True)
    for row in verdict.timed:
        table.add_row(
            row["config_id"][:8],
            row["name"],
            f"{row['size_bytes'] / 1e3:,.1f}",
            f"{number(row, 'retention'):.3f}",
            f"{row['ber_loss']:+.1%}",
            f"{row['p50_ms']:.2f}",
            f"{row['p95_ms']:.2f}",
            "all" if row["meets"] else "not p95",
            style=None if row["meets"] else "dim",
        )
    console.print(table)
