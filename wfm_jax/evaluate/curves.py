"""Scores over SNR, K bin and constellation, as the rows of ``curves.parquet``.

A row is one number: a metric of a configuration at one SNR, over one constellation and one K bin,
or over all of them where ``bits_per_symbol`` or ``k_bin`` is null. Bit error rates are never
averaged over constellations.
"""

import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.scores import Scored
from wfm_jax.results import atomic

COLUMNS = {
    "config_id": "string",
    "kind": "string",
    "pipeline": "string",
    "snr_db": "float64",
    "bits_per_symbol": "int64",
    "k_bin": "string",
    "metric": "string",
    "value": "float64",
}


def curve_rows(scored: Scored, *, config_id: str, kind: str, pipeline: str) -> list[dict[str, Any]]:
    """The rows of one receiver; metrics ``ber``, ``gmi_fraction``, ``nmse`` (a ratio, not in dB)
    and ``amc_accuracy``.

    Args:
        scored: the receiver on the test frames.
        config_id, kind, pipeline: what every row says of it, as the row of ``results.jsonl`` does.
    """
    test_set = scored.test_set
    rows = []
    for (m, in_modulation), (k_bin, in_bin) in itertools.product(
        _modulations(test_set), _k_bins(test_set)
    ):
        sums = {
            name: values[:, in_modulation & in_bin].sum(axis=1, dtype=np.float64)
            for name, values in scored.scores._asdict().items()
        }
        n_frames = np.count_nonzero(in_modulation & in_bin)
        metrics = {
            "gmi_fraction": sums["gmi_fraction"] / n_frames,
            "nmse": sums["channel_error"] / sums["channel_power"],
            "amc_accuracy": sums["amc_correct"] / n_frames,
        }
        if m is not None:
            metrics["ber"] = sums["bit_errors"] / sums["n_bits"]
        labels = {"config_id": config_id, "kind": kind, "pipeline": pipeline}
        labels |= {"bits_per_symbol": m, "k_bin": k_bin}
        for metric, values in metrics.items():
            for snr_db, value in zip(scored.snrs_db, values.tolist(), strict=True):
                rows.append(labels | {"snr_db": snr_db, "metric": metric, "value": value})
    return rows


def _modulations(test_set: TestSet) -> Iterator[tuple[int | None, np.ndarray]]:
    yield None, np.ones(test_set.n_frames, bool)
    for index, m in enumerate(test_set.link.bits_per_symbol):
        yield m, test_set.modulation == index


def _k_bins(test_set: TestSet) -> Iterator[tuple[str | None, np.ndarray]]:
    yield None, np.ones(test_set.n_frames, bool)
    for index, name in enumerate(test_set.k_bins):
        yield name, test_set.k_bin == index


def write_curves(path: str | os.PathLike, rows: list[dict[str, Any]]) -> None:
    """Adds rows to the Parquet file, in place of those with the same ``config_id``; in one step, so
    that readers see the old file or the new one."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, getattr(pyarrow, t)()) for name, t in COLUMNS.items()])
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    if pathlib.Path(path).exists():
        old = pyarrow.parquet.read_table(path, schema=schema)
        renewed = {row["config_id"] for row in rows}
        stays = [config_id not in renewed for config_id in old["config_id"].to_pylist()]
        table = pyarrow.concat_tables([old.filter(pyarrow.array(stays, pyarrow.bool_())), table])
    with atomic.replacing(path) as beside:
        pyarrow.parquet.write_table(table, beside)
