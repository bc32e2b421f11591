"""Flags of how a sweep runs."""

import dataclasses
from typing import Literal

from absl import flags

from experiments.axis_flags import nonempty
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.scenarios import SCENARIOS
from wfm_jax.sweep import halving
from wfm_jax.sweep.halving import Halving
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.train.losses import TaskWeights
from wfm_jax.train.strategy import Strategy
from wfm_jax.train.unlabelled import Unlabelled

_BATCH = flags.DEFINE_integer("batch_size", 32, "Frames a step, shared by all.", lower_bound=1)
_CHUNK = flags.DEFINE_integer(
    "chunk_steps", 25, "Steps compiled into a call, between two looks.", lower_bound=1
)
_WIDTH = flags.DEFINE_integer(
    "max_width", 64, "Configurations trained together at most.", lower_bound=1
)
_STRATEGY = flags.DEFINE_string(
    "strategy",
    "auto",
    "How configurations run: map (one after the other), vmap (side by side), a number (so many at "
    "a time), or auto: map on a CPU, else as many at a time as memory holds.",
)
_AUTOTUNE = flags.DEFINE_bool(
    "autotune", False, "Let some timed chunks choose the strategy, if one wins by over 10 %."
)
_DEVICES = flags.DEFINE_integer(
    "devices", None, "Devices that configurations are spread over; default: all.", lower_bound=1
)
_SAVE_EVERY = flags.DEFINE_float(
    "save_every_s", 60.0, "Seconds between checkpoints.", lower_bound=0.0
)
_HALVING = flags.DEFINE_string(
    "halving",
    "none",
    "Successive halving as FACTOR:RUNGS, like 3:2: of configurations whose files are about as "
    "large, one in FACTOR goes on at each rung (at steps/FACTOR^RUNGS, ..., steps/FACTOR).",
)
UNCOMPARED = ("max_width", "strategy", "autotune", "devices", "save_every_s")
"""What changes no result: a run may go on with others."""

_UNLABELLED = flags.DEFINE_integer(
    "unlabelled_frames", 0, "Frames of a step that KD's teacher alone labels.", lower_bound=0
)
_UNLABELLED_FROM = flags.DEFINE_list(
    "unlabelled_scenarios", ["factory_hall", "rayleigh"], f"Their halls, of {', '.join(SCENARIOS)}."
)
_TEST_SEED = flags.DEFINE_integer("test_seed", 1, "Seed of the frozen test frames.")
_FRAMES = flags.DEFINE_integer(
    "frames_per_stratum", 40, "Test frames per modulation and K bin.", lower_bound=2
)


def settings(weights: TaskWeights, link: LinkConfig) -> SweepSettings:
    """How the sweep runs on a link."""
    return SweepSettings(
        batch_size=_BATCH.value,
        chunk_steps=_CHUNK.value,
        max_width=_WIDTH.value,
        strategy=_strategy(),
        autotune=_AUTOTUNE.value,
        n_devices=_DEVICES.value,
        weights=weights,
        save_every_s=_SAVE_EVERY.value,
        unlabelled=_unlabelled(link),
        halving=_halving(),
    )


def _strategy() -> Strategy | Literal["auto"]:
    text = _STRATEGY.value
    if text == "auto" or text == "map" or text == "vmap":
        return text
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 4096):
        raise flags.ValidationError(
            f"--strategy={text}: auto, map, vmap, or a number from 1 to 4096"
        )
    return int(text)


def _halving() -> Halving | None:
    text = _HALVING.value
    if text == "none":
        return None
    factor, _, rungs = text.partition(":")
    if not all(part.isascii() and part.isdigit() and len(part) < 4 for part in (factor, rungs)):
        raise flags.ValidationError(f"--halving={text}: none, or FACTOR:RUNGS like 3:2")
    rule = Halving(int(factor), int(rungs))
    try:
        halving.check(rule)
    except ValueError as error:
        raise flags.ValidationError(f"--halving={text}: {error}") from None
    return rule


def _unlabelled(link: LinkConfig) -> Unlabelled | None:
    names = nonempty(_UNLABELLED_FROM)
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise flags.ValidationError(
            f"--unlabelled_scenarios={','.join(unknown)}: of {', '.join(SCENARIOS)}"
        )
    if not _UNLABELLED.value:
        return None
    if _UNLABELLED.value < len(names):
        raise flags.ValidationError(
            f"--unlabelled_frames={_UNLABELLED.value}: at least one for each of "
            f"{len(names)} --unlabelled_scenarios"
        )
    links = tuple(dataclasses.replace(link, scenario=SCENARIOS[name]) for name in names)
    return Unlabelled(links, _UNLABELLED.value)


def test_set(link: LinkConfig) -> TestSet:
    """The frozen test frames."""
    return TestSet(link, seed=_TEST_SEED.value, frames_per_stratum=_FRAMES.value)
