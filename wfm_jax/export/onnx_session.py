"""Running an ONNX file of :mod:`wfm_jax.export.onnx_model` with ONNX Runtime, read strictly.

Two of ONNX Runtime's session options decide whether it computes what the file says; they are set
here, and another program has to set them itself:

* ``session.x64quantprecision`` 1: integer products of 8 by 8 bits overflow 16-bit sums on x86
  processors without VNNI. With kernels or activations of 7 bits and less nothing can.
* ``session.qdq_matmulnbits_accuracy_level`` 1: a product of stored integers with activations in
  floating point is computed in float32; otherwise activations are rounded to 8 bits on the way.
"""

import json
import os
from typing import Any

import numpy as np
import onnx
import onnxruntime

from wfm_jax.export.onnx_model import CHECKSUM, CONFIG, checksum, feed
from wfm_jax.model import Inputs, ModelConfig, from_dict

EXACT = {"session.x64quantprecision": "1", "session.qdq_matmulnbits_accuracy_level": "1"}
PROVIDERS = ("CPUExecutionProvider",)


class OnnxFileError(ValueError):
    """A file is not one of ours, or not as it was written; names the file and the field."""


class OnnxReceiver:
    """A model from a file, ready to run.

    Attributes:
        config: the architecture.
        outputs: names, in the order of the file.

    Args:
        data: the file's bytes, as `read` returns them.
        n_threads: that share an operator; one as on a small receiver.
        providers: of ONNX Runtime.
        optimized_path: where to leave the graph as ONNX Runtime rewrote it.
    """

    def __init__(
        self,
        data: bytes,
        *,
        n_threads: int = 1,
        providers: tuple[str, ...] = PROVIDERS,
        optimized_path: str | os.PathLike | None = None,
    ):
        self._session = session(
            data, n_threads=n_threads, providers=providers, optimized_path=optimized_path
        )
        properties = self._session.get_modelmeta().custom_metadata_map
        self.config: ModelConfig = from_dict(json.loads(properties[CONFIG]))
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def __call__(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """Outputs by name, for a batch of any size."""
        return self.run(feed(inputs))

    def run(self, fed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As a call, of what :func:`wfm_jax.export.onnx_model.feed` made of the inputs."""
        return dict(zip(self.outputs, self._session.run(None, fed), strict=True))


def session(
    data: bytes,
    *,
    n_threads: int = 1,
    providers: tuple[str, ...] = PROVIDERS,
    optimized_path: str | os.PathLike | None = None,
) -> Any:
    """ONNX Runtime's session of a graph, with exact integer products.

    Arguments as of `OnnxReceiver`.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = n_threads
    options.log_severity_level = 3
    for entry, value in EXACT.items():
        options.add_session_config_entry(entry, value)
    if optimized_path is not None:
        options.optimized_model_filepath = os.fspath(optimized_path)
    return onnxruntime.InferenceSession(data, options, providers=list(providers))


def read(path: str | os.PathLike) -> bytes:
    """The bytes of a file that is whole and ours.

    Raises:
        OnnxFileError: it is cut short, altered, or not made by this library.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf's own, of whichever implementation
        raise OnnxFileError(f"{path}: not an ONNX file: {error}") from None
    properties = {entry.key: entry.value for entry in model.metadata_props}
    if missing := sorted({CONFIG, CHECKSUM} - set(properties)):
        raise OnnxFileError(f"{path}: {missing[0]}: missing, this library did not write the file")
    if checksum(model) != properties[CHECKSUM]:
        raise OnnxFileError(f"{path}: {CHECKSUM}: the graph is not as it was written")
    try:
        from_dict(json.loads(properties[CONFIG]))
    except ValueError as error:
        raise OnnxFileError(f"{path}: {CONFIG}: {error}") from None
    return data


def load_onnx(path: str | os.PathLike, *, n_threads: int = 1) -> OnnxReceiver:
    """The receiver in a file; raises as `read`."""
    return OnnxReceiver(read(path), n_threads=n_threads)
