"""GGUF: a model as a file that the tools around llama.cpp list and dequantize, and that is read
back here.

It is a storage format. llama.cpp cannot run the file: it does not know the architecture ``wfm``.
Kernels are stored in Q8_0 or Q4_0 (:mod:`gguf_tensors`), which quantizes them anew, whatever they
were before; the architecture and its link are keys below ``wfm.model`` (:mod:`gguf_keys`).
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

import wfm_jax
from wfm_jax.compress.paths import flatten, unflatten
from wfm_jax.export.container import ExportFileError
from wfm_jax.export.gguf_keys import from_keys, to_keys
from wfm_jax.export.gguf_seal import ARCHITECTURE, CHECKSUM, check_seal, seal
from wfm_jax.export.gguf_tensors import Quantization, decode, encode, tensor_types
from wfm_jax.model import ModelConfig, from_dict, param_shapes, to_dict
from wfm_jax.results import atomic

MODEL_KEYS = "wfm.model"
_DESCRIPTION = "A wireless receiver of wfm_jax. llama.cpp does not know this architecture."


class GgufModel(NamedTuple):
    """A model of a file: its architecture, and float32 parameters, dequantized."""

    config: ModelConfig
    params: dict[str, Any]


def save_gguf(
    path: str | os.PathLike,
    config: ModelConfig,
    params: Any,
    *,
    quantization: Quantization,
    name: str,
    author: str = "wfm_jax",
    spdx_license: str = "apache-2.0",
) -> int:
    """Writes a model in one step and returns the file's size in bytes.

    Args:
        path: the file.
        config: the architecture.
        params: its effective float32 weights.
        quantization: of the blocks' kernels; what the others are, ``tensor_types`` says.
        name, author, spdx_license: what the file's ``general`` keys say of the model.

    Raises:
        ValueError: parameters that are not the architecture's, or that are not finite as stored;
            names the tensor.
        ModuleNotFoundError: without gguf.
    """
    gguf = _gguf()
    weights, types = flatten(params), tensor_types(params, quantization)
    _check_shapes(weights, config)
    arrays = {tensor: encode(tensor, w, types[tensor]) for tensor, w in weights.items()}
    with atomic.replacing(path) as beside:
        writer = gguf.GGUFWriter(beside, ARCHITECTURE)
        writer.add_uint32(CHECKSUM, 0)
        writer.add_name(name)
        writer.add_description(_DESCRIPTION)
        writer.add_author(author)
        writer.add_license(spdx_license)
        writer.add_version(wfm_jax.__version__)
        writer.add_file_type(int(getattr(gguf.LlamaFileType, f"MOSTLY_{quantization}")))
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for key, value in to_keys(to_dict(config), MODEL_KEYS).items():
            writer.add_key_value(key, value, *_value_types(gguf, value))
        for tensor, array in arrays.items():
            raw_dtype = getattr(gguf.GGMLQuantizationType, types[tensor])
            writer.add_tensor(tensor, array, raw_dtype=raw_dtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        data = seal(beside.read_bytes())
        beside.write_bytes(data)
    return len(data)


def load_gguf(path: str | os.PathLike) -> GgufModel:
    """Reads a model that :func:`save_gguf` wrote.

    Raises:
        ExportFileError: a file that is damaged, foreign, of a later version or of another
            architecture, or whose tensors are not those of its architecture; names file and field.
        ModuleNotFoundError: without gguf.
        OSError: a file that cannot be read.
    """
    gguf = _gguf()
    with open(path, "rb") as file:
        check_seal(file.read(), os.fspath(path))
    reader = gguf.GGUFReader(path)
    try:
        keys = {key: _value(gguf, field) for key, field in reader.fields.items()}
        config = from_dict(from_keys(keys, MODEL_KEYS))
        weights = {t.name: decode(t.name, t.data, t.tensor_type.name) for t in reader.tensors}
        _check_shapes(weights, config)
    except (ValueError, KeyError) as error:
        raise ExportFileError(f"{path}: {error}") from None
    return GgufModel(config, unflatten(param_shapes(config), weights))


def _gguf() -> Any:
    try:
        import gguf
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "GGUF files need gguf: install it, or wfm_jax with its extra 'export'"
        ) from None
    return gguf


def _check_shapes(weights: Mapping[str, Any], config: ModelConfig) -> None:
    """ValueError naming a tensor that is missing, extra or of another shape."""
    wanted = {path: leaf.shape for path, leaf in flatten(param_shapes(config)).items()}
    for path in sorted(set(wanted) | set(weights)):
        given = np.shape(weights[path]) if path in weights else "missing"
        if given != wanted.get(path, "none"):
            raise ValueError(f"{path}: {given}, in the architecture {wanted.get(path, 'none')}")


def _value_types(gguf: Any, value: Any) -> tuple[Any, ...]:
    """The type of a key's value, and that of a list's entries."""
    if isinstance(value, list):
        return gguf.GGUFValueType.ARRAY, *_value_types(gguf, value[0])
    types = {bool: "BOOL", int: "INT64", float: "FLOAT64", str: "STRING"}
    return (getattr(gguf.GGUFValueType, types[type(value)]),)


def _value(gguf: Any, field: Any) -> Any:
    """What a key holds, lists as lists."""
    parts = [field.parts[i] for i in field.data]
    if field.types[-1] == gguf.GGUFValueType.STRING:
        values = [bytes(part).decode() for part in parts]
    else:
        values = [part.tolist()[0] for part in parts]
    return values if field.types[0] == gguf.GGUFValueType.ARRAY else values[0]
