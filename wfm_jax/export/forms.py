"""A compressed model in every form of file, and what each answers.

==============  =====================================  ===========================================
form            file                                   holds
==============  =====================================  ===========================================
packed          model.wfm                              integers at their entropy; loads back here
onnx            model.onnx                             integers; int8 products where activations
                                                       are quantized
onnx_float32    model_float32.onnx                     the same weights in float32
onnx_tensorrt   model_tensorrt.onnx                    integers as TensorRT wants them: activations
                                                       on symmetric grids, which are others
stablehlo       model.stablehlo                        a program for CPU, CUDA and TPU, from the
                                                       received frame on
gguf_q8_0       model_q8_0.gguf                        kernels quantized anew to Q8_0: storage
gguf_q4_0       model_q4_0.gguf                        likewise to Q4_0
==============  =====================================  ===========================================
"""

import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.export import gguf_file, stablehlo, stablehlo_loader
from wfm_jax.export.compressed import CompressedModel, nested
from wfm_jax.export.load_model import load_model
from wfm_jax.export.onnx_graph import TENSORRT
from wfm_jax.export.onnx_model import save_onnx
from wfm_jax.export.onnx_session import load_onnx
from wfm_jax.export.receiver import Receiver, make_receiver
from wfm_jax.model import Forward, Quantized, activation_points, build, prepare, with_activations
from wfm_jax.results import atomic
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.signal.link import Frame

FILES = {
    "packed": "model.wfm",
    "onnx": "model.onnx",
    "onnx_float32": "model_float32.onnx",
    "onnx_tensorrt": "model_tensorrt.onnx",
    "stablehlo": "model.stablehlo",
    "gguf_q8_0": "model_q8_0.gguf",
    "gguf_q4_0": "model_q4_0.gguf",
}


class Written(NamedTuple):
    """A file that was written."""

    form: str
    path: pathlib.Path
    size_bytes: int


class Agreement(NamedTuple):
    """How a file's answers differ from those of the compressed model, on the same frames.

    Attributes:
        bits: share of hard decisions on data bits that are others.
        classes: share of frames whose constellation is another.
        channel_db: power of the channels' difference over the channel's, in dB; -inf for none.
    """

    bits: float
    classes: float
    channel_db: float


def write(
    packed: str | os.PathLike,
    forms: Sequence[str],
    folder: str | os.PathLike,
    *,
    name: str,
    progress: Progress | None = None,
) -> list[Written]:
    """Writes the forms, all of them or none.

    Args:
        packed: the packed file of the model.
        forms: of :data:`FILES`.
        folder: where to; files of the same names are replaced.
        name: of the model, for files that have one.
        progress: advanced by one a form.

    Raises:
        ValueError: a form that cannot hold the model, naming the form and the tensor; or a packed
            file that is damaged.
    """
    model, folder = load_model(packed), pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as beside:
        made = {form: pathlib.Path(beside) / FILES[form] for form in forms}
        for form, path in made.items():
            try:
                _write_one(form, model, path, pathlib.Path(packed), name)
            except ValueError as error:
                raise ValueError(f"{form}: {error}") from None
            (progress or Silent()).advance(1, f"wrote {path.name}")
        for path in made.values():
            os.replace(path, folder / path.name)
    paths = {form: folder / FILES[form] for form in forms}
    return [Written(form, path, path.stat().st_size) for form, path in paths.items()]


def _write_one(
    form: str, model: CompressedModel, path: pathlib.Path, packed: pathlib.Path, name: str
) -> None:
    match form:
        case "packed":
            atomic.write_bytes(path, packed.read_bytes())
        case "onnx":
            save_onnx(path, model)
        case "onnx_float32":
            save_onnx(path, model.in_float32())
        case "onnx_tensorrt":
            save_onnx(path, model, TENSORRT)
        case "stablehlo":
            receiver, params = as_receiver(model)
            stablehlo.save_stablehlo(path, model.config, receiver, params, grids=model.grids)
        case _:
            kind: Any = form.removeprefix("gguf_").upper()
            params = nested(model.params)
            gguf_file.save_gguf(path, model.config, params, quantization=kind, name=name)


def as_receiver(model: CompressedModel) -> tuple[Receiver, Any]:
    """The model as a receiver of named arrays, and the parameters it takes."""
    apply: Any = build(model.config, jax.random.key(0))[0]
    params: Any = nested(model.params)
    if model.ranges is not None:
        params = Quantized(params, model.ranges, jnp.float32(model.act_bits))
        apply = with_activations(apply, activation_points(model.config))
    return make_receiver(model.config, apply), params


def agreement(written: Written, model: CompressedModel, frame: Frame) -> Agreement:
    """Runs a file on blind frames, beside the compressed model itself.

    Args:
        written: the file.
        model: what it was made of.
        frame: received frames, with labels.
    """
    arrays = {name: np.asarray(getattr(frame, name)) for name in model.config.views}
    blind = np.full(frame.modulation.shape, model.config.n_modulations, np.int32)
    arrays["modulation"] = blind
    expected = _run(model, arrays)
    if written.form.startswith("onnx"):
        inputs, received = jax.jit(lambda f, m: prepare(model.config, f, m))(frame, blind)
        found: Any = load_onnx(written.path)(inputs)
        channel = found["channel"][..., 0] + 1j * found["channel"][..., 1]
        ramp, gain = np.asarray(received.ramp), np.asarray(received.gain)
        found["channel"] = channel * (np.conj(ramp) / gain[:, None])[:, None]
    elif written.form == "stablehlo":
        found = stablehlo_loader.load(written.path)(**arrays)
    elif written.form == "packed":
        found = _run(load_model(written.path), arrays)
    else:
        of_file = gguf_file.load_gguf(written.path)
        apply: Forward = build(of_file.config, jax.random.key(0))[0]
        receiver = make_receiver(of_file.config, apply)
        found = jax.jit(receiver.receive)(of_file.params, arrays)
    return _agreement(expected, found)


def _run(model: CompressedModel, arrays: dict[str, Any]) -> dict[str, jax.Array]:
    receiver, params = as_receiver(model)
    return jax.jit(receiver.receive)(params, arrays)


def _agreement(expected: Any, found: Any) -> Agreement:
    ours, theirs = (np.asarray(said["llr"]) for said in (expected, found))
    used = (ours != 0.0) | (theirs != 0.0)
    bits = np.mean((ours > 0.0) != (theirs > 0.0), where=used)
    classes = [np.argmax(said["modulation_logits"], axis=-1) for said in (expected, found)]
    apart, channel = np.asarray(found["channel"]) - expected["channel"], expected["channel"]
    ratio = float(np.sum(np.abs(apart) ** 2) / np.sum(np.abs(channel) ** 2))
    return Agreement(
        float(bits),
        float(np.mean(classes[0] != classes[1])),
        10.0 * float(np.log10(ratio)) if ratio else float("-inf"),
    )
