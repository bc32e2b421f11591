"""Which run a folder holds: its flags, and the rules for going on in it.

The same flags resume, a growable axis may grow, anything else stops with one line that names the
flags. Nothing is ever deleted: ``overwrite`` moves the old run aside.
"""

import dataclasses
import datetime
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from wfm_jax.results import atomic
from wfm_jax.results.identity import canonical_json, digest, plain
from wfm_jax.results.lock import FolderLock, FolderLockedError, holder_of

MANIFEST = "manifest.json"
_ABSENT = "absent"


class RunFolderError(ValueError):
    """The run folder cannot be used as asked; the message is one line for the user."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What decides a run, and where it ran.

    Attributes:
      flags: every flag by name, JSON values.
      versions: library versions by name; recorded, not compared.
      devices: the devices, in words; recorded, not compared.
      ignored: flags that do not change the results (where the run lies, how it is shown).
    """

    IGNORED: ClassVar[tuple[str, ...]] = ("workdir", "overwrite")

    flags: Mapping[str, Any]
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    devices: Sequence[str] = ()
    ignored: Sequence[str] = IGNORED

    @property
    def hash(self) -> str:
        """sha256 over the flags that matter."""
        return digest({name: self.flags[name] for name in self.flags if name not in self.ignored})

    def to_json(self) -> str:
        """The text of ``manifest.json``."""
        return json.dumps(plain(dataclasses.asdict(self)) | {"hash": self.hash}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Raises ValueError if ``text`` is not a manifest or its hash does not fit its flags."""
        fields = json.loads(text)
        if not isinstance(fields, dict) or "hash" not in fields:
            raise ValueError("no hash")
        stored = fields.pop("hash")
        try:
            manifest = cls(**fields)
            computed = manifest.hash
        except (AttributeError, TypeError) as error:
            raise ValueError(str(error)) from None
        if computed != stored:
            raise ValueError("its hash does not fit its flags")
        return manifest


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run folder that this process holds until ``close`` (or the end of a ``with`` block).

    Attributes:
      path: the folder.
      manifest: as now on disk.
      status: ``new``, ``resumed``, or ``grown`` (resumed, with more values on some axis).
      moved_aside: where ``overwrite`` put the run that was here, or None.
    """

    path: pathlib.Path
    manifest: Manifest
    status: Literal["new", "resumed", "grown"]
    lock: FolderLock
    moved_aside: pathlib.Path | None = None

    def close(self) -> None:
        """Lets other processes in. Harmless when repeated."""
        self.lock.release()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_run(
    workdir: str | os.PathLike,
    manifest: Manifest,
    *,
    growable: Sequence[str] = ("pipelines",),
    overwrite: bool = False,
) -> RunFolder:
    """Creates the run in ``workdir``, or goes on in the one that is there.

    Args:
      workdir: the run's folder; created with its parents.
      manifest: what is asked for now.
      growable: flags holding lists that may gain values between runs; they may not lose any.
      overwrite: move a run that is there to ``<workdir>.old-<UTC time>`` and start anew.

    Raises:
      RunFolderError: other flags than the run has, a folder that is no run, a damaged manifest, a
        folder that cannot be written, or one that another process holds.
    """
    path = pathlib.Path(os.path.abspath(workdir))
    try:
        return _open(path, manifest, tuple(growable), overwrite)
    except FolderLockedError as error:
        raise RunFolderError(str(error)) from None
    except OSError as error:
        raise RunFolderError(f"{path} cannot be used: {error.strerror or error}") from None


class Outlook(NamedTuple):
    """What :func:`open_run` would do, had it been called.

    Attributes:
      status: ``new``, ``resumed``, ``grown``, ``replaced`` (the run there would be moved aside), or
        ``refused``.
      words: the folder, or why it would be refused.
    """

    status: Literal["new", "resumed", "grown", "replaced", "refused"]
    words: str

    @property
    def goes_on(self) -> bool:
        """Whether what the folder holds would be kept."""
        return self.status in ("resumed", "grown")


def foresee(
    workdir: str | os.PathLike,
    manifest: Manifest,
    *,
    growable: Sequence[str] = ("pipelines",),
    overwrite: bool = False,
) -> Outlook:
    """What :func:`open_run` would do; writes nothing, holds nothing, and raises nothing.

    Args:
        workdir, manifest, growable, overwrite: as there.
    """
    path = pathlib.Path(os.path.abspath(workdir))
    try:
        _check_place(path)
        above = next(folder for folder in (path, *path.parents) if folder.exists())
        if not os.access(above, os.W_OK):
            raise RunFolderError(f"{path} cannot be used: {above} cannot be written")
        if (holder := holder_of(path)).holds:
            raise RunFolderError(f"{path} is in use by {holder.words}")
        if overwrite and (path / MANIFEST).exists():
            return Outlook("replaced", f"the run in {path} would be moved aside")
        return Outlook(_compare(path, manifest, tuple(growable)), str(path))
    except RunFolderError as error:
        return Outlook("refused", str(error))
    except OSError as error:
        return Outlook("refused", f"{path} cannot be used: {error.strerror or error}")


def _open(path: pathlib.Path, manifest: Manifest, growable: tuple, overwrite: bool) -> RunFolder:
    _check_place(path)
    path.mkdir(parents=True, exist_ok=True)
    lock, aside = FolderLock.acquire(path), None
    try:
        if overwrite and (path / MANIFEST).exists():
            aside = _name_aside(path)
            os.rename(path, aside)
            lock.release()
            path.mkdir()
            lock = FolderLock.acquire(path)
        status = _settle(path, manifest, growable)
    except BaseException:
        lock.release()
        raise
    return RunFolder(path, manifest, status, lock, aside)


def _check_place(path: pathlib.Path) -> None:
    """Raises RunFolderError for what is no folder, or one of something else."""
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path} is a file: a run needs a folder")
    names = os.listdir(path) if path.exists() else []
    foreign = [name for name in names if not _left_by_a_killed_start(name)]
    if foreign and MANIFEST not in foreign:
        raise RunFolderError(f"{path} is not empty and holds no {MANIFEST}: not a run of ours")


def _left_by_a_killed_start(name: str) -> bool:
    return name == FolderLock.NAME or name.startswith(f".{MANIFEST}.")


def _settle(
    path: pathlib.Path, manifest: Manifest, growable: tuple
) -> Literal["new", "resumed", "grown"]:
    status = _compare(path, manifest, growable)
    if status != "resumed":
        atomic.write_bytes(path / MANIFEST, manifest.to_json().encode())
    return status


def _compare(
    path: pathlib.Path, manifest: Manifest, growable: tuple
) -> Literal["new", "resumed", "grown"]:
    """Raises RunFolderError where the folder holds another run, or a damaged manifest."""
    file = path / MANIFEST
    if not file.exists():
        return "new"
    try:
        old = Manifest.from_json(file.read_text())
    except ValueError as error:
        hint = "--overwrite moves the run aside"
        raise RunFolderError(f"{file} is damaged ({error}); {hint}") from None
    changed = _differences(old, manifest)
    refused = [name for name in changed if not (name in growable and _grows(*changed[name]))]
    if refused:
        listed = "; ".join(
            f"--{name}: {changed[name][0]} -> {changed[name][1]}" for name in refused
        )
        raise RunFolderError(
            f"{path} holds a run with other flags ({listed}); --overwrite moves it aside"
        )
    return "grown" if changed else "resumed"


def _differences(old: Manifest, new: Manifest) -> dict[str, tuple[str, str]]:
    """Flags that matter and differ, each with both values as canonical JSON."""
    names = sorted(set(old.flags) | set(new.flags))

    def text(manifest: Manifest, name: str) -> str:
        return canonical_json(manifest.flags[name]) if name in manifest.flags else _ABSENT

    pairs = {name: (text(old, name), text(new, name)) for name in names if name not in new.ignored}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _grows(old: str, new: str) -> bool:
    if _ABSENT in (old, new):
        return False
    before, after = json.loads(old), json.loads(new)
    if not (isinstance(before, list) and isinstance(after, list)):
        return False
    return {canonical_json(item) for item in before} <= {canonical_json(item) for item in after}


def _name_aside(path: pathlib.Path) -> pathlib.Path:
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    return atomic.unused_name(path.with_name(f"{path.name}.old-{stamp}"))
