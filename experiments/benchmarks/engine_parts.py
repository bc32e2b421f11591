"""Where a step's time goes: what the profiler measured of a program, by the line it was written on.

A compiled program says of each of its operations which call stack of ours wrote it; the profiler
says how long each took, in threads' seconds: on two cores they add up to twice the time on the
clock where both are at work. What the compiler fused counts for the line of its last operation.
"""

import collections
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

import wfm_jax

PACKAGE = pathlib.Path(wfm_jax.__file__).parent
PHASES = ONCE, FORWARD, BACKWARD = "once a step", "forward", "backward"
_TABLES = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")
_OPERATION = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = ")
_LOOPS = ("while", "call", "conditional", "async")  # their time is that of what they hold


class Part(NamedTuple):
    """Some of a step.

    Attributes:
        phase: what configurations share, their forward pass and what has no gradient, or backward;
            "" where the compiler does not say.
        file: of our package; likewise.
        seconds: of threads, for all steps that were profiled.
        share: of all seconds.
    """

    phase: str
    file: str
    seconds: float
    share: float


def parts(compiled: Any, call: Callable[[], object]) -> list[Part]:
    """Profiles a call of a compiled chunk of steps; the longest part comes first.

    Args:
        compiled: as ``jax.jit(...).lower(...).compile()`` gives it.
        call: runs it.
    """
    written = origins(compiled.as_text())
    seconds: dict[tuple[str, str], float] = collections.defaultdict(float)
    for name, duration_s in _measured(call):
        if not name.startswith(_LOOPS):
            seconds[written.get(name, ("", ""))] += duration_s
    total = sum(seconds.values()) or 1.0
    found = [Part(*which, spent, spent / total) for which, spent in seconds.items()]
    return sorted(found, key=lambda part: -part.seconds)


def _measured(call: Callable[[], object]) -> Iterator[tuple[str, float]]:
    """Operations by name, and how long each took each time."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            call()
        (trace,) = pathlib.Path(folder).rglob("*.xplane.pb")
        planes = jax.profiler.ProfileData.from_file(str(trace)).planes
        for event in (e for plane in planes for line in plane.lines for e in line.events):
            stats = {name: value for name, value in event.stats if name == "hlo_op"}
            if stats:
                yield stats["hlo_op"], 1e-9 * event.duration_ns


def origins(text: str) -> dict[str, tuple[str, str]]:
    """Phase and file of each operation of a program, as its text says.

    The innermost frame of our package counts; a step of one configuration is the inner of two
    loops, and what a gradient is made of is transposed.
    """
    tables, found = _tables(text), {}
    for line in text.splitlines():
        if (operation := _OPERATION.match(line)) is None:
            continue
        path = re.search(r'op_name="([^"]*)"', line)
        frame = re.search(r"stack_frame_id=(\d+)", line)
        where = path[1] if path else ""
        found[operation[1]] = (_phase(where), _file(tables, int(frame[1]) if frame else 0))
    return found


def _phase(path: str) -> str:
    if "transpose(" in path:
        return BACKWARD
    inner = path.count("while/body") > 1 or not path.startswith("jit(")
    return (FORWARD if inner else ONCE) if path else ""


def _tables(text: str) -> dict[str, dict[int, str]]:
    """What stands before the program: files, functions, places and frames by their numbers."""
    found: dict[str, dict[int, str]] = {name: {} for name in _TABLES}
    within = ""
    for line in text.splitlines():
        if line in _TABLES:
            within = line
        elif within and (entry := re.match(r"(\d+) (.*)", line)):
            found[within][int(entry[1])] = entry[2]
        elif line.startswith(("%", "ENTRY")):
            break
    return found


def _file(tables: dict[str, dict[int, str]], frame: int) -> str:
    """The innermost file of the package on a call stack."""
    while described := tables["StackFrames"].get(frame):
        place, parent = map(int, re.findall(r"=(\d+)", described))
        (name,) = re.findall(r"file_name_id=(\d+)", tables["FileLocations"].get(place, "")) or "0"
        path = tables["FileNames"].get(int(name), "").strip('"')
        within = path.rpartition(f"/{PACKAGE.name}/")[2]  # compiled by any checkout, and kept
        if within != path and (PACKAGE / within).is_file():
            return within
        frame = parent - 1  # counted from one, the outermost has none
    return ""
