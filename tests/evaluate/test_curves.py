"""Curves: what the metrics say, broken down, in a file that grows by configurations."""

import numpy as np
import pandas as pd
import pytest

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.curves import COLUMNS, curve_rows, write_curves


@pytest.fixture
def table(synthetic):
    rows = curve_rows(synthetic(), config_id="a", kind="configuration", pipeline="P-Q")
    return pd.DataFrame(rows)


def pick(table, metric, snr_db, m=None, k_bin=None):
    chosen = table[(table.metric == metric) & (table.snr_db == snr_db)]
    of_m = chosen.bits_per_symbol.isna() if m is None else chosen.bits_per_symbol == m
    of_bin = chosen.k_bin.isna() if k_bin is None else chosen.k_bin == k_bin
    (value,) = chosen[of_m & of_bin].value
    return value


def test_values_are_those_of_the_metrics(table, synthetic):
    scored, ones = synthetic(), np.ones((1, 160))
    for index, m in enumerate((2, 4, 6, 8)):
        rate = metrics.bit_error_rate(scored, ones, index)[0]
        np.testing.assert_allclose(pick(table, "ber", 20.0, m), rate, rtol=1e-6)
    nmse = 10.0 * np.log10(pick(table, "nmse", 20.0))
    np.testing.assert_allclose(nmse, metrics.channel_nmse_db(scored, ones)[0], rtol=1e-6)
    gmi = pick(table, "gmi_fraction", 20.0)
    np.testing.assert_allclose(gmi, metrics.gmi_fraction(scored, ones)[0], rtol=1e-6)
    amc = np.mean([pick(table, "amc_accuracy", snr) for snr in (10.0, 15.0, 20.0)])
    np.testing.assert_allclose(amc, metrics.amc_accuracy(scored, ones)[0], rtol=1e-6)
    in_bin = scored.at(15.0).amc_correct[32:40].mean()
    assert pick(table, "amc_accuracy", 15.0, 2, "rayleigh") == in_bin


def test_bit_error_rates_are_never_averaged_over_constellations(table):
    assert not table[table.metric == "ber"].bits_per_symbol.isna().any()
    assert set(table.metric) == {"ber", "gmi_fraction", "nmse", "amc_accuracy"}


def test_the_file_grows_by_configurations_and_renews_them(tmp_path, synthetic):
    path = tmp_path / "curves.parquet"

    def rows_of(config_id, skill):
        labels = {"config_id": config_id, "kind": "configuration", "pipeline": "P"}
        return curve_rows(synthetic(skill), **labels)

    write_curves(path, rows_of("a", 0.0))
    write_curves(path, rows_of("b", 1.0))
    write_curves(path, rows_of("a", 2.0))
    table = pd.read_parquet(path)
    assert list(table) == list(COLUMNS)
    assert len(table) == 2 * len(rows_of("a", 2.0))
    renewed = table[table.config_id == "a"].value.to_numpy()
    np.testing.assert_array_equal(renewed, [row["value"] for row in rows_of("a", 2.0)])
    assert [p.name for p in tmp_path.iterdir()] == ["curves.parquet"]
    write_curves(path, [])
    assert len(pd.read_parquet(path)) == len(table)
