"""SigMF recordings: samples of a radio with metadata in JSON, read and written.

The format (sigmf.org, specification 1.x) and the checksum are the business of the ``sigmf`` package
(``pip install 'wfm_jax[iq]'``), which is imported here only. A recording is a pair
``NAME.sigmf-meta`` and ``NAME.sigmf-data``, or both in a tar file ``NAME.sigmf``, which is read in
place.
"""

import hashlib
import json
import math
import os
import pathlib
import tarfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.results import atomic

META, DATA, ARCHIVE = ".sigmf-meta", ".sigmf-data", ".sigmf"
DATATYPES = {
    "cf32_le": "<f4", "cf32_be": ">f4", "ci16_le": "<i2", "ci16_be": ">i2", "ci8": "i1", "cu8": "u1",
}  # fmt: skip
"""What is read and written: complex samples, real part first. Integers are scaled by half of their
range, so that full scale is 1; cu8's zero is 128."""

Fields = dict[str, Any]


class Recording(NamedTuple):
    """A recording that is there and makes sense; its samples are read when asked for.

    Attributes:
        path: as given.
        datatype: of :data:`DATATYPES`.
        sample_rate_hz: finite and positive.
        n_samples: at least 1.
        fields: the global metadata.
        annotations: in order of ``core:sample_start``, which counts from the first sample of the
            data here, whatever the recording's ``core:offset``.
        read: ``read(start, count)`` gives complex64[count], in units of full scale; raises
            ValueError where one is not finite.
    """

    path: pathlib.Path
    datatype: str
    sample_rate_hz: float
    n_samples: int
    fields: Fields
    annotations: list[Fields]
    read: Callable[[int, int], np.ndarray]


def open_recording(path: str | os.PathLike) -> Recording:
    """Opens a recording and checks it: the metadata against SigMF's schema, the data against its
    length and, where there is one, its checksum.

    Args:
        path: of a ``.sigmf-meta`` file with its data beside it, or of a ``.sigmf`` archive.

    Raises:
        ValueError: one line that names the file and the field.
        OSError: a file that cannot be read.
    """
    sigmf, path = _sigmf(), pathlib.Path(path)
    if path.suffix not in (META, ARCHIVE):
        raise ValueError(f"{path}: a file that ends in {META} or {ARCHIVE} is needed")
    fields, annotations = _checked(sigmf, path)
    datatype, rate = fields["core:datatype"], float(fields["core:sample_rate"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            handle = sigmf.sigmffile.fromfile(path)
    except OSError as error:
        name = error.filename or path.with_suffix(DATA)
        raise OSError(f"{name}: {error.strerror or error}") from None
    except Exception as error:  # of several libraries, none of which says which file
        message = " ".join(str(error).split())
        if "hash" in message:
            message = "core:sha512 is not that of the data: the file is damaged, or another one's"
        raise ValueError(f"{path}: {message}") from None
    n_samples = int(handle.sample_count)
    if n_samples < 1:
        raise ValueError(f"{path}: its data holds no sample")

    def read(start: int, count: int) -> np.ndarray:
        samples = np.asarray(handle.read_samples(start, count), np.complex64).reshape(-1)
        finite = np.isfinite(samples)
        if not finite.all():
            at = start + int(np.argmin(finite))
            raise ValueError(f"{path}: sample {at} of its data is not finite")
        return samples

    return Recording(path, datatype, rate, n_samples, fields, annotations, read)


def write_recording(
    path: str | os.PathLike,
    samples: np.ndarray,
    sample_rate_hz: float,
    *,
    datatype: str = "cf32_le",
    fields: Mapping[str, Any] | None = None,
    capture: Mapping[str, Any] | None = None,
    annotations: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Writes data, then metadata, each in one step, with the data's checksum.

    Args:
        path: ends in ``.sigmf-meta``; the data goes beside it.
        samples: complex64[n] in units of full scale; integers are clipped to it, and rounded.
        sample_rate_hz: finite and positive.
        datatype: of :data:`DATATYPES`.
        fields: more global metadata.
        capture: metadata of the one capture.
        annotations: with ``core:sample_start``, in its order.

    Raises:
        ValueError: another suffix or datatype, samples that are not one complex axis, or metadata
            that SigMF does not allow; names what is wrong.
    """
    sigmf, path = _sigmf(), pathlib.Path(path)
    if path.suffix != META:
        raise ValueError(f"{path}: a recording's name ends in {META}")
    if datatype not in DATATYPES:
        raise ValueError(f"datatype must be one of {', '.join(DATATYPES)}, got {datatype!r}")
    if samples.ndim != 1 or not np.iscomplexobj(samples):
        raise ValueError(f"samples must be complex [n], got {samples.dtype}{list(samples.shape)}")
    data = to_bytes(samples, datatype)
    known = {
        "core:datatype": datatype,
        "core:sample_rate": sample_rate_hz,
        "core:sha512": hashlib.sha512(data).hexdigest(),
    }
    meta = {
        "global": dict(fields or {}) | known,
        "captures": [{"core:sample_start": 0, **(capture or {})}],
        "annotations": [dict(annotation) for annotation in annotations],
    }
    handle = sigmf.SigMFFile(metadata=meta)
    _validate(sigmf, handle._metadata, path)
    atomic.write_bytes(path.with_suffix(DATA), data)
    atomic.write_bytes(path, (handle.dumps(pretty=True) + "\n").encode())


def to_bytes(samples: np.ndarray, datatype: str) -> bytes:
    """Samples as a data file holds them; arguments of :func:`write_recording`."""
    parts = np.stack([samples.real, samples.imag], axis=-1)
    dtype = np.dtype(DATATYPES[datatype])
    if dtype.kind == "f":
        return parts.astype(dtype).tobytes()
    half = 2.0 ** (8 * dtype.itemsize - 1)
    levels = np.clip(np.round(parts.astype(np.float64) * half), -half, half - 1.0)
    return (levels + (half if dtype.kind == "u" else 0.0)).astype(dtype).tobytes()


def _checked(sigmf: Any, path: pathlib.Path) -> tuple[Fields, list[Fields]]:
    """Global fields and annotations of metadata that can be read."""

    def refuse(field: str, words: str) -> None:
        raise ValueError(f"{path}: {field} {words}")

    try:
        meta = json.loads(_meta_bytes(path), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: its metadata is not JSON ({error})") from None
    fields = meta.get("global") if isinstance(meta, dict) else None
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: global is missing: not SigMF metadata")
    for field in ("core:datatype", "core:sample_rate"):
        if field not in fields:
            refuse(field, "is missing")
    _validate(sigmf, meta, path)
    if (datatype := fields["core:datatype"]) not in DATATYPES:
        refuse("core:datatype", f"must be one of {', '.join(DATATYPES)}, got {datatype!r}")
    if not math.isfinite(fields["core:sample_rate"]):
        refuse("core:sample_rate", f"must be finite, got {fields['core:sample_rate']}")
    if (channels := fields.get("core:num_channels", 1)) != 1:
        refuse("core:num_channels", f"must be 1, got {channels}")
    captures = meta["captures"]
    for field in ("core:dataset", "core:trailing_bytes", "core:metadata_only"):
        if fields.get(field):
            refuse(field, f"is set: only plain data in {DATA} is read")
    if any(capture.get("core:header_bytes") for capture in captures):
        refuse("core:header_bytes", f"is set: only plain data in {DATA} is read")
    for extension in fields.get("core:extensions", []):
        if not extension["optional"] and extension["name"] != "wfm":
            refuse("core:extensions", f"asks for {extension['name']!r}, which is not known here")
    if path.suffix == META:
        _check_length(path, datatype)
    offset = fields.get("core:offset", 0)
    shifted = [
        annotation | {"core:sample_start": annotation["core:sample_start"] - offset}
        for annotation in meta["annotations"]
    ]
    return fields, shifted


def _meta_bytes(path: pathlib.Path) -> bytes:
    if path.suffix == META:
        return path.read_bytes()
    try:
        with tarfile.open(path, "r:") as archive:
            members = [member for member in archive if member.name.endswith(META)]
            if len(members) != 1 or not (file := archive.extractfile(members[0])):
                raise ValueError(f"{path} must hold one {META} file, not {len(members)}")
            return file.read()
    except tarfile.TarError as error:
        raise ValueError(f"no archive: {error}") from None


def _check_length(path: pathlib.Path, datatype: str) -> None:
    """Raises unless the data beside the metadata holds whole samples."""
    data, size = path.with_suffix(DATA), 2 * np.dtype(DATATYPES[datatype]).itemsize
    if not data.is_file():
        raise ValueError(f"{data} is missing: the samples that {path.name} describes")
    n_bytes = data.stat().st_size
    if not n_bytes or n_bytes % size:
        raise ValueError(
            f"{data}: {n_bytes} bytes are no whole number of {datatype} samples of {size} bytes"
        )


def _validate(sigmf: Any, meta: Mapping[str, Any], path: pathlib.Path) -> None:
    """Raises ValueError, one line, where SigMF's schema is not kept."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # namespaces nobody declared
            sigmf.validate.validate(meta)
    except Exception as error:  # jsonschema's, whose text shows the whole schema
        where = ".".join(str(part) for part in getattr(error, "absolute_path", ()))
        message = " ".join(str(getattr(error, "message", error)).split())
        raise ValueError(f"{path}: {where or 'metadata'}: {message[:200]}") from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _sigmf() -> Any:
    try:
        import sigmf
        import sigmf.sigmffile
        import sigmf.validate
    except ModuleNotFoundError:
        raise ValueError("recordings need the package sigmf: pip install 'wfm_jax[iq]'") from None
    return sigmf
