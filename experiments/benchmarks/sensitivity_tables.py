"""The result of the suite ``sensitivity`` as a table of at most 100 columns."""

from typing import Any

from rich.table import Table


def tables(result: dict[str, Any]) -> list[Table]:
    """Seconds for the whole grid, three ways."""
    settings, seconds = result["settings"], result["seconds"]
    each = result["seconds_each"]
    table = Table(
        title=f"{result['tensors']} tensors at {len(settings['bits'])} numbers of bits, "
        f"{settings['frames']} frames each",
        caption=f"One by one: {len(each)} of {result['cells']} cells were run, {min(each):.1f} to "
        f"{max(each):.1f} s, the rest is reckoned. Task losses differ by at most "
        f"{result['largest_difference']:.0e} of their value.",
    )
    for column in ("", "programs", "s", "s a cell", "one program = 1"):
        table.add_column(column, justify="right" if column else "left")
    programs = (result["compiles"], result["cells"], 1)
    for (name, total), count in zip(seconds.items(), programs, strict=True):
        table.add_row(
            name,
            str(count),
            f"{total:.0f}",
            f"{total / result['cells']:.2f}",
            f"{total / seconds['one program']:.1f}",
        )
    return [table]
