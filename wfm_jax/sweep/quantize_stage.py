"""Stage Q: new grids, calibrated on the weights as compressed so far."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from wfm_jax import compress
from wfm_jax.sweep.compression import (
    SCALES,
    Choices,
    Compression,
    Grid,
    Settings,
    in_force,
    on,
    on_grid,
    switch,
)


def quantize(
    params: Any,
    state: Compression,
    settings: Settings,
    choices: Choices,
    stats: compress.Stats | None = None,
) -> tuple[Any, Compression]:
    """Puts kernels on the grid that the settings choose, tables on theirs, the rest into float16.

    Args:
        params: latent weights.
        state: what is in force.
        settings: the numbers.
        choices: what they index.
        stats: of data, where rounding looks at them.

    Returns:
        Latent weights, and what is in force. GPTQ's rounding replaces the latent weights by those
        that it chose.
    """
    current = in_force(choices).apply(params, state)
    bits = jnp.asarray(settings.weight_bits)

    def scale(w: jax.Array, bits: Any, **grid: Any) -> jax.Array:
        rules = [lambda r=SCALES[name]: r(w, bits, **grid) for name in choices.scales]
        return compress.round_up_scale(switch(settings.scale, rules))

    def branch_of(index: int, grid: Grid) -> Callable[[], tuple[Any, tuple[Any, ...]]]:
        def by_calibration() -> tuple[Any, Any]:
            method = on_grid(grid, _bits(settings, choices.kernels), scale)
            method = on(choices.kernels, method)
            return params, method.update(current, state.grids[index], stats)[1]

        def by_gptq() -> tuple[Any, Any]:
            return _gptq(params, current, grid, settings, choices, scale, stats)

        def branch() -> tuple[Any, tuple[Any, ...]]:
            if grid.kind == "integer":
                by_name = {"nearest": by_calibration, "gptq": by_gptq}
                ways = [by_name[name] for name in choices.roundings]
                kept, own = switch(settings.rounding, ways)
            else:
                kept, own = by_calibration()
            return kept, (*state.grids[:index], own, *state.grids[index + 1 :])

        return branch

    branches = [branch_of(i, grid) for i, grid in enumerate(choices.grids)]
    params, grids = switch(settings.grid, branches)
    tables = compress.quantize(_bits(settings, choices.tables), scale=_of_tables(choices))
    vectors = compress.store_vectors(settings.vector_bits)
    return params, state._replace(
        grids=grids,
        grid=jnp.asarray(settings.grid, jnp.int32),
        tables=on(choices.tables, tables).update(current, state.tables)[1],
        vectors=on(choices.vectors, vectors).update(current, state.vectors)[1],
        halves=compress.HalfState(bits == 16),
    )


def _gptq(params, current, grid, settings, choices, scale, stats) -> tuple[Any, Any]:
    method = compress.gptq_quantize(
        _bits(settings, choices.kernels), scale=scale, bound=grid.bound, group_size=grid.group_size
    )
    chosen, found = on(choices.kernels, method).update(current, None, stats)
    chosen = compress.flatten(chosen)
    new = compress.unflatten(params, {path: chosen[path] for path in choices.kernels})
    return new, compress.QuantizeState(found.scale, found.bits)


def _of_tables(choices: Choices) -> compress.ScaleRule:
    """Tables of few bits, which only an allocation makes, need more than the absmax rule."""
    return compress.coarse("auto" if "auto" in choices.scales else "absmax")


def _bits(settings: Settings, paths: tuple[str, ...]) -> dict[str, jax.Array]:
    return {path: jnp.asarray(settings.bits[path]) for path in paths}
