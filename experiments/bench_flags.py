"""Flags of the benchmark's suites."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
from absl import flags

from experiments import launch, teacher_flags
from experiments.benchmarks import (
    engine,
    engine_suite,
    sensitivity_suite,
    shrink_suite,
    signal_suite,
    train_suite,
)
from wfm_jax.model.config import PRESETS, preset
from wfm_jax.train.model_files import PRETRAINED, load_teacher

SUITE = flags.DEFINE_enum(
    "suite", "signal", ["signal", "train", "shrink", "engine", "sensitivity"], "What to measure."
)
_ORDERS = flags.DEFINE_list(
    "bits_per_symbol", ["4", "6", "8"], "signal: constellations of 2^m points, m of 2, 4, 6, 8."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch", None, "Frames in a run: 128 of signals, --teacher_batch_size of training.", 1
)
_BLOCK_LENGTH = flags.DEFINE_integer(
    "block_length", 1024, "signal: symbols of a block.", lower_bound=1
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", None, "Paired runs; medians are shown: 3 of the engine, 7 of all else.", 1
)
_CELLS = flags.DEFINE_integer(
    "cells_one_by_one", 6, "sensitivity: cells run one by one.", lower_bound=1
)
_CELL_FRAMES = flags.DEFINE_integer(
    "cell_frames_per_stratum",
    8,
    "sensitivity: frames of each constellation and K bin.",
    lower_bound=2,
)
_MODELS = flags.DEFINE_list(
    "shrink_models", ["nano", "micro"], f"shrink: models, of {', '.join(PRESETS)}."
)
_SHARE = flags.DEFINE_float(
    "shrink_share",
    0.5,
    "shrink: share of heads and neurons that go.",
    lower_bound=0.0,
    upper_bound=0.99,
)
_ENGINE_MODELS = flags.DEFINE_list(
    "engine_models", ["nano"], f"engine: models, of {', '.join(PRESETS)}."
)
_ENGINE_TEACHER = flags.DEFINE_enum(
    "engine_teacher",
    "same",
    ["same", *PRESETS],
    "engine: the teacher of all of them; same: of each one's size.",
)
_CONFIGURATIONS = flags.DEFINE_list(
    "engine_configurations",
    ["1", "4", "16", "64"],
    "engine: configurations that train together, 1 to 4096.",
)
_STRATEGIES = flags.DEFINE_list(
    "engine_strategies",
    ["map", "vmap", "16"],
    "engine: map, vmap, spread (map on every device), or how many are vmapped at a time, 1-1024.",
)
_COMPUTES = flags.DEFINE_list(
    "engine_compute", ["float32"], "engine: products in float32, bfloat16."
)
_BUDGET_S = flags.DEFINE_float(
    "engine_budget_s", 900.0, "engine: seconds after which nothing more is begun.", lower_bound=1.0
)
_TF32 = flags.DEFINE_bool(
    "engine_tf32", True, "engine: float32 products may be computed in TF32 where the device has it."
)
_PEER = flags.DEFINE_bool("peer", True, "Run the other library too.")


def settings() -> Any:
    """Of the suite that is asked for."""
    asked = {
        "signal": signal,
        "train": train,
        "shrink": shrink,
        "engine": engine_sweep,
        "sensitivity": sensitivity,
    }
    return asked[str(SUITE.value)]()


def signal() -> signal_suite.Settings:
    """The suite ``signal``, as asked for."""
    if not all(order.strip().isdigit() for order in _ORDERS.value):
        raise ValueError(f"--bits_per_symbol={','.join(_ORDERS.value)}: whole numbers, like 4,6,8")
    return signal_suite.Settings(
        bits_per_symbol=tuple(int(order) for order in _ORDERS.value),
        batch_size=_BATCH_SIZE.value or 128,
        block_length=_BLOCK_LENGTH.value,
        rounds=_ROUNDS.value or 7,
        peer=_PEER.value,
    )


def train() -> train_suite.Settings:
    """The suite ``train``, as asked for."""
    teacher = teacher_flags.teacher_settings()
    teacher = dataclasses.replace(teacher, batch_size=_BATCH_SIZE.value or teacher.batch_size)
    model, rounds, peer = teacher_flags.model(), _ROUNDS.value or 7, _PEER.value
    return train_suite.Settings(model, teacher, rounds, peer=peer)


def shrink() -> shrink_suite.Settings:
    """The suite ``shrink``, as asked for."""
    if unknown := [name for name in _MODELS.value if name not in PRESETS] or not _MODELS.value:
        raise ValueError(f"--shrink_models={unknown}: one or more of {', '.join(PRESETS)}")
    models = {name: preset(name) for name in _MODELS.value}
    return shrink_suite.Settings(models, _SHARE.value, rounds=_ROUNDS.value or 7)


def sensitivity() -> sensitivity_suite.Settings:
    """The suite ``sensitivity``, as asked for."""
    teacher = load_teacher(PRETRAINED)
    strategy = "map" if jax.default_backend() == "cpu" else "vmap"
    return sensitivity_suite.Settings(
        teacher.config,
        teacher.params,
        frames_per_stratum=_CELL_FRAMES.value,
        samples=_CELLS.value,
        strategy=strategy,
    )


def engine_sweep() -> engine_suite.Settings:
    """The suite ``engine``, as asked for."""
    return engine_suite.Settings(
        models={n: preset(n) for n in _of("engine_models", _ENGINE_MODELS.value, [*PRESETS])},
        folder=pathlib.Path(launch.WORKDIR.value),
        teacher=None if _ENGINE_TEACHER.value == "same" else preset(_ENGINE_TEACHER.value),
        widths=tuple(map(_whole("engine_configurations", 4096), _CONFIGURATIONS.value)),
        strategies=tuple(
            name if name in engine.STRATEGIES else str(_whole("engine_strategies")(name))
            for name in _STRATEGIES.value
        ),
        computes=_of("engine_compute", _COMPUTES.value, ["float32", "bfloat16"]),
        batch_size=_BATCH_SIZE.value or 32,
        rounds=_ROUNDS.value or 3,
        budget_s=_BUDGET_S.value,
        tf32=_TF32.value,
        peer=_PEER.value,
    )


def _of(flag: str, asked: list[str], allowed: list[str]) -> tuple[str, ...]:
    if not asked or not set(asked) <= set(allowed):
        raise ValueError(f"--{flag}={','.join(asked)}: one or more of {', '.join(allowed)}")
    return tuple(dict.fromkeys(asked))


def _whole(flag: str, most: int = 1024) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdigit() or not 1 <= int(text) <= most:
            raise ValueError(f"--{flag}: {text!r} is no whole number from 1 to {most}")
        return int(text)

    return parse
