"""Flags of what is profiled, and of what a person needs of a receiver."""

import pathlib
from typing import Any

import jax
from absl import flags

from experiments import checkpoint_flag
from experiments.profiling.study import Settings
from experiments.profiling.targets import Sweep, Targets, rows_of
from wfm_jax.model import PRESETS, ModelConfig, build, preset

_DEFAULT = Settings()

_UNTRAINED = flags.DEFINE_enum(
    "untrained",
    None,
    list(PRESETS),
    "A model of this size with random weights instead of --checkpoint: as fast, and no use.",
)
_BATCH_SIZES = flags.DEFINE_list(
    "profile_batch_sizes", ["1", "32"], "Frames of a call, one table each."
)
_CALLS = flags.DEFINE_integer(
    "profile_calls", _DEFAULT.n_calls, "Timed calls of each form.", lower_bound=20
)
_LONGEST = flags.DEFINE_float(
    "longest_s",
    _DEFAULT.longest_s,
    "Seconds for all forms at one batch size: fewer calls than asked where they do not suffice.",
    lower_bound=1.0,
)
_SHRINK = flags.DEFINE_float(
    "cut_out",
    _DEFAULT.shrink,
    "Share of each layer's heads and neurons that the shrunk forms lack.",
    lower_bound=0.05,
    upper_bound=0.95,
)
_THREADS = flags.DEFINE_integer(
    "onnx_threads", _DEFAULT.n_threads, "Threads of ONNX Runtime.", lower_bound=1, upper_bound=256
)
_MAX_BYTES = flags.DEFINE_float(
    "max_bytes", None, "Target: a packed file of at most this many bytes.", lower_bound=1.0
)
_MAX_P95_MS = flags.DEFINE_float(
    "max_p95_ms", None, "Target: 19 of 20 frames, one at a time, in this time.", lower_bound=1e-6
)
_MAX_BER_LOSS = flags.DEFINE_float(
    "max_ber_loss",
    None,
    "Target: bit errors grow by at most this share of the teacher's in every constellation at "
    "20 dB; 0.1 is 10 %.",
    lower_bound=0.0,
)
_SWEEP = flags.DEFINE_string(
    "sweep", None, "Run folder of a sweep, whose configurations are held against the targets."
)
_CANDIDATES = flags.DEFINE_integer(
    "candidates",
    5,
    "At most so many configurations of the sweep are timed: the best that meet what their rows "
    "tell.",
    lower_bound=1,
)


def model() -> tuple[ModelConfig, Any, str]:
    """Architecture, parameters, and what to call it."""
    if size := _UNTRAINED.value:
        config = preset(size)
        return config, build(config, jax.random.key(0))[1], f"{size}, random weights"
    config, params, _ = checkpoint_flag.teacher()
    return config, params, str(checkpoint_flag.CHECKPOINT.value)


def sweep() -> Sweep | None:
    """The sweep that is held against the targets; None without one."""
    return rows_of(pathlib.Path(_SWEEP.value)) if _SWEEP.value else None


def settings() -> Settings:
    """What to measure."""
    sizes = []
    for text in _BATCH_SIZES.value or ():
        if not text.isdigit() or not 1 <= int(text) <= 65536:
            raise flags.ValidationError(
                f"--profile_batch_sizes: {text!r} is no whole number from 1 to 65536"
            )
        sizes.append(int(text))
    if not sizes or len(set(sizes)) < len(sizes):
        raise flags.ValidationError("--profile_batch_sizes: one or more different numbers")
    return Settings(
        tuple(sizes), _CALLS.value, _LONGEST.value, _SHRINK.value, _THREADS.value
    )  # fmt: skip


def targets() -> Targets:
    """What a person needs; all that was not given is unlimited."""
    asked = Targets(_MAX_BYTES.value, _MAX_P95_MS.value, _MAX_BER_LOSS.value, _CANDIDATES.value)
    limits = any(limit is not None for limit in asked[:3])
    if limits and _SWEEP.value is None:
        raise flags.ValidationError(
            "--max_bytes, --max_p95_ms and --max_ber_loss are of a sweep's configurations: "
            "give --sweep=RUN_FOLDER too"
        )
    return asked
