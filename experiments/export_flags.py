"""Flags of which configuration becomes which files."""

import pathlib
from collections.abc import Sequence

from absl import flags

from wfm_jax.export.forms import FILES
from wfm_jax.results import choose
from wfm_jax.results.naming import Row

_ROW = flags.DEFINE_string("row", None, "The configuration whose config_id starts so (hex digits).")
_UNDER_BYTES = flags.DEFINE_float(
    "under_bytes", None, "The best one whose packed file has at most so many.", lower_bound=1.0
)
_WITHIN = flags.DEFINE_float(
    "within",
    None,
    "The smallest one that keeps 1 - this of the teacher on every task: retention by its lower "
    "95 % bound, SNR loss and channel NMSE by 20 dB times this; 0.01 is 99 %.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_FORMS = flags.DEFINE_list("forms", list(FILES), f"Files to write, of {', '.join(FILES)}.")
_OUT = flags.DEFINE_string("out", None, "Folder of the files; default WORKDIR/export/CONFIG_ID.")


def chosen(rows: Sequence[Row]) -> Row:
    """The configuration asked for.

    Raises:
        flags.ValidationError: not exactly one way of choosing, or none that is so.
    """
    ways = [flag for flag in (_ROW, _UNDER_BYTES, _WITHIN) if flag.value is not None]
    if len(ways) != 1:
        raise flags.ValidationError("give one of --row, --under_bytes and --within")
    try:
        if _ROW.value is not None:
            return choose.by_id(rows, _ROW.value)
        if _UNDER_BYTES.value is not None:
            return choose.best_under(rows, _UNDER_BYTES.value)
        return choose.smallest_within(rows, _WITHIN.value or 0.0)
    except ValueError as error:
        raise flags.ValidationError(f"--{ways[0].name}: {error}") from None


def forms() -> list[str]:
    """The forms asked for, each once."""
    asked = list(dict.fromkeys(_FORMS.value or ()))
    if not asked or (unknown := [form for form in asked if form not in FILES]):
        wrong = unknown[0] if asked else ""
        raise flags.ValidationError(f"--forms: {wrong!r} is none of {', '.join(FILES)}")
    return asked


def folder(default: pathlib.Path) -> pathlib.Path:
    """Where files go."""
    return default if _OUT.value is None else pathlib.Path(_OUT.value)
