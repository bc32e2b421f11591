"""Stage S: what whole heads and neurons were pruned from becomes an ordinary, smaller model.

Shapes depend on values then, so S happens on the host: at the start of a pipeline, before anything
trains (what is left is a static group of its own), or at its end (what is handed over is smaller).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from wfm_jax import compress
from wfm_jax.model import ModelConfig
from wfm_jax.model.couplings import couplings, shrink_model
from wfm_jax.sweep import compression, stages
from wfm_jax.sweep.cohort import birth_key
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.group import Group, SweepSettings
from wfm_jax.train.model_files import Teacher


class Start(NamedTuple):
    """Where a pipeline goes on after its first S."""

    config: ModelConfig
    params: Any


def shrunk_groups(
    name: str, teacher: Teacher, configurations: Sequence[Configuration], settings: SweepSettings
) -> list[Group]:
    """The static groups of configurations whose pipelines begin with P-S, one an architecture.

    Args:
        name: ``same`` or ``smaller``, what P prunes.
        teacher: the uncompressed model.
        configurations: all of that student.
        settings: how the sweep runs.
    """
    if not configurations:
        return []
    before = Group(name, teacher, configurations, settings)
    starts = {c.config_id: _shrink_first(before, c) for c in configurations}
    groups = []
    for config in dict.fromkeys(start.config for start in starts.values()):
        members = [c for c in configurations if starts[c.config_id].config == config]
        params = {c.config_id: starts[c.config_id].params for c in members}
        label = f"{name}, {_words(config)}"
        groups.append(Group(label, teacher, members, settings, config=config, starts=params))
    return groups


def _shrink_first(group: Group, configuration: Configuration) -> Start:
    params = group.initial(configuration)
    state = compression.TRANSFORM.init(params, key=birth_key(configuration))
    numbers = stages.settings_of(configuration, group.choices)
    pruned = _prune(params, state, numbers, group.stats, choices=group.choices)
    masks = units_left(group.config, pruned.prune.keep)
    return Start(*shrink_model(group.config, params, masks))


@functools.partial(jax.jit, static_argnames="choices")
def _prune(params, state, numbers, stats, *, choices):
    return compression.prune(params, state, numbers, choices, stats)


def shrink_deployed(
    config: ModelConfig, deployed: stages.Deployed
) -> tuple[ModelConfig, stages.Deployed]:
    """What a configuration hands over after a last S.

    Args:
        config: its architecture before.
        deployed: of this configuration alone.
    """
    units = units_left(config, deployed.keep)
    small, params = shrink_model(config, deployed.params, units)
    kernels = compress.flatten(params)
    return small, deployed._replace(
        params=params,
        keep={path: np.asarray(kernels[path]) != 0 for path in deployed.keep},
        scale=compress.shrink_scales(deployed.scale, units, couplings(config)),
    )


def units_left(config: ModelConfig, keep: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Masks of heads and neurons: a unit is gone where nothing of one of its kernels is kept."""
    masks = {}
    for coupling in couplings(config):
        stays = np.ones(coupling.size, bool)
        for path, axis, _ in coupling.parts:
            if path in keep:
                rows = np.moveaxis(np.asarray(keep[path]), axis, 0).reshape(coupling.size, -1)
                stays &= rows.any(axis=1)
        masks[coupling.name] = stays
    return masks


def _words(config: ModelConfig) -> str:
    heads, widths = (" ".join(map(str, of)) for of in (config.heads, config.mlp_widths))
    return f"heads {heads}, neurons {widths}"
