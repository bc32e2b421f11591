"""The result of the suite ``engine`` as tables of at most 100 columns."""

from typing import Any

from rich.table import Table

from experiments.benchmarks.engine_beside import ALL_GIVEN, FRAMES_GIVEN, PEERS
from experiments.benchmarks.timing import ratios

_MOST_COLUMNS = 6
_SMALL_SHARE = 0.01


def tables(result: dict[str, Any]) -> list[Table]:
    """For each model and what it computes in: the strategies over C, what else there is as ratios
    to them, peers on the same terms, and where the time goes."""
    found = []
    for model, by_compute in result["models"].items():
        for compute, told in by_compute.items():
            cells = [c for c in result["cells"] if (c["model"], c["compute"]) == (model, compute)]
            found.append(_strategies(result, model, compute, cells))
            if best := fastest(cells):
                found.append(_beside(result, model, compute, best))
                found += _like_for_like(model, compute, best)
            if profiled := told.get("profile"):
                found.append(_profile(model, compute, profiled))
    return found


def fastest(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fastest strategy of every number of configurations, in rising order of that."""
    best: dict[int, dict[str, Any]] = {}
    for cell in cells:
        if "ms" in cell and cell["ms"] < best.get(cell["width"], cell | {"ms": float("inf")})["ms"]:
            best[cell["width"]] = cell
    return [best[width] for width in sorted(best)]


def _strategies(
    result: dict[str, Any], model: str, compute: str, cells: list[dict[str, Any]]
) -> Table:
    cost, device = result["models"][model][compute], result["device"]
    rate, memory = device["matrix_operations"][compute], device["memory_bytes"]
    table = Table(
        title=f"Configuration-steps of {model}, {cost['parameters']:,} parameters, "
        f"{result['settings']['batch_size']} frames, {compute}",
        caption=(
            f"{', '.join(result['devices'])}. Medians of a chunk of steps.\n"
            f"Bound: the longer of {cost['student_operations'] / 1e9:.3g} G operations + "
            f"{cost['teacher_operations'] / 1e9:.3g} G / C at {rate / 1e12:.3g} T a second,\n"
            f"and {(cost['state_bytes'] + cost['kept_bytes']) / 1e6:.0f} MB at "
            f"{memory / 1e9:.0f} GB a second.\n{_products(result)}{_left_out(cells)}"
        ),
    )
    table.add_column("strategy")
    for column in ("C", "ms", "steps/s", "share of bound", "memory MiB", "compile s"):
        table.add_column(column, justify="right")
    for strategy in dict.fromkeys(cell["name"] for cell in cells):
        for cell in cells:
            if cell["name"] == strategy and "ms" in cell:
                table.add_row(strategy, str(cell["width"]), *_numbers(cell))
        table.add_section()
    return table


def _numbers(cell: dict[str, Any]) -> list[str]:
    memory = cell["argument_bytes"] + cell["temporary_bytes"]
    return [
        f"{cell['ms']:.4g}",
        f"{cell['configuration_steps_per_second']:,.0f}",
        f"{cell['share_of_bound']:.0%}",
        f"{memory / 2**20:,.0f}",
        f"{cell['compile_s']:.0f}",
    ]


def _products(result: dict[str, Any]) -> str:
    """What float32 products are computed in, by whom."""
    told = [f"{name} {how['computed_in']}" for name, how in result["products"].items()]
    return f"Products of float32, as measured: {', '.join(told)}."


def _left_out(cells: list[dict[str, Any]]) -> str:
    left_out = [cell for cell in cells if "ms" not in cell]
    return "".join(f"\n{c['name']}, C={c['width']}: {c['skipped'][:70]}." for c in left_out)


def _beside(result: dict[str, Any], model: str, compute: str, best: list[dict[str, Any]]) -> Table:
    if len(best) > _MOST_COLUMNS:  # both ends, and the widest of the others
        best = [best[0], *best[1 - _MOST_COLUMNS :]]
    table = Table(
        title=f"One configuration after the other, {model}, {compute}: time over ours",
        caption="Ours: the fastest strategy of each C. Ratios: median and least-most of the rounds."
        "\nms: median of all rounds. PyTorch's frames are drawn beforehand, ours in the step."
        + "".join(f"\n{name}: {why[:80]}" for name, why in result["failures"].items()),
    )
    table.add_column("ms of a step")
    table.add_column("", justify="right")
    for cell in best:
        table.add_column(f"C={cell['width']}\n{cell['strategy']}", justify="right")
    table.add_row("ours", "", *(f"{cell['ms']:.3g} ms" for cell in best))
    for name in dict.fromkeys(name for cell in best for name in cell["beside"]):
        measured = [cell["beside"].get(name) for cell in best]
        every = sorted(s for of in measured if of for s in of["seconds"])
        ms = 1e3 * every[len(every) // 2]
        table.add_row(name.replace(", ", "\n"), f"{ms:.3g}", *(_ratio(of) for of in measured))
    return table


def _ratio(measured: dict[str, Any] | None) -> str:
    if measured is None:
        return "-"
    ratio = measured["ratio"]
    return f"{ratio['median']:.3g}\n{ratio['least']:.3g}-{ratio['most']:.3g}"


def _like_for_like(model: str, compute: str, cells: list[dict[str, Any]]) -> list[Table]:
    """One configuration alone on both sides, frames drawn before, the teacher on the same terms."""
    table = Table(
        title=f"Alone and on the same terms, {model}, {compute}: time over ours",
        caption="Frames given to both. Median and least-most of the rounds.",
    )
    measured = {name.split(",")[0] for cell in cells for name in cell["beside"]}
    peers = [peer for peer in PEERS if peer in measured]
    for column in ("the teacher", "ours, ms", *peers):
        table.add_column(column, justify="left" if column == "the teacher" else "right")
    for ours, terms in ((FRAMES_GIVEN, "own teacher pass"), (ALL_GIVEN, "teacher's answers given")):
        own = sorted(s for cell in cells for s in cell["beside"].get(ours, {}).get("seconds", []))
        if own:
            told = (_against(f"{peer}, {terms}", ours, cells) for peer in peers)
            table.add_row(terms, f"{1e3 * own[len(own) // 2]:.3g}", *told)
    return [table] if peers and table.row_count else []


def _against(name: str, ours: str, cells: list[dict[str, Any]]) -> str:
    """The ratios of all rounds that measured both."""
    both = [c["beside"] for c in cells if name in c["beside"] and ours in c["beside"]]
    theirs, own = ([s for of in both for s in of[which]["seconds"]] for which in (name, ours))
    return _ratio({"ratio": ratios(theirs, own)} if both else None)


def _profile(model: str, compute: str, profile: dict[str, Any]) -> Table:
    """Where the threads' time goes, the small parts left out."""
    table = Table(
        title=f"Where the time of a configuration-step goes, {model}, {compute}",
        caption=f"C={profile['width']}, {profile['name']}: ms of threads, as the profiler counts "
        f"them;\n{profile['thread_ms']:.3g} ms in all. Fused operations count for their last.",
    )
    table.add_column("phase")
    table.add_column("file")
    for column in ("thread ms", "share"):
        table.add_column(column, justify="right")
    for part in profile["parts"]:
        if part["share"] >= _SMALL_SHARE:
            name = part["file"] or "(not said)"
            table.add_row(
                part["phase"] or "-", name, f"{part['thread_ms']:.2f}", f"{part['share']:.1%}"
            )
    return table
