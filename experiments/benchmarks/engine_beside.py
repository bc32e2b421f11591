"""What the suite ``engine`` measures beside its cells: one configuration after the other."""

import pathlib
from typing import Any

import jax

from experiments.benchmarks import engine
from experiments.benchmarks.engine_cells import Clock, Measure, Stack
from experiments.benchmarks.engine_peer import Peer, PeerError, Subject, Task
from experiments.benchmarks.timing import seconds
from wfm_jax.results.progress import Progress
from wfm_jax.train.distill import Lesson

LOOPED = "ours, looped"
FRAMES_GIVEN = "ours, looped, frames given, own teacher pass"
ALL_GIVEN = "ours, looped, frames and answers given"
PEERS = {"PyTorch": False, "torch.compile": True}  # compiled or not
_STUDENTS = 3


def ours(
    work: engine.Work, program: engine.Program, stack: Stack, given: list[Lesson]
) -> tuple[dict[str, Measure], dict[str, float]]:
    """Ours without a configuration axis, and the seconds to compile each."""
    n = min(_STUDENTS, stack[0].step.shape[0])
    alone = [
        engine.Running(work, program, jax.tree.map(lambda x, i=i: x[i : i + 1], stack))
        for i in range(n)
    ]
    alike = (work, stack, given, program.n_steps)
    frames_given, frames_s = engine.running_on_given(*alike, answers=False)
    all_given, all_s = engine.running_on_given(*alike)
    steps = n * program.n_steps

    def one_after_the_other() -> None:
        for running in alone:
            running()

    for call in (one_after_the_other, frames_given, all_given):
        call()  # first touch
    measures = {
        LOOPED: lambda: seconds(one_after_the_other) / steps,
        FRAMES_GIVEN: lambda: seconds(frames_given) / program.n_steps,
        ALL_GIVEN: lambda: seconds(all_given) / program.n_steps,
    }
    return measures, {LOOPED: program.compile_s, FRAMES_GIVEN: frames_s, ALL_GIVEN: all_s}


def start(subjects: dict[str, Subject], folder: pathlib.Path, tf32: bool) -> dict[str, Peer]:
    """PyTorch's processes, on JAX's device; none without subjects."""
    device = "cuda:0" if jax.default_backend() == "gpu" else "cpu"
    folder.mkdir(parents=True, exist_ok=True)
    return {
        name: Peer(Task(subjects, device, compiled, tf32), folder, f"engine-{name.lower()}")
        for name, compiled in (PEERS.items() if subjects else ())
    }


def wait(
    peers: dict[str, Peer], until_s: float, clock: Clock, result: dict[str, Any], progress: Progress
) -> None:
    """Until they are ready; who is not, for whatever reason, is left out. Tells the result."""
    for name, peer in list(peers.items()):
        if name in result["peers"]:
            continue
        try:
            peer.wait(until_s - clock.used_s)
            result["products"][name] = peer.told["products"]
            result["versions"] |= peer.told["versions"]
        except PeerError as error:
            result["failures"][name] = str(error)
            peers.pop(name).close()
        failures = {", ".join([name, *which]): why for which, why in peer.failures.items()}
        result["failures"] |= failures
        result["peers"][name] = {"loops": list(peer.loops.values()), **peer.told}
        told = "; ".join([result["failures"].get(name, ""), *failures.values()]).strip("; ")
        progress.say(f"{clock.used_s:4.0f} s  {name}: {told or 'ready'}")


def theirs(peers: dict[str, Peer], model: str) -> dict[str, Measure]:
    """A model's loops in PyTorch."""
    return {
        f"{name}, {loop}": lambda peer=peer, loop=loop: peer.seconds(model, loop)
        for name, peer in peers.items()
        for of, loop in peer.loops
        if of == model and (of, loop) not in peer.failures
    }
