"""Successive halving: who competes, where, how many go on, and what it costs."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfm_jax.sweep import halving, plan
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.halving import Halving

RULE = Halving(factor=3, rungs=2)


def test_rungs_are_powers_of_the_factor():
    assert RULE.steps(90) == (10, 30)
    assert RULE.steps(100) == (12, 34)  # rounded up
    assert Halving(2, 3).steps(80) == (10, 20, 40)
    assert RULE.steps(1) == ()


@given(st.integers(1, 200), st.integers(1, 500), st.integers(2, 5), st.integers(1, 4))
def test_cost_is_what_a_simulation_of_the_rule_counts(n, total, factor, rungs):
    rule, alive, spent = Halving(factor, rungs), n, 0
    for step in range(1, total + 1):
        spent += alive
        if step in rule.steps(total):
            alive = -(-alive // factor)
    assert rule.cost(n, total) == spent
    assert rule.left(n, total) == alive


def test_a_ninth_comes_to_the_end_for_a_quarter_of_the_cost():
    assert RULE.left(81, 90) == 9
    assert RULE.cost(81, 90) == 81 * 10 + 27 * 20 + 9 * 60 < 0.26 * 81 * 90


@pytest.mark.parametrize(("factor", "rungs"), [(1, 2), (0, 1), (3, 0)])
def test_a_rule_that_drops_nobody_is_refused(factor, rungs):
    with pytest.raises(ValueError, match="must be at least"):
        halving.check(Halving(factor, rungs))


BASE = Configuration("P-Q-KD", sparsity=0.5, weight_bits=4, steps=90)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 4.0},
        {"alpha": 0.5},
        {"learning_rate": 1e-2},
        {"score": "taylor"},
        {"scale": "mse"},
        {"pipeline": "Q-P-KD"},
        {"pipeline": "P-Q-FT"},
    ],
)
def test_what_is_searched_competes(change):
    assert halving.contest(BASE, 2) == halving.contest(dataclasses.replace(BASE, **change), 2)


@pytest.mark.parametrize(
    "change",
    [
        {"sparsity": 0.75},
        {"weight_bits": 3},
        {"structure": "heads"},
        {"quant_format": "nf4"},
        {"act_bits": 8},
        {"student": "smaller"},
        {"seed": 1},
        {"steps": 60},
        {"init": "scratch"},
        {"pipeline": "P-KD"},
    ],
)
def test_what_makes_another_file_does_not_compete(change):
    other = dataclasses.replace(BASE, **change)
    assert halving.contest(BASE, 2) != halving.contest(other, 2)


def test_a_setting_that_a_pipeline_does_not_read_separates_nobody():
    unread = dataclasses.replace(BASE, pipeline="P-KD", weight_bits=2)
    assert halving.contest(unread, 1) == halving.contest(
        dataclasses.replace(unread, weight_bits=8), 1
    )


def test_who_still_has_to_quantize_does_not_compete_with_who_has_done_it():
    before = dataclasses.replace(BASE, pipeline="P-KD-Q")
    assert halving.contest(before, 1) != halving.contest(BASE, 2)


def test_everybody_comes_to_each_rung_once():
    asked = [BASE, dataclasses.replace(BASE, pipeline="P-KD-Q-KD")]
    came = np.zeros((2, 0), int)
    # The second trains 45 steps, then its Q, then 45 more: at 30 it is in its first stage.
    for position, length in (((2, 1), 45), ((2, 3), 45)):
        now = [halving.at_a_rung(RULE, asked, position, t, t + 5) for t in range(0, length, 5)]
        came = np.concatenate([came, np.transpose(now).astype(int)], axis=1)
    assert came[0, :9].sum() == came[1, :9].sum() == 2
    assert came[1, 9:].sum() == 0


def test_of_each_contest_the_best_third_goes_on():
    rates = np.linspace(1e-4, 1e-2, 10)
    dense = [dataclasses.replace(BASE, learning_rate=float(r)) for r in rates]
    sparse = [dataclasses.replace(c, sparsity=0.9) for c in dense[:2]]
    asked = [*dense, *sparse]
    losses = np.asarray([5, 1, 7, np.nan, 2, 9, 3, 8, 4, np.inf, 100, 50], float)
    stay = halving.survivors(RULE, asked, [2] * 12, [True] * 12, losses)
    assert [i for i, stays in enumerate(stay) if stays] == [1, 4, 6, 8, 11]


def test_who_is_at_no_rung_goes_on():
    asked = [BASE, dataclasses.replace(BASE, alpha=0.1)]
    assert halving.survivors(RULE, asked, [2, 2], [False, False], np.ones(2)) == [True, True]


def test_competitors_stand_side_by_side():
    asked = [
        dataclasses.replace(BASE, sparsity=s, learning_rate=r)
        for r in (1e-3, 1e-2, 1e-4)
        for s in (0.25, 0.5)
    ]
    (one, two) = plan.starts(asked, 3, RULE)
    assert {c.sparsity for c in one.configurations} == {0.25}
    assert {c.sparsity for c in two.configurations} == {0.5}
    assert [len(s.configurations) for s in plan.starts(asked, 4)] == [4, 2]


def test_expected_work_is_that_of_the_rule():
    asked = [dataclasses.replace(BASE, learning_rate=1e-3 * (i + 1)) for i in range(27)]
    assert plan.work_of(asked) == (27 * 90, 27)
    expected = plan.work_of(asked, RULE)
    assert expected.train == pytest.approx(RULE.cost(27, 90))
    assert expected.finish == pytest.approx(3)


STUDY = pathlib.Path(__file__).parents[2] / "experiments" / "results" / "halving"


def committed(name):
    rows = [json.loads(line) for line in (STUDY / f"{name}.jsonl").read_text().splitlines()]
    return {row["config_id"]: row for row in rows if row["kind"] == "configuration"}


def test_the_committed_search_finds_the_best_of_the_grid_within_its_interval():
    """At a quarter of the configuration-steps; who came to the end has the grid's very row."""
    grid, halved = committed("grid"), committed("halved")
    assert halved.keys() == grid.keys()
    ended = [row for row in halved.values() if row["status"] == "ok"]
    assert all(row["retention"] == grid[row["config_id"]]["retention"] for row in ended)
    best = max(grid.values(), key=lambda row: row["retention"])
    found = max(ended, key=lambda row: row["retention"])
    assert found["retention"] >= best["retention"] - best["retention_ci95"]
    trained = (
        row["steps"] if row["status"] == "ok" else row["stopped_at"] for row in halved.values()
    )
    (steps,) = {row["steps"] for row in grid.values()}
    cost = sum(trained)
    assert cost == RULE.cost(len(grid), steps)
    assert cost <= sum(row["steps"] for row in grid.values()) / 3
