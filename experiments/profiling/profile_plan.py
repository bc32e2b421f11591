"""What a profile would time, and how long that takes at most."""

import pathlib

from experiments.profiling.study import Settings
from experiments.profiling.targets import Targets
from wfm_jax.evaluate import probe
from wfm_jax.model import ModelConfig, param_shapes
from wfm_jax.results.plan import Fact, Plan, about, counted, disk_fact
from wfm_jax.results.room import in_units

_FORMS = 5
"""Compiled, and by ONNX Runtime in float32 and int8, whole and cut; beside streaming and LMMSE."""
_BESIDE = 3
_LEAST_TURNS = 20
_FILES = 4.0  # bytes of all files, in those of the weights


def plan_profile(
    config: ModelConfig,
    settings: Settings,
    targets: Targets,
    n_of_sweep: int | None,
    workdir: pathlib.Path,
) -> Plan:
    """The plan of a profile.

    Args:
        config: the model.
        settings: what to measure.
        targets: what a sweep's configurations are held against.
        n_of_sweep: how many those are; None without a sweep.
        workdir: where it would write.
    """
    sizes, n_bytes = settings.batch_sizes, probe.bytes_of(param_shapes(config))
    pace = probe.measure_pace(config, min(sizes))
    each = _FORMS + _BESIDE
    compiles = len(sizes) * (1 + _BESIDE) * pace.compile_s
    turns_s = sum(
        max(settings.longest_s, 2 * _LEAST_TURNS * each * size * pace.pass_s) for size in sizes
    )
    there = "is there and would be replaced" if (workdir / "profile.json").exists() else "is new"
    facts = [
        Fact("file", str(workdir / "profile.json"), there),
        Fact(
            "forms",
            f"{each}",
            f"at {', '.join(map(str, sizes))} frames a call, {settings.n_calls} calls each in at "
            f"most {settings.longest_s:g} s",
        ),
        Fact("compiling", counted(len(sizes) * (1 + _BESIDE), "program"), "and the ONNX sessions"),
        Fact("memory", in_units(6.0 * n_bytes), "the files, loaded; activations on top"),
        disk_fact(workdir, _FILES * n_bytes, "packed, ONNX in float32 and int8, and a picture"),
        Fact(
            "time",
            f"at most {about(compiles + turns_s)}",
            f"--longest_s for each batch size, and {about(compiles)} compiling, by a forward pass "
            "compiled here",
        ),
    ]
    if n_of_sweep is not None:
        n = min(targets.candidates, n_of_sweep)
        words = f"of {counted(n_of_sweep, 'configuration')}, those that meet what their rows tell"
        facts.insert(2, Fact("sweep", f"at most {n} timed", words))
    return Plan("profile", tuple(facts))
