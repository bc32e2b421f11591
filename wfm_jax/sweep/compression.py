"""What a sweep compresses, and everything that can be in force on one configuration.

A problem's kernels are prunable (that is sparsity's denominator) and quantizable: of the wireless
model, every kernel of the encoder blocks. Other tables (embeddings, heads) are quantized, never
below ``table_bits`` unless an allocation says so, and not pruned. Norms and biases are stored in
``vector_bits`` once Q has acted, float16 by default; at 16 bits everything is. Scales that Q
calibrates are rounded up to five binary digits, which is what the file stores
(:mod:`wfm_jax.compress.coarse_scales`).

By which score, in which structure, on which grid a configuration is compressed is a number of its
own, an index of what its group's configurations ask for (:class:`Choices`): one program serves them
all, and compiles no alternative that nobody wants. Stages P and Q decide
(:mod:`wfm_jax.sweep.prune_stage`, :mod:`wfm_jax.sweep.quantize_stage`).
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax import compress
from wfm_jax.sweep.own import Format, by_name, name_of
from wfm_jax.train.hidden import PARTS, Hidden, Part
from wfm_jax.train.learned_scales import Learned, log_scales
from wfm_jax.train.problem import Problem

SCORES = {
    "magnitude": compress.magnitude,
    "taylor": compress.taylor,
    "wanda": compress.wanda,
    "random": compress.random_score,
}
DISTRIBUTIONS = {
    "global": compress.globally,
    "uniform": compress.uniformly,
    "erk": compress.erk,
    "per_output": compress.per_output,
}
UNITS = {
    "heads": ("heads",),
    "neurons": ("neurons",),
    "heads+neurons": ("heads", "neurons"),
}
UNSTRUCTURED, TWO_OF_FOUR, BLOCKS = "unstructured", "2:4", "4x4"
STRUCTURES = (UNSTRUCTURED, TWO_OF_FOUR, BLOCKS, *UNITS)
ONE_SHOT, CUBIC = "one-shot", "cubic"
SCHEDULES = (ONE_SHOT, CUBIC)
LEARNED = "learned"
SCALES = {
    "auto": compress.auto_scale,
    "absmax": compress.absmax_scale,
    "mse": compress.mse_scale,
    "percentile": compress.percentile_scale,
}
ROUNDINGS = ("nearest", "gptq", "awq")
QUANT_FORMATS = ("integer", "affine", "nf4", "nf4_double")
BOUNDS = ("restricted", "half_step")


class Grid(NamedTuple):
    """On what kind of grid the kernels lie, static.

    Attributes:
        kind: ``integer``, ``learned`` (integers of a trained scale), ``awq`` (integers of rows that
            were multiplied), ``affine``, ``nf4``, ``nf4_double``, or one's own.
        bound: the scale convention, where there is one.
        group_size: inputs that share a scale, None for all.
    """

    kind: str | Format = "integer"
    bound: compress.Bound = "restricted"
    group_size: int | None = None


class Choices(NamedTuple):
    """What the configurations of a group ask for, static; each field without repetition.

    Attributes:
        kernels: path names of what is pruned and quantized.
        tables: path names of other leaves of two axes or more, such as embeddings and heads.
        vectors: path names of the rest.
        scores: of :data:`SCORES`, or one's own.
        spreads: pairs of a key of :data:`DISTRIBUTIONS` and one of :data:`STRUCTURES`.
        grids: of every kind that is asked for.
        scales: of :data:`SCALES`.
        roundings: to integers: of ``nearest`` and ``gptq``.
        couplings: what shrinks together in the model.
        hidden: what KD matches beside answers; None where nobody wants it.
    """

    kernels: tuple[str, ...]
    tables: tuple[str, ...]
    vectors: tuple[str, ...]
    scores: tuple[str | compress.Score, ...] = ("magnitude",)
    spreads: tuple[tuple[str, str], ...] = (("global", UNSTRUCTURED),)
    grids: tuple[Grid, ...] = (Grid(),)
    scales: tuple[str, ...] = ("absmax",)
    roundings: tuple[str, ...] = ("nearest",)
    couplings: tuple[compress.Coupling, ...] = ()
    hidden: Hidden | None = None

    @property
    def need_statistics(self) -> bool:
        """Whether something of it looks at data; a score of one's own may."""
        looking = {"taylor", "wanda", "gptq", "awq"}
        asked = {*self.scores, *self.roundings, *(g.kind for g in self.grids)}
        return bool(looking & asked) or any(callable(score) for score in self.scores)


def choices_of(asked: Iterable[Any], problem: Problem, teacher: Problem) -> Choices:
    """What configurations ask for of a model, in an order that does not depend on theirs.

    Args:
        asked: the configurations.
        problem: the students'.
        teacher: the teacher's.

    Raises:
        ValueError: an allocation names what is no kernel of the model, a group size does not
            divide a kernel's inputs, or two settings of one's own have the same name.
    """
    asked, leaves = list(asked), compress.flatten(problem.params)
    by_name(c.quant_format for c in asked)
    kernels = tuple(compress.select(problem.params, problem.prunable))
    vectors = tuple(path for path, leaf in leaves.items() if len(leaf.shape) < 2)
    tables = tuple(path for path in leaves if path not in {*kernels, *vectors})
    named = {path for c in asked for path, _ in c.allocation}
    if unknown := sorted(named - {*kernels, *tables}):
        raise ValueError(f"allocation names what the model lacks: {', '.join(unknown)}")
    parts: tuple[Part, ...] = tuple(
        p for p in PARTS if any(getattr(c.hidden_weights, p) > 0.0 for c in asked)
    )
    sizes = {c.group_size for c in asked if c.group_size}
    for path, size in ((path, size) for path in kernels for size in sorted(sizes)):
        if leaves[path].shape[-2] % size:
            raise ValueError(
                f"group_size must divide the inputs of every kernel, got {size} for the "
                f"{leaves[path].shape[-2]} inputs of {path}"
            )
    return Choices(
        kernels=kernels,
        tables=tables,
        vectors=vectors,
        scores=tuple(by_name(c.score for c in asked).values()),
        spreads=tuple(sorted({(c.distribution, c.structure) for c in asked})),
        grids=tuple(sorted({c.grid for c in asked}, key=_words)),
        scales=_or_default(
            {c.resolved_scale for c in asked if c.grid.kind in ("integer", "awq")}, "absmax"
        ),
        roundings=_or_default({c.rounding for c in asked if c.grid.kind == "integer"}, "nearest"),
        couplings=() if problem.inside is None else problem.inside.couplings,
        hidden=_hidden(problem, teacher, parts) if parts else None,
    )


def _words(grid: Grid) -> str:
    """Something to sort grids by, the same in every process."""
    return str(grid._replace(kind=name_of(grid.kind)))


def score_of(score: str | compress.Score) -> compress.Score:
    """The function of a score."""
    return SCORES[score] if isinstance(score, str) else score


def _hidden(problem: Problem, teacher: Problem, parts: tuple[Part, ...]) -> Hidden:
    assert problem.config is not None  # or `support` has refused
    assert teacher.config is not None
    return Hidden(problem.config, teacher.config, parts)


def _or_default(found: set[str], default: str) -> tuple[str, ...]:
    return tuple(sorted(found)) or (default,)


class Compression(NamedTuple):
    """State of everything in force on one configuration, a plain pytree of arrays.

    Attributes:
        prune: keep masks.
        grids: a state for each of ``Choices.grids``; all but the configuration's own are off.
        grid: int32, which of them is in force; their number while none is.
        tables: grids of embeddings and heads.
        vectors: what norms and biases are stored in.
        halves: whether everything else is in float16.
    """

    prune: compress.PruneState
    grids: tuple[Any, ...]
    grid: jax.Array
    tables: compress.QuantizeState
    vectors: compress.VectorState
    halves: compress.HalfState


class Settings(NamedTuple):
    """The numbers of P and Q, traced scalars.

    ``score``, ``spread``, ``grid``, ``scale`` and ``rounding`` index the fields of
    :class:`Choices`; ``bits`` are those of every kernel and table by path, ``vector_bits`` those of
    norms and biases; ``score_latent`` and ``train_latent`` are the flags of ``score_on`` and
    ``train_from``.
    """

    sparsity: ArrayLike
    weight_bits: ArrayLike
    bits: dict[str, ArrayLike]
    vector_bits: ArrayLike
    score: ArrayLike
    spread: ArrayLike
    grid: ArrayLike
    scale: ArrayLike
    rounding: ArrayLike
    score_latent: ArrayLike
    train_latent: ArrayLike


@functools.cache
def in_force(choices: Choices) -> compress.Transform:
    """``init`` and ``apply`` of all that can be in force; the stages P and Q decide."""
    # The states alone say what these do to a forward pass: their arguments matter to `update` only.
    prune = on(choices.kernels, compress.magnitude_prune(0.0))
    grids = [on(choices.kernels, on_grid(grid, 32)) for grid in choices.grids]
    tables = on(choices.tables, compress.quantize(8))
    vectors = on(choices.vectors, compress.store_vectors(32))
    halves = on((*choices.kernels, *choices.tables), compress.store_half())

    def init(params: Any, *, key: jax.Array) -> Compression:
        return Compression(
            prune=prune.init(params, key=key),
            grids=tuple(grid.init(params, key=key) for grid in grids),
            grid=jnp.int32(len(grids)),
            tables=tables.init(params, key=key),
            vectors=vectors.init(params, key=key),
            halves=halves.init(params, key=key),
        )

    def on_its_grid(params: Any, state: Compression) -> Any:
        pairs = list(zip(grids, state.grids, strict=True))
        if len(pairs) == 1:  # off by its bits, and no branch
            return pairs[0][0].apply(params, pairs[0][1])
        branches = [lambda grid=grid, own=own: grid.apply(params, own) for grid, own in pairs]
        return jax.lax.switch(state.grid, [*branches, lambda: params])

    def update(params: Any, state: Compression, stats: Any = None) -> tuple[Any, Compression]:
        del stats
        return params, state

    def apply(params: Any, state: Compression) -> Any:
        params = prune.apply(params, state.prune)
        params = on_its_grid(params, state)
        params = tables.apply(params, state.tables)
        params = vectors.apply(params, state.vectors)
        return halves.apply(params, state.halves)

    return compress.Transform(init, update, apply)


def on(paths: tuple[str, ...], transform: compress.Transform) -> compress.Transform:
    """A transform of these leaves alone, as :func:`wfm_jax.compress.matching`; there may be none.

    Args:
        paths: their path names.
        transform: what to do with them.
    """

    def part(params: Any) -> dict[str, Any]:
        named = frozenset(paths)
        return {path: leaf for path, leaf in compress.flatten(params).items() if path in named}

    def init(params: Any, *, key: jax.Array) -> Any:
        return transform.init(part(params), key=key)

    def update(params: Any, state: Any, stats: Any = None) -> tuple[Any, Any]:
        chosen, state = transform.update(part(params), state, stats)
        return compress.unflatten(params, chosen), state

    def apply(params: Any, state: Any) -> Any:
        return compress.unflatten(params, transform.apply(part(params), state))

    return compress.Transform(init, update, apply)


def on_grid(grid: Grid, bits: Any, scale: Any = "absmax") -> compress.Transform:
    """The transform that puts kernels on a grid.

    Args:
        grid: which.
        bits: a number, or numbers by path name; of NF4, whether it is on.
        scale: the rule for scales, where the grid takes one.
    """
    bound, size = grid.bound, grid.group_size
    match grid.kind:
        case Format():
            return compress.snapping(grid.kind.fit, grid.kind.snap)
        case "integer":
            return compress.quantize(bits, scale=scale, bound=bound, group_size=size)
        case "learned":
            return _learned(bits, bound=bound, group_size=size)
        case "awq":
            return compress.awq_quantize(bits, scale=scale, bound=bound, group_size=size)
        case "affine":
            return compress.quantize_affine(bits, group_size=size)
        case _:
            return compress.nf4(True, double_quant=grid.kind == "nf4_double")


def _learned(bits: Any, *, bound: compress.Bound, group_size: int | None) -> compress.Transform:
    """LSQ's grid: as `compress.quantize`, and the gradient reaches the scale.

    It starts from the scale of least squared error: at 2 bits on the pretrained model that start,
    trained or not, is ahead of the one that LSQ's authors give.
    """
    method = compress.quantize(bits, scale="mse", bound=bound, group_size=group_size)

    def apply(params: Any, state: compress.QuantizeState) -> Any:
        snapped = {
            path: compress.lsq_fake_quant(w, state.scale[path], state.bits[path], bound=bound)
            for path, w in compress.kernels(params).items()
        }
        return compress.unflatten(params, snapped)

    return method._replace(apply=apply)


@functools.cache
def learned(choices: Choices) -> Learned | None:
    """The scales that are trained with the weights, of every grid that has such."""
    where = [i for i, grid in enumerate(choices.grids) if grid.kind == LEARNED]

    def read(state: Compression) -> dict[str, jax.Array]:
        return {f"{i}/{p}": s for i in where for p, s in state.grids[i].scale.items()}

    def replace(state: Compression, scales: dict[str, jax.Array]) -> Compression:
        grids = list(state.grids)
        for i in where:
            own = {path: scales[f"{i}/{path}"] for path in grids[i].scale}
            grids[i] = grids[i]._replace(scale=own)
        return state._replace(grids=tuple(grids))

    return log_scales(read, replace) if where else None


def switch(index: ArrayLike, branches: Iterable[Callable[[], Any]]) -> Any:
    """``branches[index]()``; no branch where there is no choice."""
    branches = list(branches)
    return branches[0]() if len(branches) == 1 else jax.lax.switch(jnp.asarray(index), branches)
