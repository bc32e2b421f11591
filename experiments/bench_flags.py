"""Flags of the benchmark's suites."""

import dataclasses

from absl import flags

from experiments import teacher_flags
from experiments.benchmarks import shrink_suite, signal_suite, train_suite
from wfm_jax.model.config import PRESETS, preset

_ORDERS = flags.DEFINE_list("bits_per_symbol", ["4", "6", "8"], "Constellations of 2^m points.")
_BATCH_SIZE = flags.DEFINE_integer(
    "batch", None, "Frames in a run: 128 of signals, --teacher_batch_size of training.", 1
)
_BLOCK_LENGTH = flags.DEFINE_integer("block_length", 1024, "Symbols of a block.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Paired runs; medians are shown.", lower_bound=1)
_MODELS = flags.DEFINE_list("shrink_models", ["nano", "micro"], f"Of {', '.join(PRESETS)}.")
_SHARE = flags.DEFINE_float(
    "shrink_share", 0.5, "Share of heads and neurons that go.", lower_bound=0.0, upper_bound=0.99
)
_PEER = flags.DEFINE_bool("peer", True, "Run the other library too.")


def signal() -> signal_suite.Settings:
    """The suite ``signal``, as asked for."""
    if not all(order.strip().isdigit() for order in _ORDERS.value):
        raise ValueError(f"--bits_per_symbol={','.join(_ORDERS.value)}: whole numbers, like 4,6,8")
    return signal_suite.Settings(
        bits_per_symbol=tuple(int(order) for order in _ORDERS.value),
        batch_size=_BATCH_SIZE.value or 128,
        block_length=_BLOCK_LENGTH.value,
        rounds=_ROUNDS.value,
        peer=_PEER.value,
    )


def train() -> train_suite.Settings:
    """The suite ``train``, as asked for."""
    teacher = teacher_flags.teacher_settings()
    teacher = dataclasses.replace(teacher, batch_size=_BATCH_SIZE.value or teacher.batch_size)
    model, rounds, peer = teacher_flags.model(), _ROUNDS.value, _PEER.value
    return train_suite.Settings(model, teacher, rounds, peer=peer)


def shrink() -> shrink_suite.Settings:
    """The suite ``shrink``, as asked for."""
    if unknown := [name for name in _MODELS.value if name not in PRESETS] or not _MODELS.value:
        raise ValueError(f"--shrink_models={unknown}: one or more of {', '.join(PRESETS)}")
    models = {name: preset(name) for name in _MODELS.value}
    return shrink_suite.Settings(models, _SHARE.value, rounds=_ROUNDS.value)
