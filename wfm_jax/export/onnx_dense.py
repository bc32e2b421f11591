"""Dense layers of an ONNX graph: in float32, of stored integers, or all in int8.

=================  ===========================================  ================================
kernel             its input                                    becomes
=================  ===========================================  ================================
floating point     floating point                               Gemm
2 to 4 bits        floating point                               DequantizeLinear of INT4, Gemm
5 to 8 bits        floating point                               Cast and Mul of INT8, Gemm
2 to 8 bits, one   on a grid                                    QuantizeLinear, DequantizeLinear
scale a channel                                                 on both sides of a Gemm
any other          on a grid                                    as above, of snapped activations
=================  ===========================================  ================================

The last but one is what ONNX Runtime makes one QGemm of, and TensorRT an int8 product: for that the
bias has to be int32 in units of input scale times weight scale, and kernels are stored in INT8
whatever their bits. Integers and scales are those of the compressed model and never found anew, but
for TensorRT: there activations lie on a symmetric grid over the same range, which is another one.
"""

from typing import NamedTuple, TypeGuard

import numpy as np
import onnx

from wfm_jax import compress
from wfm_jax.export.compressed import CompressedModel
from wfm_jax.export.grids import Float, Grid, Uniform
from wfm_jax.export.onnx_graph import Graph

_LARGEST_BIAS = 1 << 30


class ActivationGrid(NamedTuple):
    """``(integer - zero_point) * scale`` of the integers ``lowest`` ... ``highest``, in the dtype
    of ``zero_point``."""

    scale: np.ndarray
    zero_point: np.ndarray
    lowest: int
    highest: int


def activation_grid(graph: Graph, model: CompressedModel, point: str) -> ActivationGrid | None:
    """The frozen grid of a point; None where activations stay in floating point."""
    if model.ranges is None or point not in model.ranges or model.act_bits >= 16:
        return None
    low, high = model.ranges[point]
    if graph.dialect.affine:
        scale, zero_point = compress.affine_grid(low, high, model.act_bits)
        integers, lowest, highest = np.uint8, 0, (1 << model.act_bits) - 1
    else:
        scale, zero_point = compress.symmetric_scale(low, high, model.act_bits), 0
        integers, highest = np.int8, (1 << model.act_bits - 1) - 1
        lowest = -highest
    return ActivationGrid(
        np.asarray(scale, np.float32), np.asarray(zero_point, integers), lowest, highest
    )


def snapped(graph: Graph, x: str, grid: ActivationGrid | None) -> str:
    """What passes a point: quantized and dequantized again, for dense layers to fuse with."""
    if grid is None:
        return x
    whole = np.iinfo(grid.zero_point.dtype)
    if grid.highest < whole.max:
        ends = (np.array([grid.lowest, grid.highest]) - float(grid.zero_point)) * grid.scale
        low, high = ends.astype(np.float32)  # no Clip: ONNX Runtime fuses it with a Gemm before it
        x = graph("Max", graph("Min", x, high), low)
    integers = graph("QuantizeLinear", x, grid.scale, grid.zero_point)
    return graph("DequantizeLinear", integers, grid.scale, grid.zero_point)


def dense(
    graph: Graph, model: CompressedModel, path: str, x: str, entering: ActivationGrid | None = None
) -> str:
    """``x @ kernel + bias`` of the layer at ``path``.

    Args:
        graph: to add to.
        model: what is exported.
        path: of the layer.
        x: float32[rows, in], on its grid where it has one.
        entering: the grid of ``x``, from :func:`activation_grid`.

    Raises:
        ValueError: a bias that int32 cannot hold; names the layer.
    """
    bias = model.params.get(f"{path}/bias")
    grid = _grid(model, f"{path}/kernel")
    if entering is None or not _leaves_a_product(grid):
        return graph("Gemm", x, kernel(graph, model, f"{path}/kernel"), bias, name=path)
    weights = _integer_kernel(graph, model, path, grid)
    if not graph.dialect.affine:
        return graph("Gemm", x, weights.name, bias, name=path)
    if bias is None:
        bias = np.zeros(weights.scale.size, np.float32)
    unit = (entering.scale * weights.scale).astype(np.float32)
    steps = np.rint(bias.astype(np.float64) / unit)
    if np.abs(steps).max() > _LARGEST_BIAS:
        raise ValueError(f"{path}/bias: too large for int32 in steps of {unit.min():.1e}")
    zero_points = np.zeros(unit.size, np.int32)
    whole = graph.constant(steps.astype(np.int32), f"{path}/bias")
    added = graph("DequantizeLinear", whole, unit, zero_points, axis=0)
    return graph("Gemm", x, weights.name, added, name=path)


def kernel(graph: Graph, model: CompressedModel, name: str, rows: slice = slice(None)) -> str:
    """The kernel of that name, or some of its rows, as a float32 value: a constant, or integers
    times scales.

    Stored as integers are symmetric grids of one scale a channel, and at 2 to 4 bits also of one a
    group of inputs, in the standard's blocks; what lies on another grid is stored in float32.
    """
    weights, grid = model.params[name], _grid(model, name)
    part = f"{name}[{rows.start or 0}:]" if rows != slice(None) else name
    if not isinstance(grid, Uniform) or grid.inputs is not None:
        return graph.constant(weights[rows], part)
    integers, scale = grid.codes(weights)[rows], np.asarray(grid.scale, np.float32)
    small = grid.bits <= 4 and graph.dialect.int4
    blocked = scale.ndim == 2 and scale.shape[0] > 1
    if blocked and (rows != slice(None) or scale.shape[1] != weights.shape[1] or not small):
        return graph.constant(weights[rows], part)
    if blocked:
        length = weights.shape[0] // scale.shape[0]
        stored = graph.int4(integers, part)
        return graph("DequantizeLinear", stored, scale, axis=0, block_size=length)
    by_channel = _by_channel(scale, weights)
    if small:
        return graph("DequantizeLinear", graph.int4(integers, part), by_channel, axis=1)
    if not graph.dialect.affine:
        return _int8(graph, part, integers, by_channel)
    # ONNX Runtime does this once, when it loads the file, and a DequantizeLinear at every call.
    whole = graph("Cast", graph.own(integers.astype(np.int8), part), to=onnx.TensorProto.FLOAT)
    return graph("Mul", whole, by_channel)


class _IntegerKernel(NamedTuple):
    name: str
    scale: np.ndarray


def _leaves_a_product(grid: Grid) -> TypeGuard[Uniform]:
    """Whether integers can be summed before they are scaled: symmetric, one scale a channel."""
    if not isinstance(grid, Uniform) or grid.inputs is not None:
        return False
    return np.shape(grid.scale)[0] == 1


def _integer_kernel(
    graph: Graph, model: CompressedModel, path: str, grid: Uniform
) -> _IntegerKernel:
    weights = model.params[f"{path}/kernel"]
    scale = _by_channel(np.asarray(grid.scale, np.float32), weights)
    integers = grid.codes(weights)
    # A channel of zeros has no scale, and its bias needs one.
    scale = np.where(np.any(integers, axis=0), scale, np.float32(scale.max() or 1.0))
    return _IntegerKernel(_int8(graph, f"{path}/kernel", integers, scale), scale)


def _int8(graph: Graph, name: str, integers: np.ndarray, scale: np.ndarray) -> str:
    """Dequantized. Integers and zero points are shared with nothing: ONNX Runtime rewrites them
    where a processor needs it."""
    stored = graph.own(integers.astype(np.int8), name)
    zero_points = graph.own(np.zeros(scale.size, np.int8), f"{name}/zero_point")
    return graph("DequantizeLinear", stored, scale, zero_points, axis=1)


def _by_channel(scale: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.broadcast_to(scale.reshape(-1), weights.shape[1:]).astype(np.float32)


def _grid(model: CompressedModel, name: str) -> Grid:
    return model.grids.get(name, Float()).checked(model.params[name].shape)
