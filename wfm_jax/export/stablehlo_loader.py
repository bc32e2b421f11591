"""Runs a receiver from its StableHLO file: with JAX and NumPy, without any code of the model.

The file says what goes in and what comes out, in which units:

    receiver = load("receiver.stablehlo")
    print(*receiver.inputs, *receiver.outputs, sep="\\n")
    answers = receiver(grid=grid, csi=csi, spectrogram=spectrogram, iq=iq, modulation=modulation)
"""

import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax import export
from jax.typing import ArrayLike

from wfm_jax.export import container
from wfm_jax.export.container import ExportFileError
from wfm_jax.export.ports import Port, check_arrays

FORMAT = container.Format(b"WFMH", 1, "a StableHLO receiver")


class Loaded(NamedTuple):
    """A receiver of a file.

    Attributes:
        inputs: the arrays it reads, with shapes, dtypes and units.
        outputs: the arrays it answers with.
        metadata: what the file says besides: ``model`` (the architecture and its link),
            ``platforms``, ``versions`` that wrote it, ``calling_convention_version``, ``notes``.
        program: ``program(arrays) -> answers``, compiled anew for each batch size; checks nothing.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: dict[str, Any]
    program: Callable[[dict[str, Any]], dict[str, jax.Array]]

    def __call__(self, **arrays: ArrayLike) -> dict[str, jax.Array]:
        """The answers of a batch of received frames, by name.

        Args:
            arrays: NumPy or JAX arrays by the names of ``inputs``.

        Raises:
            ValueError: one line, for arrays that are not as ``inputs`` says.
        """
        check_arrays(self.inputs, arrays)
        answers = self.program(arrays)
        return {port.name: answers[port.name] for port in self.outputs}


def load(path: str | os.PathLike) -> Loaded:
    """Reads a file that :func:`wfm_jax.export.stablehlo.save_stablehlo` wrote.

    Raises:
        ExportFileError: a file that is damaged, foreign, or of a later version of this library or
            of JAX; names file and field.
        ModuleNotFoundError: without flatbuffers, which JAX needs to read programs.
        OSError: a file that cannot be read.
    """
    require_flatbuffers()
    with open(path, "rb") as file:
        header, program = container.split(FORMAT, file.read(), os.fspath(path))
    try:
        inputs, outputs = (_ports(header.pop(name)) for name in ("inputs", "outputs"))
        version, written = header["calling_convention_version"], header["versions"]["jax"]
    except (TypeError, KeyError, ValueError) as error:
        raise ExportFileError(f"{path}: header: {error!r}") from None
    oldest = export.minimum_supported_calling_convention_version
    newest = export.maximum_supported_calling_convention_version
    if not oldest <= version <= newest:
        raise ExportFileError(
            f"{path}: calling_convention_version: {version}, of JAX {written}; "
            f"JAX {jax.__version__} runs {oldest} to {newest}"
        )
    try:
        exported = export.deserialize(bytearray(program))
        call = jax.jit(exported.call)
        call.lower(_one_frame(exported))
    except Exception as error:  # JAX has no error of its own for programs it cannot read
        line = str(error).split("\n", 1)[0]
        raise ExportFileError(
            f"{path}: program: of JAX {written}, JAX {jax.__version__} cannot read it: {line}"
        ) from None
    _check_program(exported, inputs, outputs, os.fspath(path))
    return Loaded(inputs, outputs, header, call)


def require_flatbuffers() -> None:
    """Raises ModuleNotFoundError, which says what to install, without flatbuffers."""
    if importlib.util.find_spec("flatbuffers") is None:
        raise ModuleNotFoundError(
            "StableHLO files need flatbuffers: install it, or wfm_jax with its extra 'export'"
        )


def _ports(fields: Sequence[dict[str, Any]]) -> tuple[Port, ...]:
    return tuple(Port(**{**port, "shape": tuple(port["shape"])}) for port in fields)


def _one_frame(exported: export.Exported) -> dict[str, jax.ShapeDtypeStruct]:
    """What the program takes, for a batch of one."""
    one = [jax.ShapeDtypeStruct((1, *aval.shape[1:]), aval.dtype) for aval in exported.in_avals]
    (arrays,), _ = jax.tree.unflatten(exported.in_tree, one)
    return arrays


def _check_program(
    exported: export.Exported, inputs: Sequence[Port], outputs: Sequence[Port], source: str
) -> None:
    """ExportFileError unless the program takes and gives what the header says."""
    (arrays,), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    answers = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    for field, ports, avals in (("inputs", inputs, arrays), ("outputs", outputs, answers)):
        said = {port.name: (tuple(map(str, port.shape)), port.dtype) for port in ports}
        true = {name: (tuple(map(str, a.shape)), str(a.dtype)) for name, a in avals.items()}
        if said != true:
            differ = sorted(set(said.items()) ^ set(true.items()))[0][0]
            raise ExportFileError(f"{source}: {field}: {differ} is not as in the program")
