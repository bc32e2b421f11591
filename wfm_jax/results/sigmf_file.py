"""SigMF recordings: samples of a radio with metadata in JSON, read and written (sigmf.org).

A recording is a pair ``NAME.sigmf-meta`` and ``NAME.sigmf-data``, or both in a tar file
``NAME.sigmf``, which is read in place. What its metadata may be is the business of the ``sigmf``
package (``pip install 'wfm_jax[iq]'``), which brings the format's schema and is imported here only.
"""

import hashlib
import json
import os
import pathlib
import tarfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.results import atomic

VERSION = "1.0.0"
"""Of the specification: what is written has been in it since then."""

META, DATA, ARCHIVE = ".sigmf-meta", ".sigmf-data", ".sigmf"
DATATYPES = {
    "cf32_le": "<f4",
    "cf32_be": ">f4",
    "ci16_le": "<i2",
    "ci16_be": ">i2",
    "ci8": "i1",
    "cu8": "u1",
}
"""What is read and written: complex samples, real part first. Integers are scaled by half of their
range, so that full scale is 1; cu8's zero is 128."""

Fields = dict[str, Any]

_NOT_PLAIN = (
    "core:dataset", "core:trailing_bytes", "core:header_bytes", "core:metadata_only",
)  # fmt: skip


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
    path = pathlib.Path(path)
    if path.suffix not in (META, ARCHIVE):
        raise ValueError(f"{path}: a file that ends in {META} or {ARCHIVE} is needed")
    text, data = _of_archive(path) if path.suffix == ARCHIVE else _of_pair(path)
    meta = _checked(text, path)
    fields = meta["global"]
    datatype, rate_hz = fields["core:datatype"], float(fields["core:sample_rate"])
    each = sample_bytes(datatype)
    if not data.n_bytes or data.n_bytes % each:
        raise ValueError(
            f"{data.path}: {data.n_bytes} bytes are no whole number of {datatype} samples of "
            f"{each} bytes"
        )
    if (asked := fields.get("core:sha512")) and asked.lower() != _sha512(data):
        raise ValueError(f"{path}: core:sha512 is not that of the data: another file, or damaged")
    first = fields.get("core:offset", 0)
    annotations = [
        annotation | {"core:sample_start": annotation["core:sample_start"] - first}
        for annotation in meta["annotations"]
    ]

    def read(start: int, count: int) -> np.ndarray:
        with open(data.path, "rb") as file:
            file.seek(data.offset + start * each)
            samples = from_bytes(file.read(count * each), datatype)
        finite = np.isfinite(samples)
        if not finite.all():
            raise ValueError(f"{data.path}: sample {start + int(np.argmin(finite))} is not finite")
        return samples

    n_samples = data.n_bytes // each
    return Recording(path, datatype, rate_hz, n_samples, fields, annotations, read)


def sample_bytes(datatype: str) -> int:
    """Bytes of a complex sample of one of :data:`DATATYPES`."""
    return 2 * np.dtype(DATATYPES[datatype]).itemsize


def write_recording(
    path: str | os.PathLike,
    samples: np.ndarray,
    sample_rate_hz: float,
    *,
    datatype: str = "cf32_le",
    fields: Mapping[str, Any] | None = None,
    annotations: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Writes data, then metadata, each in one step, with the data's checksum.

    Args:
        path: ends in ``.sigmf-meta``; the data goes beside it.
        samples: complex64[n] in units of full scale; integers are clipped to it, and rounded.
        sample_rate_hz: finite and positive.
        datatype: of :data:`DATATYPES`.
        fields: more global metadata.
        annotations: with ``core:sample_start``, in its order.

    Raises:
        ValueError: another suffix or datatype, samples that are not one complex axis, or metadata
            that SigMF does not allow; names what is wrong.
    """
    path = pathlib.Path(path)
    if path.suffix != META:
        raise ValueError(f"{path}: a recording's name ends in {META}")
    if datatype not in DATATYPES:
        raise ValueError(f"datatype must be one of {', '.join(DATATYPES)}, got {datatype!r}")
    if samples.ndim != 1 or not np.iscomplexobj(samples):
        raise ValueError(f"samples must be complex [n], got {samples.dtype}{list(samples.shape)}")
    data = to_bytes(samples, datatype)
    known = {
        "core:version": VERSION,
        "core:datatype": datatype,
        "core:sample_rate": sample_rate_hz,
        "core:sha512": hashlib.sha512(data).hexdigest(),
    }
    meta = {
        "global": dict(fields or {}) | known,
        "captures": [{"core:sample_start": 0}],
        "annotations": [dict(annotation) for annotation in annotations],
    }
    _validate(meta, path)
    atomic.write_bytes(path.with_suffix(DATA), data)
    atomic.write_bytes(path, (json.dumps(meta, indent=1, allow_nan=False) + "\n").encode())


def to_bytes(samples: np.ndarray, datatype: str) -> bytes:
    """Samples as a data file holds them; arguments of :func:`write_recording`."""
    parts = np.ascontiguousarray(samples, np.complex64).view(np.float32)
    dtype = np.dtype(DATATYPES[datatype])
    if dtype.kind == "f":
        return parts.astype(dtype).tobytes()
    half = 2.0 ** (8 * dtype.itemsize - 1)
    levels = np.clip(np.round(parts.astype(np.float64) * half), -half, half - 1.0)
    return (levels + (half if dtype.kind == "u" else 0.0)).astype(dtype).tobytes()


def from_bytes(data: bytes, datatype: str) -> np.ndarray:
    """Samples complex64[n] in units of full scale, as :func:`to_bytes` wrote them."""
    dtype = np.dtype(DATATYPES[datatype])
    parts = np.frombuffer(data, dtype).astype(np.float32)
    if dtype.kind != "f":
        half = np.float32(2.0 ** (8 * dtype.itemsize - 1))
        parts = (parts - (half if dtype.kind == "u" else 0.0)) / half
    return parts.astype(np.float32).view(np.complex64)


class _Data(NamedTuple):
    """Where the samples lie: ``n_bytes`` from ``offset`` of a file."""

    path: pathlib.Path
    offset: int
    n_bytes: int


def _of_pair(path: pathlib.Path) -> tuple[bytes, _Data]:
    """Metadata and data of two files."""
    text, data = path.read_bytes(), path.with_suffix(DATA)
    if not data.is_file():
        raise ValueError(f"{data} is missing: the samples that {path.name} describes")
    return text, _Data(data, 0, data.stat().st_size)


def _of_archive(path: pathlib.Path) -> tuple[bytes, _Data]:
    """Metadata and data of an archive of one recording."""
    try:
        with tarfile.open(path, "r:") as archive:
            members = [member for member in archive if member.isfile()]
            found = [[m for m in members if m.name.endswith(end)] for end in (META, DATA)]
            if any(len(of) != 1 for of in found):
                raise ValueError(f"{path}: one recording is needed, a {META} and a {DATA} file")
            (meta,), (data,) = found
            file = archive.extractfile(meta)
            assert file is not None  # as it is a file
            return file.read(), _Data(path, data.offset_data, data.size)
    except tarfile.TarError as error:
        raise ValueError(f"{path}: not a SigMF archive ({error})") from None


def _sha512(data: _Data) -> str:
    digest, left = hashlib.sha512(), data.n_bytes
    with open(data.path, "rb") as file:
        file.seek(data.offset)
        while left and (block := file.read(min(left, 2**22))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def _checked(text: bytes, path: pathlib.Path) -> Fields:
    """Metadata that SigMF allows and that can be read here; ValueError names file and field."""
    try:
        meta = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: its metadata is not JSON ({error})") from None
    fields = meta.get("global") if isinstance(meta, dict) else None
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: global is missing: not SigMF metadata")
    for field in ("core:datatype", "core:sample_rate"):
        if field not in fields:
            raise ValueError(f"{path}: {field} is missing")
    _validate(meta, path)
    if (datatype := fields["core:datatype"]) not in DATATYPES:
        known = ", ".join(DATATYPES)
        raise ValueError(f"{path}: core:datatype must be one of {known}, got {datatype!r}")
    if (channels := fields.get("core:num_channels", 1)) != 1:
        raise ValueError(f"{path}: core:num_channels must be 1, got {channels}")
    for where in (fields, *meta["captures"]):
        if set_there := [field for field in _NOT_PLAIN if where.get(field)]:
            raise ValueError(f"{path}: {set_there[0]} is set: only plain data in {DATA} is read")
    for extension in fields.get("core:extensions", []):
        if not extension["optional"] and extension["name"] != "wfm":
            raise ValueError(
                f"{path}: core:extensions: {extension['name']!r} must be understood, and is not"
            )
    return meta


def _validate(meta: Fields, path: pathlib.Path) -> None:
    """Raises ValueError, one line, where SigMF's schema is not kept."""
    try:
        import jsonschema
        from sigmf.validate import validate
    except ModuleNotFoundError:
        raise ValueError("recordings need the sigmf package: pip install 'wfm_jax[iq]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # namespaces nobody declared
            validate(meta)
    except jsonschema.ValidationError as error:
        field = ".".join(str(part) for part in error.absolute_path) or "metadata"
        raise ValueError(f"{path}: {field}: {' '.join(error.message.split())[:200]}") from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")
