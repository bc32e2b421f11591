"""The encoder as ONNX operators: tokenizers and blocks, as :mod:`wfm_jax.model` computes them.

Rows are ``[batch * tokens, width]`` between blocks, as there. What does not depend on the input is
computed here once: position codes enter a tokenizer's layers through biases of their own.
"""

from typing import NamedTuple

import numpy as np

from wfm_jax.export.compressed import CompressedModel
from wfm_jax.export.onnx_dense import ActivationGrid, activation_grid, dense, kernel, snapped
from wfm_jax.export.onnx_graph import Graph
from wfm_jax.model import positions
from wfm_jax.model.config import ModelConfig
from wfm_jax.model.model import view_times

LAYER_NORM_EPSILON = 1e-6


class Tokens(NamedTuple):
    """What heads read of the encoder's answer: names of float32[batch, 1 or n_patches, d_model]."""

    frame: str
    patches: str


class View(NamedTuple):
    """Names of ``shows`` float32[batch, tokens, times, features] and ``visible`` bool[batch,
    tokens]."""

    shows: str
    visible: str


def encode(graph: Graph, model: CompressedModel, views: dict[str, View], modulation: str) -> Tokens:
    """The encoder's tokens.

    Args:
        graph: to add to.
        model: what is exported.
        views: by name.
        modulation: int32[batch].
    """
    config = model.config
    table = kernel(graph, model, "embed_modulation")
    frame = graph("Unsqueeze", graph("Gather", table, modulation), np.array([1]))
    places = positions.frequency_code(config)
    patches, segments = None, []
    for name, view in views.items():
        code = positions.segment_code(config) if name == "iq" else places
        tokens = _tokens(graph, model, name, view, code)
        if name == "iq":
            segments = [tokens]
        else:
            patches = tokens if patches is None else graph("Add", patches, tokens)
    if patches is None:
        patches = _no_patches(graph, config, frame)
    x = graph("Concat", frame, patches, *segments, axis=1)
    x = graph("Reshape", x, np.array([-1, config.d_model]))
    for i in range(config.n_layers):
        x = _block(graph, model, i, x)
    x = _layer_norm(graph, model, "final_norm", x)
    x = graph("Reshape", x, np.array([-1, config.n_tokens, config.d_model]))
    sizes = np.array([1, config.n_patches, config.n_segments])
    frame, patches, *_ = graph.several(
        "Split", int(np.count_nonzero(sizes)), x, sizes[sizes > 0], axis=1
    )
    return Tokens(frame, patches)


def _no_patches(graph: Graph, config: ModelConfig, frame: str) -> str:
    """Tokens of zeros, for a model that reads no view of patches."""
    return graph("Mul", graph("Tile", frame, np.array([1, config.n_patches, 1])), np.float32(0.0))


def _tokens(graph: Graph, model: CompressedModel, name: str, view: View, places: np.ndarray) -> str:
    path = f"embed_{name}"
    times = view_times(model.config)[name]
    n_features = model.params[f"{path}/times/kernel"].shape[0] - positions.TIME_WAVES
    each = _split_layer(graph, model, f"{path}/times", view.shows, n_features, times)
    shown = graph("ReduceMean", graph("Relu", each), np.array([2]), keepdims=0)
    visible = graph("Unsqueeze", view.visible, np.array([2]))
    shown = graph("Where", visible, shown, model.params[f"{path}/absent"])
    return _split_layer(graph, model, f"{path}/token", shown, model.config.d_model, places)


def _split_layer(
    graph: Graph, model: CompressedModel, path: str, x: str, n_inputs: int, code: np.ndarray
) -> str:
    """A dense layer of ``x`` beside a code that is the same for every frame."""
    weights = model.params[f"{path}/kernel"]
    known = code @ weights[n_inputs:] + model.params[f"{path}/bias"]
    own = kernel(graph, model, f"{path}/kernel", slice(0, n_inputs))
    return graph("Add", graph("MatMul", x, own), known.astype(np.float32))


def _block(graph: Graph, model: CompressedModel, i: int, x: str) -> str:
    config, path = model.config, f"block_{i}"
    if config.heads[i]:
        normed = _layer_norm(graph, model, f"{path}/attention_norm", x)
        x = graph("Add", x, _attention(graph, model, i, normed))
    if config.mlp_widths[i]:
        normed = _layer_norm(graph, model, f"{path}/mlp_norm", x)
        x = graph("Add", x, _mlp(graph, model, f"{path}/mlp", normed))
    return x


def _attention(graph: Graph, model: CompressedModel, i: int, x: str) -> str:
    config, path = model.config, f"block_{i}/attention"
    heads, length = config.heads[i], config.head_dim
    split = np.array([-1, config.n_tokens, heads, length])

    def by_head(y: str, *axes: int) -> str:
        return graph("Transpose", graph("Reshape", y, split), perm=[0, *axes])

    inputs = _entering(graph, model, f"{path}/input", x)
    query = graph("Mul", _layer(graph, model, f"{path}/query", *inputs), np.float32(length**-0.5))
    key, value = (_layer(graph, model, f"{path}/{name}", *inputs) for name in ("key", "value"))
    scores = graph("MatMul", by_head(query, 2, 1, 3), by_head(key, 2, 3, 1))
    mixed = graph("MatMul", graph("Softmax", scores, axis=-1), by_head(value, 2, 1, 3))
    mixed = graph("Transpose", mixed, perm=[0, 2, 1, 3])
    mixed = graph("Reshape", mixed, np.array([-1, heads * length]))
    return _layer(graph, model, f"{path}/out", *_entering(graph, model, f"{path}/mixed", mixed))


def _mlp(graph: Graph, model: CompressedModel, path: str, x: str) -> str:
    up = _layer(graph, model, f"{path}/up", *_entering(graph, model, f"{path}/input", x))
    hidden = graph("Gelu", up, approximate="tanh")
    return _layer(graph, model, f"{path}/down", *_entering(graph, model, f"{path}/hidden", hidden))


def _entering(
    graph: Graph, model: CompressedModel, point: str, x: str
) -> tuple[str, ActivationGrid | None]:
    """What passes a point, and its grid."""
    grid = activation_grid(graph, model, point)
    return snapped(graph, x, grid), grid


def _layer(
    graph: Graph, model: CompressedModel, path: str, x: str, grid: ActivationGrid | None
) -> str:
    """A dense layer of the blocks, of one product or of two."""
    if path not in dict(model.config.ranks):
        return dense(graph, model, path, x, grid)
    reduced = dense(graph, model, f"{path}/reduce", x, grid)
    between = _entering(graph, model, f"{path}/reduced", reduced)
    return dense(graph, model, f"{path}/expand", *between)


def _layer_norm(graph: Graph, model: CompressedModel, path: str, x: str) -> str:
    scale, bias = (model.params[f"{path}/{name}"] for name in ("scale", "bias"))
    return graph(
        "LayerNormalization", x, scale, bias, name=path, axis=-1, epsilon=LAYER_NORM_EPSILON
    )
