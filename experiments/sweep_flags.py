"""Flags of how a sweep runs."""

import dataclasses

from absl import flags

from experiments.axis_flags import nonempty
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.scenarios import SCENARIOS
from wfm_jax.sweep.group import SweepSettings
from wfm_jax.train.losses import TaskWeights
from wfm_jax.train.unlabelled import Unlabelled

_BATCH = flags.DEFINE_integer("batch_size", 32, "Frames a step, shared by all.", lower_bound=1)
_CHUNK = flags.DEFINE_integer("chunk_steps", 25, "Steps between two looks.", lower_bound=1)
_WIDTH = flags.DEFINE_integer("max_width", 64, "Configurations trained together.", lower_bound=1)
_STRATEGY = flags.DEFINE_enum(
    "strategy", "auto", ["auto", "map", "vmap"], "The config axis: map on a CPU, else vmap."
)
_UNLABELLED = flags.DEFINE_integer(
    "unlabelled_frames", 0, "Frames of a step that KD's teacher alone labels.", lower_bound=0
)
_UNLABELLED_FROM = flags.DEFINE_list(
    "unlabelled_scenarios", ["factory_hall", "rayleigh"], f"Their halls: {', '.join(SCENARIOS)}."
)
_TEST_SEED = flags.DEFINE_integer("test_seed", 1, "Seed of the frozen test frames.")
_FRAMES = flags.DEFINE_integer(
    "frames_per_stratum", 40, "Test frames per modulation and K bin.", lower_bound=2
)


def settings(weights: TaskWeights, link: LinkConfig, backend: str) -> SweepSettings:
    """How the sweep runs on a link, on a backend (``cpu``, ``gpu``, ``tpu``)."""
    one_by_one = backend == "cpu" if _STRATEGY.value == "auto" else _STRATEGY.value == "map"
    return SweepSettings(
        batch_size=_BATCH.value,
        chunk_steps=_CHUNK.value,
        max_width=_WIDTH.value,
        strategy="map" if one_by_one else "vmap",
        weights=weights,
        unlabelled=_unlabelled(link),
    )


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
