"""The matrix products and convolutions of a forward pass, read from its jaxpr.

Nothing here knows the architecture, so that the count is right for a shrunk model as for a new
layer. Elementwise work (norms, softmax, GELU) is not counted: for the models here it is a few
percent of the operations.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import Var

from wfm_jax import compress
from wfm_jax.evaluate.scores import Apply
from wfm_jax.model import ModelConfig, prepare
from wfm_jax.signal import link

_SAME_WEIGHTS = ("reshape", "transpose", "squeeze", "convert_element_type", "copy")
_REPEATS = ("scan", "while", "cond")


class Product(NamedTuple):
    """One matrix product of a frame's forward pass.

    Attributes:
        macs: real multiply-accumulates; a complex one is four.
        parameter: path name of the weights it multiplies by, None between activations.
        weights: number of these weights, each of which takes part in ``macs / weights`` products.
    """

    macs: int
    parameter: str | None
    weights: int


def frame_products(config: ModelConfig, apply: Apply, params: Any) -> tuple[Product, ...]:
    """The products of one frame's forward pass; computes nothing.

    Args:
        config: the model.
        apply: its forward pass.
        params: arrays or their shapes, as :func:`wfm_jax.model.param_shapes` gives them.
    """

    def inputs(key: jax.Array) -> Any:
        frame = link.sample_frames(config.link, key=key, batch_size=1)
        return prepare(config, frame, frame.modulation)[0]

    return matrix_products(apply, params, jax.eval_shape(inputs, jax.random.key(0)))


def matrix_products(function: Callable, params: Any, inputs: Any) -> tuple[Product, ...]:
    """The products of ``function(params, inputs)``; arguments may be shapes.

    Raises NotImplementedError for loops and branches, whose products are not in the jaxpr as often
    as they run.
    """
    jaxpr = jax.make_jaxpr(function)(params, inputs).jaxpr
    paths = compress.flatten(params)
    return tuple(_walk(jaxpr, dict(zip(jaxpr.invars, paths, strict=False))))


def _walk(jaxpr: Any, path_of: dict[Any, str]) -> Iterator[Product]:
    """Yields products; ``path_of`` names the variables that hold a parameter."""
    for equation in jaxpr.eqns:
        paths = [path_of.get(v) if isinstance(v, Var) else None for v in equation.invars]
        if equation.primitive.name == "dot_general":
            yield _product(equation, paths)
        elif equation.primitive.name == "conv_general_dilated":
            yield _convolution(equation, paths)
        elif equation.primitive.name in _SAME_WEIGHTS and paths[0] is not None:
            path_of[equation.outvars[0]] = paths[0]
        for inner in _inner_jaxprs(equation):
            if len(inner.invars) != len(paths):
                raise NotImplementedError(f"cannot count products inside {equation.primitive}")
            named = zip(inner.invars, paths, strict=True)
            yield from _walk(inner, {v: path for v, path in named if path is not None})


def _inner_jaxprs(equation: Any) -> list[Any]:
    """Jaxprs that the equation calls once."""
    found = [getattr(value, "jaxpr", value) for value in equation.params.values()]
    found = [value for value in found if hasattr(value, "eqns")]
    if equation.primitive.name in _REPEATS:
        raise NotImplementedError(f"cannot count products inside {equation.primitive}")
    return found


def _convolution(equation: Any, paths: list[str | None]) -> Product:
    """As many products an output as one of its channels has weights, padding included."""
    kernel, output = equation.invars[1].aval, equation.outvars[0].aval
    channels = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    weights = math.prod(kernel.shape)
    macs = math.prod(output.shape) * weights // channels
    return Product(macs, paths[1], 0 if paths[1] is None else weights)


def _product(equation: Any, paths: list[str | None]) -> Product:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval
    macs = math.prod(equation.outvars[0].aval.shape) * math.prod(left.shape[i] for i in contracted)
    if equation.outvars[0].aval.dtype.kind == "c":
        macs *= 4
    for path, variable in zip(paths, equation.invars, strict=True):
        if path is not None:
            return Product(macs, path, math.prod(variable.aval.shape))
    return Product(macs, None, 0)
