"""The table fits, says what is missing, and ranks as brute force does."""

import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wfm_jax.results.tables import pareto_ranks, print_table

points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20)


@given(points)
def test_ranks_are_repeated_fronts(sizes_and_qualities):
    left, expected, rank = dict(enumerate(sizes_and_qualities)), {}, 0
    while left:
        rank += 1
        front = [
            i
            for i, (s, q) in left.items()
            if not any(t <= s and r >= q and (t, r) != (s, q) for t, r in left.values())
        ]
        expected |= dict.fromkeys(front, rank)
        for i in front:
            del left[i]
    sizes, qualities = np.array(sizes_and_qualities, float).reshape(-1, 2).T
    assert pareto_ranks(sizes, qualities).tolist() == [expected[i] for i in sorted(expected)]


def test_ties_share_a_rank_and_nan_comes_last():
    ranks = pareto_ranks([1, 1, 2, 2, 1, np.nan], [0.9, 0.9, 0.8, 0.95, np.nan, 1.0])
    assert ranks.tolist() == [1, 1, 2, 1, 3, 3]


def render(rows, **settings):
    console = Console(file=io.StringIO(), width=100, **settings)
    print_table(rows, console)
    return console.file.getvalue().splitlines()


def longest(lines):
    return max(len(line) for line in lines)


def test_one_line_a_row_within_100_columns(study):
    lines = render(study)
    assert longest(lines) <= 100
    assert len(lines) == len(study) + 4
    names = [line.split()[0] for line in lines[3:8]]
    assert names == ["teacher", "null", "ls", "lmmse", "genie"]
    ranks = [line.split()[-1] for line in lines[9:]]
    assert ranks[-1] == "div."
    assert [int(rank) for rank in ranks[:-1]] == sorted(int(rank) for rank in ranks[:-1])
    colored = "\n".join(render(study, force_terminal=True))
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored).splitlines() == lines


def test_wide_values_do_not_wrap(study):
    wide = {
        "pipeline": "KD-P-Q-KD-FT-P-Q",
        "student": "smaller-by-half",
        "weight_bits": 4.25,
        "sparsity": 0.975,
        "size_bytes": 123_456_789,
        "compression_ratio": 123.4,
        "recovery_steps": 100,
        "snr_loss_db": 29.99,
        "channel_nmse_db": -32.1,
        "k_mae_db": 12.34,
        "snr_mae_db": 12.34,
        "los_accuracy": 1.0,
        "amc_accuracy": 1.0,
        "retention": -12.3,
        "seed": 12,
    }
    lines = render([row if row["kind"] == "reference" else {**row, **wide} for row in study])
    assert longest(lines) <= 100
    assert len(lines) == len(study) + 5  # with the line that explains the marks
    assert any("…" in line for line in lines)


def test_missing_values_are_dashes():
    *_, line = render([{"kind": "configuration", "pipeline": "P"}])
    assert line.split() == ["P", *["–"] * 11, "1"]  # noqa: RUF001


def test_seeds_are_told_apart_only_where_there_are_several(study):
    assert not any(" s0" in line for line in render(study))
    doubled = [*study, *({**row, "seed": 1} for row in study if row["kind"] == "configuration")]
    assert any(" s1" in line for line in render(doubled))


def test_plain_output_is_100_wide(study, capsys):
    print_table(study)
    printed = capsys.readouterr().out
    assert longest(printed.splitlines()) <= 100
    assert "\x1b" not in printed
    assert "Q-P-KD" in printed


def test_the_bit_error_rate_stands_in_for_the_snr_loss(study):
    lines = render([{**row, "snr_loss_db": None} for row in study])
    assert "16-QAM" in lines[1]
    assert longest(lines) <= 100


@pytest.mark.parametrize("rows", [[], [{"kind": "reference", "pipeline": "teacher"}]])
def test_nothing_to_rank(rows):
    assert longest(render(rows)) <= 100


def test_ways_that_differ_are_a_column_and_those_shared_a_line():
    kinds = {"kind": "configuration", "pipeline": "P", "structure": "heads", "sparsity": 0.5}
    lines = render([kinds | {"score": score} for score in ("wanda", "magnitude")])
    assert lines[-1] == "Everywhere: heads"
    assert "how" in lines[1].split()
    assert sorted("wanda" in line for line in lines[3:]) == [False, False, True]
    assert all("heads" not in line for line in lines[:-1])


def test_of_thousands_the_first_are_shown(capsys):
    from rich.console import Console

    ok = {"kind": "configuration", "pipeline": "P-Q-KD", "status": "ok", "size_bytes": 1000}
    rows = [ok | {"retention": 1.0 - i / 5000, "seed": 0} for i in range(2000)]
    print_table(rows, Console(width=100))
    lines = capsys.readouterr().out.splitlines()
    assert "The first 120 of 2,000; all of them are in results.parquet." in lines
    assert len(lines) < 130


def test_who_dropped_out_is_counted_and_not_listed(capsys):
    from rich.console import Console

    ok = {"kind": "configuration", "pipeline": "P-Q-KD", "status": "ok", "size_bytes": 1000}
    rows = [
        ok | {"retention": 0.9, "learning_rate": 1e-3, "temperature": 2.0, "alpha": 0.9},
        ok | {"retention": 0.8, "learning_rate": 3e-3, "temperature": 4.0, "alpha": 0.5},
        ok | {"status": "dropped", "pipeline": "Q-P-KD"},
    ]
    print_table(rows, Console(width=100))
    shown = capsys.readouterr().out
    assert "Q-P-KD" not in shown
    assert "Dropped by successive halving: 1." in shown
    assert "T4" in shown
