"""The result of the suite ``signal`` as two tables of at most 100 columns."""

from typing import Any

from rich.table import Table


def tables(result: dict[str, Any]) -> list[Table]:
    """Throughput beside the peer, and the cost of each stage."""
    return [_throughput(result), _stages(result)]


def _throughput(result: dict[str, Any]) -> Table:
    table = Table(title="Bits to LLRs, million symbols per second")
    table.add_column("case")
    for column in ("here", "Sionna", "times as fast", "asked"):
        table.add_column(column, justify="right")
    for name, case in result["cases"].items():
        rates, ratio, asked = (
            case["megasymbols_per_second"],
            case.get("ratio"),
            case["target_ratio"],
        )
        table.add_row(
            name,
            f"{rates['ours']:.3g}",
            f"{rates['sionna']:.3g}" if ratio else "-",
            f"{ratio['median']:.1f} ({ratio['least']:.1f}-{ratio['most']:.1f})" if ratio else "-",
            f"{asked:g}" if asked else "-",
        )
    return table


def _stages(result: dict[str, Any]) -> Table:
    peak = result["machine_per_second"]
    table = Table(
        title="Stages, each compiled alone, per symbol",
        caption=(
            f"compute: share of the time needed at {peak['operations'] / 1e9:.0f} G operations and "
            f"{peak['exponentials'] / 1e9:.1f} G exponentials a second, "
            f"memory: at {peak['memory_bytes'] / 1e9:.0f} GB/s of main memory, as measured here "
            "(above 100%: it stays in a cache).\n"
            "temp: what the program allocates beside its inputs and outputs, per frame."
        ),
    )
    table.add_column("case")
    table.add_column("stage")
    for column in ("ns", "operations", "exp, log", "bytes", "compute", "memory", "temp KiB"):
        table.add_column(column, justify="right")
    for name, case in result["cases"].items():
        for stage, cost in case["stages"].items():
            table.add_row(
                name.replace(", ", "\n") if stage == "bits" else "",
                stage,
                f"{cost['ns_per_symbol']:.1f}",
                f"{cost['operations_per_symbol']:.0f}",
                f"{cost['transcendentals_per_symbol']:.1f}",
                f"{cost['bytes_per_symbol']:.0f}",
                f"{cost['arithmetic_share']:.0%}",
                f"{cost['bandwidth_share']:.0%}",
                f"{cost['temporary_bytes_per_frame'] / 1024:.1f}",
                end_section=stage == "all",
            )
    return table
