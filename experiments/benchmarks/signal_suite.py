"""The suite ``signal``: bits to LLRs beside the peer, and what bounds each stage."""

import datetime
import os
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from experiments.benchmarks import machine, signal, signal_sionna
from experiments.benchmarks.machine import Machine
from experiments.benchmarks.signal import Case
from experiments.benchmarks.timing import in_turns, ratios
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.signal.qam import check_bits_per_symbol
from wfm_jax.sweep.study import devices, versions


class Settings(NamedTuple):
    """What to run.

    Attributes:
        bits_per_symbol: constellations.
        batch_size: frames in a run.
        block_length: symbols in a flat frame.
        rounds: paired measurements; medians are reported.
        peer: run Sionna too, where it is installed.
    """

    bits_per_symbol: tuple[int, ...] = (4, 6, 8)
    batch_size: int = 128
    block_length: int = 1024
    rounds: int = 7
    peer: bool = True


def run(settings: Settings, progress: Progress | None = None) -> dict[str, Any]:
    """Runs the suite; the result is what the JSON file holds.

    Raises:
        ValueError: an unsupported constellation, or sizes and rounds below one.
    """
    for m in settings.bits_per_symbol:
        check_bits_per_symbol(m)
    for name in ("batch_size", "block_length", "rounds"):
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(settings, name)}")
    progress = progress or Silent()
    peer = settings.peer and signal_sionna.is_installed()
    if settings.peer and not peer:
        progress.say(signal_sionna.HOW_TO_GET_IT)
    cases = signal.cases(list(settings.bits_per_symbol), settings.batch_size, settings.block_length)
    progress.start("benchmark", 2 * settings.rounds * len(cases))
    load_before, yardsticks = os.getloadavg(), machine.measure()
    measured = {case.name: _measure(case, settings, peer, yardsticks, progress) for case in cases}
    return {
        "suite": "signal",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "settings": settings._asdict(),
        "versions": versions() | (signal_sionna.versions() if peer else {}),
        "devices": devices(),
        "cores": os.cpu_count(),
        "load_average": {"before": load_before[0], "after": os.getloadavg()[0]},
        "machine_per_second": yardsticks._asdict(),
        "cases": measured,
    }


def _measure(
    case: Case, settings: Settings, peer: bool, yardsticks: Machine, progress: Progress
) -> dict[str, Any]:
    stages = signal.stages(case)
    calls: dict[str, Callable[[], Any]] = {"ours": signal.repeated(stages["all"])}
    if peer:
        device = "cpu" if jax.default_backend() == "cpu" else "cuda:0"
        calls["sionna"] = signal_sionna.peer(case, device)

    def advance() -> None:
        progress.advance(1, case.name)

    seconds = in_turns(calls, settings.rounds, after_round=advance)
    result: dict[str, Any] = {
        "symbols": case.n_symbols,
        "seconds": seconds,
        "megasymbols_per_second": {
            who: case.n_symbols / statistics.median(times) / 1e6 for who, times in seconds.items()
        },
        "bit_error_rate": {"ours": signal.bit_error_rate(case)},
        "target_ratio": case.target,
    }
    if peer:
        result["ratio"] = ratios(seconds["sionna"], seconds["ours"])
        result["bit_error_rate"]["sionna"] = signal_sionna.bit_error_rate(calls["sionna"])
    stage_calls = {name: signal.repeated(stage) for name, stage in stages.items()}
    stage_seconds = in_turns(stage_calls, settings.rounds, 0.03, after_round=advance)
    result["stages"] = {
        name: _cost(
            statistics.median(stage_seconds[name]) / case.n_symbols,
            signal.counted(stage, case),
            yardsticks,
        )
        for name, stage in stages.items()
    }
    return result


def _cost(
    seconds_per_symbol: float, counts: dict[str, float], yardsticks: Machine
) -> dict[str, float]:
    """Time and counts of a stage, and the share of that time the machine needs at its best."""
    arithmetic_s = counts["operations_per_symbol"] / yardsticks.operations
    exponentials_s = counts["transcendentals_per_symbol"] / yardsticks.exponentials
    memory_s = counts["bytes_per_symbol"] / yardsticks.memory_bytes
    return {
        "ns_per_symbol": seconds_per_symbol * 1e9,
        **counts,
        "arithmetic_share": (arithmetic_s + exponentials_s) / seconds_per_symbol,
        "bandwidth_share": memory_s / seconds_per_symbol,
    }
