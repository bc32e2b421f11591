"""StableHLO: a receiver as one program that needs no code of the model to run.

The program is what `jax.export` makes of the receiver, for any batch size and for CPUs, GPUs and
TPUs at once, weights included. Quantized activations are calls in the model, so they are in the
program too. :mod:`stablehlo_loader` runs the file.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from jax import export

import wfm_jax
from wfm_jax.export import container, stablehlo_loader
from wfm_jax.export.grids import Grid
from wfm_jax.export.ports import BATCH, Port
from wfm_jax.export.program_weights import as_constants
from wfm_jax.export.receiver import Receiver
from wfm_jax.model import ModelConfig, Quantized, to_dict
from wfm_jax.results import atomic

PLATFORMS = ("cpu", "cuda", "tpu")
_LINES = "jax_traceback_in_locations_limit"


def export_receiver(
    receiver: Receiver,
    params: Any,
    *,
    grids: Mapping[str, Grid] | None = None,
    platforms: Sequence[str] = PLATFORMS,
) -> export.Exported:
    """The receiver with its weights as a program ``call(arrays) -> answers`` of dicts by name.

    Args:
        receiver: from :func:`wfm_jax.export.receiver.make_receiver`.
        params: what its forward pass sees: effective weights, or :class:`wfm_jax.model.Quantized`
            where the receiver's ``apply`` is of quantized activations.
        grids: of the weights, by path name: those of integers are stored as such, see
            :func:`wfm_jax.export.program_weights.as_constants`.
        platforms: those that the program can be compiled for.

    Raises:
        ValueError: grids that the weights are not on.
    """
    quantized = isinstance(params, Quantized)
    weights = as_constants(params.params if quantized else params, grids)

    def call(arrays: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        now = params._replace(params=weights()) if quantized else weights()
        return receiver.receive(now, arrays)

    (batch,) = export.symbolic_shape(BATCH)
    specs = {port.name: _spec(port, batch) for port in receiver.inputs}
    with _without_source_lines():
        return export.export(jax.jit(call), platforms=platforms)(specs)


def save_stablehlo(
    path: str | os.PathLike,
    config: ModelConfig,
    receiver: Receiver,
    params: Any,
    *,
    grids: Mapping[str, Grid] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> int:
    """Writes a receiver's program and what is known of it in one step.

    Args:
        path: the file.
        config: the model, for the file's metadata.
        receiver, params, grids: as of :func:`export_receiver`.
        notes: JSON values to keep beside it: how the model came about.

    Returns:
        The file's size in bytes.

    Raises:
        ValueError: grids that the weights are not on.
        ModuleNotFoundError: without flatbuffers, which JAX needs to serialize programs.
    """
    stablehlo_loader.require_flatbuffers()
    program = export_receiver(receiver, params, grids=grids)
    header = {
        "inputs": [port._asdict() for port in receiver.inputs],
        "outputs": [port._asdict() for port in receiver.outputs],
        "platforms": list(program.platforms),
        "calling_convention_version": program.calling_convention_version,
        "versions": {"jax": jax.__version__, "wfm_jax": wfm_jax.__version__},
        "model": to_dict(config),
        "notes": dict(notes or {}),
    }
    data = container.join(stablehlo_loader.FORMAT, header, bytes(program.serialize()))
    atomic.write_bytes(path, data)
    return len(data)


@contextlib.contextmanager
def _without_source_lines() -> Iterator[None]:
    """Programs made inside do not name the lines of code behind them, nor the folders they lie in:
    they are smaller, and the same on every machine."""
    limit = getattr(jax.config, _LINES)
    jax.config.update(_LINES, 0)
    try:
        yield
    finally:
        jax.config.update(_LINES, limit)


def _spec(port: Port, batch: Any) -> jax.ShapeDtypeStruct:
    shape = tuple(batch if size == BATCH else size for size in port.shape)
    return jax.ShapeDtypeStruct(shape, port.dtype)
