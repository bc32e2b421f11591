"""Rows as columns for the page: how each is called and shown, and its values in little space."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from wfm_jax.results.naming import Row
from wfm_jax.results.rows import COLUMNS

_DIGITS, _CI_DIGITS = 5, 3  # that are kept of a number and of an interval


class Look(NamedTuple):
    """How a number is shown: its heading, its unit, what it is multiplied by, and decimals."""

    heading: str
    unit: str = ""
    factor: float = 1.0
    decimals: int | None = None


_LOOKS = {
    "size_bytes": Look("size", "kB", 1e-3, 1),
    "compression_ratio": Look("smaller", "×", 1.0, 2),  # noqa: RUF001
    "retention": Look("retention", "%", 100.0, 1),
    "amc_accuracy": Look("AMC", "%", 100.0, 1),
    "gmi_fraction": Look("GMI", "", 1.0, 3),
    "snr_loss_db": Look("SNR loss", "dB", 1.0, 2),
    "channel_nmse_db": Look("NMSE", "dB", 1.0, 1),
    "k_mae_db": Look("K error", "dB", 1.0, 2),
    "snr_mae_db": Look("SNR error", "dB", 1.0, 2),
    "los_accuracy": Look("LOS", "%", 100.0, 1),
    **{f"ber_{2**m}": Look(f"BER {2**m}-QAM", "", 1.0, 5) for m in (2, 4, 6, 8)},
    "teacher_agreement": Look("agreement", "%", 100.0, 1),
    "sparsity": Look("sparsity", "%", 100.0, 4),
    "sparsity_achieved": Look("achieved", "%", 100.0, 2),
    "weight_bits": Look("bits"),
    "act_bits": Look("activation bits"),
    "wall_s": Look("wall time", "s", 1.0, 1),
}
_VIEWS = {
    "scores": ("rank", "name", "size_bytes", "compression_ratio", "retention",
               "amc_accuracy", "gmi_fraction", "snr_loss_db", "channel_nmse_db", "k_mae_db",
               "snr_mae_db", "los_accuracy", "status"),
    "settings": ("name", "pipeline", "weight_bits", "act_bits", "sparsity", "structure", "student",
                 "init", "quant_format", "scale", "rounding", "group_size", "distribution",
                 "temperature", "alpha", "learning_rate", "steps", "recovery_steps", "seed"),
    "costs": ("name", "size_bytes", "compression_ratio", "sparsity_achieved", "mean_bits",
              "params_total", "params_nonzero", "flops", "bit_ops", "wall_s"),
}  # fmt: skip
_MEANINGS = {column.name: column.meaning for column in COLUMNS} | {
    "run": "the run folder",
    "name": "pipeline, operating point, and what is not as usual",
    "rank": "1: nothing is as small and as good; 2: the same without those; and so on",
}


def views(names: Sequence[str]) -> dict[str, list[str]]:
    """Which columns the views of the table show, of those that there are."""
    several = ["run"] if "run" in names else []
    chosen = {view: [n for n in own if n in names] for view, own in _VIEWS.items()}
    return {view: [*several, *own] for view, own in chosen.items()} | {"everything": list(names)}


def packed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Columns of rows, for :mod:`embed`; those that no row has are left out.

    Args:
        rows: dicts of texts, numbers and None.

    Returns:
        One dict a column: name, heading, unit, factor, decimals, meaning, whether it is a number,
        and its values: ``{"all": v}``, ``{"words": [...], "codes": [...]}`` or ``{"each": [...]}``.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        if any(value is not None for value in values):
            columns.append(_column(name, values))
    return columns


def _column(name: str, values: list) -> dict[str, Any]:
    is_number = all(value is None or isinstance(value, int | float) for value in values)
    look = _LOOKS.get(name, Look(name.replace("_", " ")))
    digits = _CI_DIGITS if name.endswith("_ci95") else _DIGITS
    base = _LOOKS.get(name.removesuffix("_ci95"))
    if base and name.endswith("_ci95"):
        look = base._replace(heading=f"{base.heading} ±", decimals=(base.decimals or 0) + 1)
    kept = [rounded(v, digits) for v in values] if is_number else values
    return {
        "name": name,
        **look._asdict(),
        "meaning": _MEANINGS.get(name, ""),
        "number": is_number,
        "values": _values(kept, is_number),
    }


def _values(values: list, is_number: bool) -> dict[str, list]:
    if all(value == values[0] for value in values):
        return {"all": values[0]}
    if is_number:
        return {"each": values}
    words = {None if v is None else str(v): 0 for v in values}
    codes = {word: i for i, word in enumerate(words)}
    return {"words": list(words), "codes": [codes[None if v is None else str(v)] for v in values]}


def rounded(value: Any, digits: int = _DIGITS) -> Any:
    """A number with so many digits; whole ones as they are, None for what is not finite."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    if not math.isfinite(short):  # rounded up from the largest number that there is
        return value
    return int(short) if short.is_integer() and abs(short) < 2**53 else short
