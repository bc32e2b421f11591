"""Which configuration is taken."""

import math

import pytest

from wfm_jax.results import choose

TEACHER = {
    "kind": "reference",
    "pipeline": "teacher",
    "channel_nmse_db": -20.0,
    "ber_4": 0.0,
    "ber_16": 0.01,
    "ber_16_ci95": 0.5,
    "ber_64": 0.02,
}


def row(identity, size, retention, **more):
    return {
        "config_id": identity,
        "kind": "configuration",
        "status": "ok",
        "size_bytes": size,
        "retention": retention,
        "retention_ci95": 0.002,
        "snr_loss_db": 0.1,
        "channel_nmse_db": -19.9,
        "ber_4": 0.0,
        "ber_16": 0.0105,
        "ber_64": 0.024,
        **more,
    }


ROWS = [
    TEACHER,
    row("aa1", 90_000, 0.995),
    row("aa2", 50_000, 0.993),
    row("bb1", 40_000, 0.991),
    row("bb2", 30_000, 0.90),
    row("cc1", 1_000, 1.0, status="diverged"),
    row("cc2", 2_000, 1.0, status="dropped"),
]


def test_by_the_start_of_an_id():
    assert choose.by_id(ROWS, "bb2")["size_bytes"] == 30_000
    with pytest.raises(ValueError, match=r"2 configurations start with 'aa': aa1, aa2"):
        choose.by_id(ROWS, "aa")
    with pytest.raises(ValueError, match="no configuration's config_id starts with 'zz'"):
        choose.by_id(ROWS, "zz")


def test_the_best_that_fits():
    assert choose.best_under(ROWS, 60_000)["config_id"] == "aa2"
    assert choose.best_under(ROWS, 40_000)["config_id"] == "bb1"
    with pytest.raises(ValueError, match="at most 2,500 bytes; the smallest 30,000"):
        choose.best_under(ROWS, 2_500)


def test_what_does_not_lower_the_score_is_the_smaller_file():
    rows = [TEACHER, row("a", 90, 0.9), row("b", 80, 0.9)]
    assert choose.best_under(rows, 100)["config_id"] == "b"


def test_the_smallest_that_keeps_enough():
    """.991 less its interval of .002 is below .99, and counts no more."""
    assert choose.smallest_within(ROWS, 0.01)["config_id"] == "aa2"
    assert choose.smallest_within(ROWS, 0.02)["config_id"] == "bb1"
    with pytest.raises(ValueError, match=r"keeps 99\.9% .* the best keeps 99\.5%"):
        choose.smallest_within(ROWS, 0.001)


@pytest.mark.parametrize(
    "lost", [{"snr_loss_db": 0.21}, {"channel_nmse_db": -19.7}, {"snr_loss_db": math.nan}]
)
def test_what_is_measured_in_db_counts_too(lost):
    assert choose.keeps(row("a", 1, 1.0), TEACHER, 0.01)
    assert not choose.keeps(row("a", 1, 1.0, **lost), TEACHER, 0.01)


def test_bit_errors_of_the_worst_constellation():
    assert choose.ber_loss(ROWS[1], TEACHER) == pytest.approx(0.2)
    assert choose.ber_loss(row("a", 1, 1.0, ber_4=1e-6), TEACHER) == math.inf
