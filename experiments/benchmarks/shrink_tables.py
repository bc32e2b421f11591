"""The result of the suite ``shrink`` as a table of at most 100 columns."""

from typing import Any

from rich.table import Table


def tables(result: dict[str, Any]) -> list[Table]:
    """Time and operations of a forward pass, dense, masked and shrunk."""
    share = result["settings"]["sparsity"]
    table = Table(
        title=f"A forward pass without {share:.0%} of its heads and neurons",
        caption="Medians; times faster than dense: median (least-most) of the rounds.",
    )
    for column in ("model", "frames", "variant"):
        table.add_column(column)
    for column in ("parameters", "M MACs a frame", "ms", "times faster"):
        table.add_column(column, justify="right")
    for case in result["cases"]:
        for name, measured in case["variants"].items():
            ratio = measured["times_faster"]
            table.add_row(
                case["model"],
                str(case["batch_size"]),
                name,
                f"{measured['parameters']:,}",
                f"{measured['macs_per_frame'] / 1e6:.2f}",
                f"{measured['ms']:.2f}",
                f"{ratio['median']:.2f} ({ratio['least']:.2f}-{ratio['most']:.2f})",
            )
        table.add_section()
    return [table]
