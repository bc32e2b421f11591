"""A compressed model as an ONNX file: from the views of a frame to bits, constellation and link.

The graph's inputs are those of the model (:class:`wfm_jax.model.views.Inputs`, what classical
preprocessing makes of a received frame), with complex values as pairs of real ones; :func:`feed`
turns one into the other. Its outputs are the model's, and the LLRs of the data bits. The batch is
symbolic.

What :mod:`wfm_jax.export.compressed` says is stored is what the file holds: integers and scales as
they are, activations on their frozen grids. A model without grids becomes an ordinary float32 file.
"""

import hashlib
import json
import os
from typing import Any

import jax
import numpy as np
import onnx

from wfm_jax.export.compressed import CompressedModel
from wfm_jax.export.onnx_encoder import View, encode
from wfm_jax.export.onnx_graph import BATCH, ONNX_RUNTIME, Dialect, Graph
from wfm_jax.export.onnx_heads import Complex, Received, answer
from wfm_jax.model import Inputs, ModelConfig, to_dict
from wfm_jax.model import views as model_views
from wfm_jax.model.model import view_times
from wfm_jax.results import atomic

CONFIG, ACT_BITS, CHECKSUM = "wfm_jax.config", "wfm_jax.act_bits", "wfm_jax.sha256"


def to_onnx(model: CompressedModel, dialect: Dialect = ONNX_RUNTIME) -> onnx.ModelProto:
    """The model as a checked ONNX graph.

    Args:
        model: what to export.
        dialect: what the runtime takes.

    Raises:
        ValueError: a bias that int32 cannot hold in steps of its layer's scales; names it.
    """
    graph, config = Graph(dialect), model.config
    modulation = graph.input("modulation", np.int32, BATCH)
    views = {
        name: View(
            graph.input(name, np.float32, *_view_shape(config, name)),
            graph.input(f"{name}_visible", np.bool_, *_view_shape(config, name)[:2]),
        )
        for name in config.views
    }
    n_symbols, n_subcarriers = config.link.n_symbols, config.link.n_subcarriers
    n_pilots = n_subcarriers // config.link.pilot_spacing

    def pair(name: str, *shape: int) -> Complex:
        whole = graph.input(name, np.float32, BATCH, *shape, 2)
        parts = graph.several("Split", 2, whole, np.array([1, 1]), axis=len(shape) + 1)
        return Complex(*(graph("Squeeze", x, np.array([len(shape) + 1])) for x in parts))

    received = Received(
        grid=pair("elements", n_symbols, n_subcarriers),
        has_grid=graph.input("has_elements", np.bool_, BATCH),
        pilots=pair("pilots", 2, n_pilots),
        channel_ls=pair("channel_ls", 2, n_subcarriers),
        modulation=modulation,
    )
    outputs = answer(graph, model, received, encode(graph, model, views, modulation))
    for name, shape in _output_shapes(config).items():
        graph.output(name, outputs[name], np.float32, BATCH, *shape)
    described = {CONFIG: json.dumps(to_dict(config)), ACT_BITS: str(model.act_bits)}
    made = graph.model("wfm_jax", described)
    made.metadata_props.add(key=CHECKSUM, value=checksum(made))
    return made


def checksum(model: onnx.ModelProto) -> str:
    """SHA-256 of the graph and of all properties but itself."""
    rest = [(p.key, p.value) for p in model.metadata_props if p.key != CHECKSUM]
    digest = hashlib.sha256(model.graph.SerializeToString(deterministic=True))
    digest.update(json.dumps(sorted(rest)).encode())
    return digest.hexdigest()


def save_onnx(
    path: str | os.PathLike, model: CompressedModel, dialect: Dialect = ONNX_RUNTIME
) -> int:
    """Writes the ONNX file in one step and returns its size in bytes; raises as `to_onnx`."""
    data = to_onnx(model, dialect).SerializeToString()
    atomic.write_bytes(path, data)
    return len(data)


def trtexec_line(path: str | os.PathLike, *, largest_batch: int = 32) -> str:
    """The command that makes a TensorRT engine of a file for batches of 1 to ``largest_batch``."""
    graph = onnx.load(path).graph

    def shapes(batch: int) -> str:
        return ",".join(
            ":".join((x.name, "x".join(str(d.dim_value or batch) for d in _dimensions(x))))
            for x in graph.input
        )

    name = os.fspath(path)
    return (
        f"trtexec --onnx={name} --int8 --saveEngine={os.path.splitext(name)[0]}.plan "
        f"--minShapes={shapes(1)} --optShapes={shapes(1)} --maxShapes={shapes(largest_batch)}"
    )


def _dimensions(value: onnx.ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim


def feed(inputs: Inputs) -> dict[str, np.ndarray]:
    """A model's inputs by the names that the graph's have."""
    shown = {name: np.asarray(view, np.float32) for name, view in inputs.views.items()}
    visible = {f"{name}_visible": np.asarray(v) for name, v in inputs.visible.items()}
    return {
        "modulation": np.asarray(inputs.modulation, np.int32),
        **shown,
        **visible,
        "elements": _pairs(inputs.grid),
        "has_elements": np.asarray(inputs.has_grid),
        "pilots": _pairs(inputs.pilots),
        "channel_ls": _pairs(inputs.channel_ls),
    }


def _pairs(x: jax.Array) -> np.ndarray:
    values = np.ascontiguousarray(x, np.complex64)
    return values.view(np.float32).reshape(*values.shape, 2)


def _view_shape(config: ModelConfig, name: str) -> tuple[int | str, ...]:
    tokens = config.n_segments if name == "iq" else config.n_patches
    times = view_times(config)[name].shape[0]
    return BATCH, tokens, times, model_views.n_features(config, name)


def _output_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    link = config.link
    elements = (link.n_symbols, link.n_subcarriers)
    scalars: dict[str, Any] = dict.fromkeys(
        ("k_db", "snr_db", "los", "delay_spread_s", "doppler_hz"), ()
    )
    return {
        "channel": (*elements, 2),
        "log_noise": elements,
        "modulation_logits": (config.n_modulations,),
        **scalars,
        "llr": (link.n_data, max(link.bits_per_symbol)),
    }
