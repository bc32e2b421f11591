"""The table of exported files: how large they are, and how far from the compressed model."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from wfm_jax.export.forms import Agreement, Written
from wfm_jax.results.naming import DASH


def print_table(
    title: str,
    written: Sequence[Written],
    found: Mapping[str, Agreement],
    teacher_bytes: float,
    console: Console,
) -> None:
    """Prints it.

    Args:
        title: the configuration.
        written: the files.
        found: what running them found, by form.
        teacher_bytes: of the teacher's float32 file; NaN where it is not known.
        console: where to.
    """
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("file", "kB", "smaller", "bits that differ", "classes", "channel dB"):
        table.add_column(heading, justify="left" if heading == "file" else "right", no_wrap=True)
    for file in written:
        agreed = found[file.form]
        table.add_row(
            file.path.name,
            f"{file.size_bytes / 1e3:,.1f}",
            f"{teacher_bytes / file.size_bytes:.1f}x" if teacher_bytes > 0 else DASH,
            f"{agreed.bits:.3%}",
            f"{agreed.classes:.1%}",
            f"{agreed.channel_db:.1f}",
        )
    console.print(table)
    console.print(
        "Smaller: than the teacher's float32 file. Differ: from the compressed model in JAX, on 64 "
        "frames\nthat it was told nothing of.",
        style="dim",
        highlight=False,
    )
