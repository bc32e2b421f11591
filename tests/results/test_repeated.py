"""Rows run again beside the rows that were stored."""

import io

import pytest
from rich.console import Console

from wfm_jax.results import repeated

ROW = {
    "config_id": "a1", "kind": "configuration", "status": "ok", "pipeline": "P-Q-KD", "seed": 0,
    "weight_bits": 4.0, "sparsity": 0.75, "size_bytes": 1000,
    "retention": 0.9, "retention_ci95": 0.02, "snr_loss_db": None, "snr_loss_db_ci95": None,
    "channel_nmse_db": -25.0, "channel_nmse_db_ci95": 0.1,
}  # fmt: skip


def of(scores, column):
    return next(score for score in scores if score.column == column)


def test_the_same_row_is_within_everywhere():
    scores = repeated.compare(ROW, ROW)
    assert [score.column for score in scores] == ["retention", "channel_nmse_db", "size_bytes"]
    assert all(score.within for score in scores)


@pytest.mark.parametrize(
    ("column", "value", "within"),
    [
        ("retention", 0.919, True),
        ("retention", 0.879, False),
        ("channel_nmse_db", -24.89, False),
        ("channel_nmse_db", None, False),
        ("size_bytes", 1009, True),
        ("size_bytes", 1011, False),
    ],
)
def test_within_the_half_width_and_no_further(column, value, within):
    scores = repeated.compare(ROW, ROW | {column: value})
    assert of(scores, column).within is within
    assert sum(not score.within for score in scores) == (not within)


def test_the_worst_is_told_in_half_widths():
    again = ROW | {"retention": 0.91, "channel_nmse_db": -25.09}
    assert repeated.worst(repeated.compare(ROW, again)).column == "channel_nmse_db"
    exact = ROW | {"retention_ci95": 0.0}
    moved = repeated.compare(exact, exact | {"retention": 0.9001, "channel_nmse_db": -30.0})
    assert repeated.worst(moved).column == "retention"


def test_rows_are_drawn_without_replacement_from_those_that_finished():
    rows = [ROW | {"config_id": f"c{i}"} for i in range(6)]
    rows += [ROW | {"config_id": "x", "status": "diverged"}, ROW | {"kind": "reference"}]
    drawn = [repeated.choose(rows, 4, seed) for seed in range(50)]
    assert all(len({row["config_id"] for row in of}) == 4 for of in drawn)
    assert {row["config_id"] for of in drawn for row in of} == {f"c{i}" for i in range(6)}
    assert repeated.choose(rows, 4, 7) == repeated.choose(rows, 4, 7)
    assert len(repeated.choose(rows, 99, 0)) == 6


def test_the_table_fits():
    console = Console(file=io.StringIO(), width=100)
    row = ROW | {"pipeline": "P-KD-P-KD-P-Q-KD", "student": "smaller:grid+csi"}
    repeated.print_repeated([row], [repeated.compare(row, row | {"retention": 0.5})], console)
    text = console.file.getvalue()
    assert "retention" in text
    assert max(map(len, text.splitlines())) <= 100
