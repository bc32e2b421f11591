"""PyTorch's side of the suite ``engine``: a process that times its own steps when asked to.

  python -m experiments.benchmarks.engine_torch FILE

FILE is a pickled :class:`experiments.benchmarks.engine_peer.Task`. Lines of JSON go to stdout: one
for each loop when it has run, then one that says what it ran on; then a line from stdin asks for a
loop's time, and a line answers. The process ends when stdin does.
"""

import contextlib
import json
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]

from experiments.benchmarks import engine_bound, train_torch
from experiments.benchmarks.engine_peer import Subject, Task
from experiments.benchmarks.engine_torch_losses import Distilled
from experiments.benchmarks.timing import seconds

OWN, GIVEN = "own teacher pass", "teacher's answers given"
_WARM_UP = 3  # calls before a CUDA graph is replayed


class Loop:
    """One configuration's training: a call takes a step on every batch.

    Args:
        subject: the configuration.
        device: "cpu" or "cuda:0".
        compiled: the loss behind ``torch.compile``, on a GPU as CUDA graphs.
        given: the teacher's answers are given, else it is asked every step.
    """

    def __init__(
        self, subject: Subject, *, device: str = "cpu", compiled: bool = False, given: bool = False
    ):
        self.recipe, self.n_steps = subject.recipe, 0
        self.module = module(subject).to(device)
        self.batches = [train_torch.tensors(batch, device) for batch in subject.batches]
        self.answers = [self.module.answer(batch) if given else None for batch in self.batches]
        mode = "reduce-overhead" if device.startswith("cuda") else "default"
        self.run: Callable[..., Tensor] = self.module
        if compiled:
            self.run = torch.compile(self.module, dynamic=False, mode=mode)
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, betas=(0.9, 0.99), fused=True)

    def step(self, batch: Any, answers: Any) -> Tensor:
        """One optimizer step; the loss before it."""
        torch.compiler.cudagraph_mark_step_begin()
        rate = self.recipe["learning_rate"]
        rate = train_torch.learning_rate_at(self.n_steps, int(self.recipe["total_steps"]), rate)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.run(batch, answers)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.n_steps += 1
        return loss.detach().clone()  # a graph's next replay overwrites what it returned

    def __call__(self) -> float:
        """The mean loss, when all steps are done."""
        losses = [self.step(*pair) for pair in zip(self.batches, self.answers, strict=True)]
        return float(torch.stack(losses).mean())


def module(subject: Subject) -> Distilled:
    """The student under its compression beside its teacher, on the CPU."""
    named, both = train_torch.by_their_names, ("temperature", "alpha")
    recipe = {name: float(subject.recipe[name]) for name in both}
    distilled = Distilled(subject.config, subject.teacher_config, subject.weights, recipe)
    distilled.losses.model.load_state_dict(named(subject.student))
    distilled.teacher.load_state_dict(named(subject.teacher))
    keep = {name: mask.float() for name, mask in named(subject.keep).items()}
    distilled.compress(keep, named(subject.scale), _scalars(subject.bits))
    return distilled


def _scalars(bits: Mapping[str, Any]) -> dict[str, Tensor]:
    """By the names of the module's parameters."""
    ends = {"kernel": "weight"}
    named = {}
    for path, value in bits.items():
        *where, name = path.split("/")
        named[".".join([*where, ends.get(name, name)])] = torch.tensor(float(value))
    return named


def precision(device: str) -> dict[str, Any]:
    """What float32 products are computed in, as asked for and as measured."""

    def product(a: Any, b: Any) -> Any:
        return (torch.tensor(a, device=device) @ torch.tensor(b, device=device)).cpu().numpy()

    asked: dict[str, Any] = {"float32_matmul_precision": torch.get_float32_matmul_precision()}
    with contextlib.suppress(AttributeError, RuntimeError):  # an older name of the same
        asked["allow_tf32"] = torch.backends.cuda.matmul.allow_tf32
    return asked | engine_bound.precision(product)


def prepare(task: Task, tell: Callable[[dict[str, Any]], None]) -> dict[tuple[str, str], Loop]:
    """Runs every loop once, and tells of each: seconds to its first result, its first loss, or what
    went wrong."""
    loops = {}
    for model, subject in task.subjects.items():
        for name, given in ((GIVEN, True), (OWN, False)):
            began, which = time.perf_counter(), {"model": model, "name": name}
            try:
                options = {"device": task.device, "compiled": task.compiled, "given": given}
                loop = Loop(subject, **options)
                loss, first_s = loop(), time.perf_counter() - began
                for _ in range(_WARM_UP):
                    loop()
            except Exception as error:  # whatever a compiler raises: the others go on
                tell(which | {"failure": f"{type(error).__name__}: {_first_line(error)}"})
                continue
            loops[model, name] = loop
            tell(which | {"first_s": first_s, "loss": loss})
    return loops


def _graphs_skipped() -> int:
    """Of programs that were asked for as CUDA graphs."""
    from torch._dynamo.utils import counters  # pyright: ignore[reportMissingImports]

    return counters["inductor"]["cudagraph_skips"]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")


def main(path: str) -> None:
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what else is printed does not go between them

    def tell(value: dict[str, Any]) -> None:
        print(json.dumps(value), file=lines, flush=True)

    with open(path, "rb") as file:
        task: Task = pickle.load(file)
    warnings.simplefilter("ignore")  # the compiler's own
    torch.set_num_threads(os.cpu_count() or 1)
    torch.set_float32_matmul_precision("high" if task.tf32 else "highest")
    loops = prepare(task, tell)
    tell(
        {
            "ready": True,
            "versions": {"torch": metadata.version("torch")},
            "device": torch.cuda.get_device_name() if task.device != "cpu" else "cpu",
            "products": precision(task.device),
            "graphs_skipped": _graphs_skipped() if task.compiled else 0,
        }
    )
    for line in sys.stdin:
        asked = json.loads(line)
        loop = loops[asked["model"], asked["name"]]
        tell({"seconds": seconds(loop, asked["shortest_s"]) / len(loop.batches)})


if __name__ == "__main__":
    main(sys.argv[1])
