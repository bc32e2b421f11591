"""A profile as tables of 100 columns."""

from collections.abc import Sequence
from typing import Any

from wfm_jax.results.naming import DASH

Row = dict[str, Any]
_NOTE = """\
From prepared inputs to bits and all other answers, in turns on the same frames. Slots: p95 of a
frame over the {slot_ms:.3f} ms that it is on the air. Faster: than ONNX float32, median over turns.
MiB of memory: of an ONNX file what it takes beyond the interpreter and its libraries; of a compiled
program what its compiler says."""


def print_profile(rows: Sequence[Row], title: str, slot_ms: float, console: Any) -> None:
    """Prints a block a batch size, and what its columns mean."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    for batch_size in dict.fromkeys(row["batch_size"] for row in rows):
        frames = "1 frame" if batch_size == 1 else f"{batch_size} frames"
        table = Table(
            title=f"{title}: {frames} at a time",
            box=SIMPLE_HEAD,
            padding=(0, 1),
            pad_edge=False,
            title_justify="left",
        )
        table.add_column("form", no_wrap=True)
        for heading in ("p50 ms", "p95 ms", "slots", "frames/s", "faster", "file kB", "MiB"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in rows:
            if row["batch_size"] == batch_size:
                table.add_row(row["form"], *_cells(row))
        console.print(table)
    console.print(
        _NOTE.format(slot_ms=slot_ms), style="dim", markup=False, highlight=False, soft_wrap=True
    )


def _cells(row: Row) -> list[str]:
    return [
        f"{row['p50_ms']:.2f}",
        f"{row['p95_ms']:.2f}",
        f"{row['slots']:.1f}",
        f"{row['frames_per_s']:,.0f}",
        DASH if row["times_faster"] is None else f"{row['times_faster']:.2f}x",
        DASH if row["size_bytes"] is None else f"{row['size_bytes'] / 1e3:,.1f}",
        DASH if row["memory_bytes"] is None else f"{row['memory_bytes'] / 2**20:.1f}",
    ]
