"""Stages that change the architecture: S, which cuts out heads and neurons, and L, low rank.

Shapes depend on values then, so they happen on the host: at the start of a pipeline, before
anything trains (what is left is a static group of its own), or, S alone, at its end (what is handed
over is smaller).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from wfm_jax import compress
from wfm_jax.export.grids import Affine, Uniform
from wfm_jax.export.grids import Grid as StoredGrid
from wfm_jax.model import ModelConfig
from wfm_jax.model.couplings import couplings, shrink_model
from wfm_jax.model.low_rank import factorise_model
from wfm_jax.sweep import compression, stages
from wfm_jax.sweep.cohort import birth_key
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.group import Group
from wfm_jax.sweep.handover import Deployed
from wfm_jax.sweep.prune_stage import prune
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.train.problem import Problem


class Start(NamedTuple):
    """Where a pipeline goes on after the stages that rebuild the model."""

    config: ModelConfig
    params: Any


def rebuilt_groups(
    name: str, teacher: Problem, configurations: Sequence[Configuration], settings: SweepSettings
) -> list[Group]:
    """The static groups of configurations whose pipelines rebuild the model, one an architecture.

    Args:
        name: of the student, what is rebuilt.
        teacher: what is compressed.
        configurations: all of that student.
        settings: how the sweep runs.
    """
    if not configurations:
        return []
    before = Group(name, teacher, [unstored(c) for c in configurations], settings)
    inside = before.problem.inside
    assert inside is not None  # or the group would have refused
    starts = {
        c.config_id: _rebuild(before, Start(inside.config, before.initial(c)), c)
        for c in configurations
    }
    groups = []
    for config in dict.fromkeys(start.config for start in starts.values()):
        members = [c for c in configurations if starts[c.config_id].config == config]
        params = {c.config_id: starts[c.config_id].params for c in members}
        label = f"{name}, {_words(config)}"
        problem = inside.rebuilt(config, next(iter(params.values())))
        groups.append(Group(label, teacher, members, settings, problem=problem, starts=params))
    return groups


def unstored(configuration: Configuration) -> Configuration:
    """The configuration without what is asked of the model that is rebuilt, not of this one."""
    return configuration.replace(
        **dict.fromkeys(("feature_weight", "relation_weight", "attention_weight"), 0.0),
        group_size=None,
        allocation=(),
    )


def _rebuild(group: Group, start: Start, configuration: Configuration) -> Start:
    if "S" in configuration.rebuilding:
        start = _shrink(group, configuration, start)
    if "L" in configuration.rebuilding:
        start = Start(*factorise_model(*start, configuration.rank_share))
    return start


def _shrink(group: Group, configuration: Configuration, start: Start) -> Start:
    numbers = stages.settings_of(unstored(configuration), group.choices)
    key = birth_key(configuration)
    keep = _masks(start.params, key, numbers, group.stats, choices=group.choices)
    return Start(*shrink_model(*start, units_left(start.config, keep)))


@functools.partial(jax.jit, static_argnames="choices")
def _masks(params, key, numbers, stats, *, choices):
    state = compression.in_force(choices).init(params, key=key)
    return prune(params, state, numbers, choices, stats).prune.keep


def shrink_deployed(config: ModelConfig, deployed: Deployed) -> tuple[ModelConfig, Deployed]:
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
        grids=_shrink_grids(deployed.grids, units, config),
    )


def _shrink_grids(
    grids: Mapping[str, StoredGrid], units: Mapping[str, np.ndarray], config: ModelConfig
) -> dict[str, StoredGrid]:
    """The grids without the channels and inputs that are gone."""

    def cut(field: str) -> dict[str, Any]:
        of = {p: v for p, g in grids.items() if (v := getattr(g, field, None)) is not None}
        return compress.shrink_scales(of, units, couplings(config))

    scale, inputs, zero_point = cut("scale"), cut("inputs"), cut("zero_point")
    shrunk: dict[str, StoredGrid] = {}
    for path, grid in grids.items():
        if isinstance(grid, Affine):
            shrunk[path] = grid._replace(scale=scale[path], zero_point=zero_point[path])
        elif isinstance(grid, Uniform):
            shrunk[path] = grid._replace(scale=scale[path], inputs=inputs.get(path))
    return shrunk


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
    words = f"heads {heads}, neurons {widths}"
    if not config.ranks:
        return words
    return f"{words}, ranks {' '.join(str(rank) for rank in sorted({r for _, r in config.ranks}))}"
