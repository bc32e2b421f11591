"""The forms of a model that a receiver could run, ready to be called."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax import compress
from wfm_jax.evaluate.latency import Call
from wfm_jax.export.compressed import CompressedModel, nested
from wfm_jax.export.from_model import pack_model
from wfm_jax.export.grids import Uniform
from wfm_jax.export.onnx_model import feed, save_onnx
from wfm_jax.export.onnx_session import load_onnx
from wfm_jax.export.packed import save_packed
from wfm_jax.model import Batch, ModelConfig, bit_llrs, build
from wfm_jax.model.couplings import couplings, shrink_model
from wfm_jax.sweep.ranges import make_calibrator

INT8 = 8


class Artefact(NamedTuple):
    """A form of the model.

    Attributes:
        name: for people.
        size_bytes: of its file; None for what is no file.
        path: of the file; None where no other process can run it.
        at: ``at(batch)`` is a call for those frames.
        memory_bytes: ``memory_bytes(batch)``, what a compiled program needs; None: measured.
    """

    name: str
    size_bytes: int | None
    path: pathlib.Path | None
    at: Callable[[Batch], Call]
    memory_bytes: Callable[[Batch], int] | None = None


def of_onnx(name: str, model: CompressedModel, path: pathlib.Path, n_threads: int) -> Artefact:
    """An ONNX file, written to ``path``."""
    size = save_onnx(path, model)
    receiver = load_onnx(path, n_threads=n_threads)

    def at(batch: Batch) -> Call:
        fed = feed(batch.inputs)
        return lambda: receiver.run(fed)

    return Artefact(name, size, path, at)


def of_jax(name: str, model: CompressedModel, path: pathlib.Path) -> Artefact:
    """The compiled forward pass in float32, and its packed file."""
    config, apply = model.config, build(model.config, jax.random.key(0))[0]
    params = jax.device_put(nested(model.params))
    size = save_packed(path, pack_model(model.params))

    def receive(params: Any, batch: Batch) -> Any:
        outputs = apply(params, batch.inputs)
        return outputs, bit_llrs(config.link, batch.inputs, outputs, batch.frame.modulation)

    program = jax.jit(receive)
    return Artefact(
        name,
        size,
        None,
        lambda batch: lambda: jax.block_until_ready(program(params, batch)),
        lambda batch: program_bytes(program.lower(params, batch).compile()),
    )


def program_bytes(compiled: Any) -> int:
    """Memory of a compiled program: arguments, results, and what it needs on the way."""
    found = compiled.memory_analysis()
    return int(found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes)


def forms(
    config: ModelConfig, params: Any, folder: pathlib.Path, *, shrink: float, n_threads: int
) -> list[Artefact]:
    """Float32 and int8, whole and with units cut out.

    Args:
        config: the model.
        params: float32, a nested dict.
        folder: of the files.
        shrink: share of each layer's heads and neurons that go.
        n_threads: of ONNX Runtime.
    """
    whole = CompressedModel(config, _flat(params))
    small = CompressedModel(*_shrunk(config, params, shrink))
    less = f"{shrink:.0%} cut out"
    return [
        of_jax("JAX float32", whole, folder / "float32.wfm"),
        of_onnx("ONNX float32", whole, folder / "float32.onnx", n_threads),
        of_onnx("ONNX int8", in_int8(whole), folder / "int8.onnx", n_threads),
        of_onnx(f"ONNX float32, {less}", small, folder / "shrunk_float32.onnx", n_threads),
        of_onnx(f"ONNX int8, {less}", in_int8(small), folder / "shrunk_int8.onnx", n_threads),
    ]


def in_int8(model: CompressedModel) -> CompressedModel:
    """Every kernel on a grid of 8 bits, one scale a channel, and calibrated activations: rounding
    after training, without any that follows."""
    params, grids = dict(model.params), {}
    for path, weights in params.items():
        if weights.ndim == 2:
            grid = Uniform(INT8, compress.absmax_scale(jnp.asarray(weights), INT8))
            grids[path] = grid = grid.checked(weights.shape)
            params[path] = grid.weights(grid.codes(weights))
    apply = build(model.config, jax.random.key(0))[0]
    ranges = make_calibrator(model.config, apply)(nested(params), INT8)
    return model._replace(params=params, grids=grids, ranges=jax.device_get(ranges), act_bits=INT8)


def _shrunk(
    config: ModelConfig, params: Any, share: float
) -> tuple[ModelConfig, Mapping[str, np.ndarray]]:
    method = compress.prune_units(share, couplings(config), distribution="uniform")
    _, state = method.update(params, method.init(params, key=jax.random.key(1)))
    units = {name: np.asarray(mask) for name, mask in state.units.items()}
    small, left = shrink_model(config, params, units)
    return small, _flat(left)


def _flat(params: Any) -> dict[str, np.ndarray]:
    return {path: np.asarray(leaf) for path, leaf in compress.flatten(params).items()}
