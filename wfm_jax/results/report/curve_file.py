"""Bit error rates over SNR, read from a run's ``curves.parquet``."""

import os
import pathlib
from typing import NamedTuple

_COLUMNS = ("config_id", "snr_db", "bits_per_symbol", "k_bin", "metric", "value")


class Curves(NamedTuple):
    """Bit error rates of a run.

    Attributes:
        snrs_db: float64[n_snr], rising.
        bits_per_symbol: int64[n_constellations], rising.
        ber: by ``config_id`` and constellation, float64[n_snr]; None where nothing was measured.
    """

    snrs_db: list[float]
    bits_per_symbol: list[int]
    ber: dict[str, list[list[float | None]]]


def read_curves(path: str | os.PathLike) -> tuple[Curves | None, list[str]]:
    """The curves of all frames together, and in words why there are none.

    Args:
        path: of a file with the columns of ``evaluate.curves``; no file is no curves.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return None, []
    try:
        import pyarrow.parquet

        is_rate = [("metric", "==", "ber")]
        table = pyarrow.parquet.read_table(path, columns=list(_COLUMNS), filters=is_rate)
        curves = _of_rows(table.to_pydict())
    except ImportError:
        return None, [f"{path.name} is read with pyarrow, which is not installed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, [f"{path.name} cannot be read ({' '.join(str(error).split())[:200]})"]
    return curves, []


def _of_rows(columns: dict[str, list]) -> Curves | None:
    of_all = [
        row
        for row in zip(*(columns[name] for name in _COLUMNS), strict=True)
        if row[2] is not None and row[3] is None
    ]
    if not of_all:
        return None
    snrs_db = sorted({float(row[1]) for row in of_all})
    constellations = sorted({int(row[2]) for row in of_all})
    place = {snr_db: i for i, snr_db in enumerate(snrs_db)}
    which = {bits: i for i, bits in enumerate(constellations)}
    ber: dict[str, list[list[float | None]]] = {}
    for identity, snr_db, bits, _, _, value in of_all:
        own = ber.setdefault(str(identity), [[None] * len(place) for _ in which])
        own[which[bits]][place[snr_db]] = value
    return Curves(snrs_db, constellations, ber)
