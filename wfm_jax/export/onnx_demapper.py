"""The exact demapper of mixed constellations as ONNX operators.

The formulas, and the guards of their exponentials, are those of :mod:`wfm_jax.signal.mixed_qam`.
"""

from typing import NamedTuple

import numpy as np

from wfm_jax.export.onnx_graph import Graph
from wfm_jax.signal import mixed_qam, qam


class Symbols(NamedTuple):
    """Equalised data symbols: names of float32[batch, n_data] values, ``noise`` their variance."""

    real: str
    imag: str
    noise: str


def evidence(graph: Graph, symbols: Symbols, doubt: np.ndarray, orders: tuple[int, ...]) -> str:
    """ln p(frame | constellation), averaged over noise ``doubt`` times as large: float32[batch,
    n_orders], up to a constant; ``orders`` are bits per symbol."""
    axes = graph(
        "Concat", *(graph("Unsqueeze", x, np.array([1, 2, 3])) for x in symbols[:2]), axis=3
    )
    noise = graph("Unsqueeze", symbols.noise, np.array([1, 2, 3]))
    scale = graph("Reciprocal", graph("Mul", noise, doubt.reshape(-1, 1, 1).astype(np.float32)))
    width = graph("ReduceSum", graph("Log", scale), np.array([3, 4]), keepdims=0)
    columns = []  # [batch, levels, doubts, axes, n_data] until levels, axes and data are summed
    for order in orders:
        levels = qam.axis_levels(order)[0].reshape(-1, 1, 1, 1)
        step = graph("Sub", axes, levels)
        square = graph("Mul", step, step)
        nearest = graph("ReduceMin", square, np.array([1]))
        weight = graph("Exp", graph("Mul", graph("Sub", nearest, square), scale))
        mean = graph("ReduceMean", weight, np.array([1]))
        above = graph("Log", graph("Max", mean, np.float32(mixed_qam.LEAST)))
        of_axes = graph("Sub", above, graph("Mul", nearest, scale))
        both = graph("ReduceSum", of_axes, np.array([3, 4]), keepdims=0)
        columns.append(graph("Add", both, width))
    columns = [graph("Transpose", column, perm=[0, 2, 1]) for column in columns]
    in_doubt = graph("Concat", *columns, axis=2)  # [batch, doubts, orders]
    return graph("ReduceLogSumExp", in_doubt, np.array([1]), keepdims=0)


def llrs(graph: Graph, symbols: Symbols, modulation: str, orders: tuple[int, ...]) -> str:
    """LLRs float32[batch, n_data, m_max] of ``modulation`` int32[batch], which indexes ``orders``;
    0 in unused slots."""
    most = max(orders)
    n_levels = 2 ** (most // 2)
    table = mixed_qam.repeated_levels(orders)
    half, outermost = np.abs(table).min(axis=1), table.max(axis=1)

    def of_frame(values: np.ndarray, axes: list[int]) -> str:
        picked = graph("Gather", values.astype(np.float32), modulation)
        return graph("Unsqueeze", picked, np.array(axes))

    part = graph(
        "Concat", *(graph("Unsqueeze", x, np.array([1])) for x in symbols[:2]), axis=2
    )  # [batch, 1, 2 n_data]
    noise = graph("Unsqueeze", symbols.noise, np.array([1]))
    scale = graph("Reciprocal", graph("Concat", noise, noise, axis=2))
    levels = of_frame(table, [2])  # [batch, n_levels, 1]
    spacing, last = of_frame(2.0 * half, [1, 2]), of_frame(outermost, [1, 2])
    cell = graph("Floor", graph("Div", part, spacing))
    middle = graph("Mul", graph("Add", cell, np.float32(0.5)), spacing)
    nearest = graph("Max", graph("Min", middle, last), graph("Neg", last))

    step = graph("Sub", levels, nearest)
    twice = graph("Mul", graph("Sub", part, nearest), np.float32(2.0))
    behind = graph("Mul", step, graph("Sub", twice, step))
    metric = graph("Min", graph("Mul", behind, scale), np.float32(0.0))
    beyond = graph("Max", graph("Sub", np.float32(-mixed_qam.EXACT_NATS), metric), np.float32(0.0))
    grown = graph("Add", graph("Mul", beyond, np.float32(1.0 / mixed_qam.SLOPE)), np.float32(1.0))
    exponential = graph("Exp", graph("Max", metric, np.float32(-mixed_qam.EXACT_NATS)))
    square = graph("Mul", grown, grown)
    weight = graph("Div", exponential, graph("Mul", square, square))

    one = qam.axis_levels(most)[1].T.astype(np.float32)
    assert one.shape == (most // 2, n_levels)
    tiny = np.float32(mixed_qam.TINY)
    ones, zeros = (
        graph("Log", graph("Add", graph("MatMul", members, weight), tiny))
        for members in (one, 1.0 - one)
    )
    llr = graph("Sub", ones, zeros)  # [batch, m_max / 2, 2 n_data]: bits of either axis alternate
    llr = graph("Reshape", llr, np.array([0, most // 2, 2, -1]))
    llr = graph("Transpose", llr, perm=[0, 3, 1, 2])
    llr = graph("Reshape", llr, np.array([0, 0, most]))
    used = np.arange(most) < np.asarray(orders)[:, None]
    return graph("Mul", llr, of_frame(used, [1]))
