"""The result of the suite ``train`` as two tables of at most 100 columns."""

from typing import Any

from rich.table import Table


def tables(result: dict[str, Any]) -> list[Table]:
    """Throughput of the implementations, and the parts of our step."""
    return [_throughput(result), _parts(result)]


def _throughput(result: dict[str, Any]) -> Table:
    peaks = result["matrix_operations_per_second"]
    best = max(peaks, key=peaks.get)
    compiled = ", ".join(f"{name} {s:.0f} s" for name, s in result["compile_s"].items())
    operations = result["matrix_operations_per_step"]
    table = Table(
        title=(
            f"Training step of a model of {result['parameters']:,} parameters on "
            f"{result['frames_per_step']} frames"
        ),
        caption=(
            "Medians; ratio of times to ours with frames given: median (least-most) of the rounds."
            f"\nOperations: of matrix products, {operations / 1e9:.3g} G; "
            f"peak: {peaks[best] / 1e9:.0f} G a second, {best}'s float32 matrix product:\n"
            f"{result['bound_ms']:.2f} ms a step. "
            f"Memory of ours: {result['state_bytes'] / 2**20:.1f} MiB of parameters and optimizer, "
            f"{result['temporary_bytes'] / 2**20:.1f} MiB beside them;\n"
            f"each read and written once, {result['memory_ms']:.2f} ms a step.\n"
            f"To compile: {compiled}."
        ),
    )
    table.add_column("implementation")
    for column in ("frames/s", "ms/step", "GFLOP/s", "share of peak", "ratio to ours"):
        table.add_column(column, justify="right")
    for name, measured in result["implementations"].items():
        ratio = measured["ratio"]
        table.add_row(
            name,
            f"{measured['frames_per_second']:,.0f}",
            f"{measured['ms_per_step']:.1f}",
            f"{measured['operations_per_second'] / 1e9:.1f}",
            f"{measured['share_of_peak']:.1%}",
            f"{ratio['median']:.2f} ({ratio['least']:.2f}-{ratio['most']:.2f})",
        )
    for name in result["failures"]:
        table.add_row(name, "does not run here", "-", "-", "-", "-")
    return table


def _parts(result: dict[str, Any]) -> Table:
    table = Table(title="Parts of our step, each compiled alone")
    table.add_column("part")
    for column in ("ms", "share of a step"):
        table.add_column(column, justify="right")
    whole = result["implementations"]["ours"]["ms_per_step"]
    for name, part_ms in result["parts_ms"].items():
        table.add_row(name, f"{part_ms:.2f}", f"{part_ms / whole:.0%}")
    return table
