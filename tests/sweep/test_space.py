"""Spaces of configurations: the laws of their algebra, and what draws are distributed like."""

import math

import numpy as np
import pytest
from scipy import stats

from wfm_jax.sweep import space
from wfm_jax.sweep.configuration import Configuration

A = space.grid(pipeline=["P-Q", "Q-P", "P-Q-KD"])
B = space.zipped(weight_bits=[8, 4], sparsity=[0.5, 0.75])
C = space.sampled(5, seed=3, weight_bits=space.Among([2, 3]), sparsity=space.Uniform(0.1, 0.9))
D = space.listed([{"alpha": 0.5}, {"alpha": 1.0, "temperature": 4.0}])
LEVEL = 1e-3
"""Probability with which a test of a distribution fails by chance, for its one fixed seed."""


def test_sizes_multiply_and_add():
    assert len(space.cross(A, B, D)) == len(A) * len(B) * len(D)
    assert len(B + C) == len(B) + len(C)
    assert len(space.grid(alpha=[0, 1], seed=[0, 1, 2])) == 6


def test_a_cross_distributes_over_a_sum():
    assert space.cross(B + C, A) == space.cross(B, A) + space.cross(C, A)
    right, apart = space.cross(A, B + C), space.cross(A, B) + space.cross(A, C)
    assert right != apart  # another order
    assert sorted(right, key=repr) == sorted(apart, key=repr)


def test_a_cross_is_associative_and_has_a_one_and_a_zero():
    assert space.cross(A, space.cross(B, D)) == space.cross(space.cross(A, B), D)
    assert space.cross(A, space.grid()) == space.cross(A) == A
    assert space.cross() == space.grid() == [{}]
    assert space.cross(A, []) == []


def test_a_grid_is_the_cross_of_its_axes_the_first_slowest():
    axes = {"alpha": [0.0, 0.5], "seed": [0, 1, 2]}
    whole = space.grid(**axes)
    assert whole == space.cross(*(space.grid(**{name: axes[name]}) for name in axes))
    assert [point["seed"] for point in whole] == [0, 1, 2, 0, 1, 2]


def test_zipped_axes_are_a_part_of_their_grid():
    axes = {"alpha": [0.0, 0.5, 1.0], "seed": [0, 1, 2]}
    assert [p for p in space.grid(**axes) if p in space.zipped(**axes)] == space.zipped(**axes)


def test_draws_stay_within_their_bounds_and_are_ordinary_values():
    rates, values = space.LogUniform(1e-4, 1e-2), (2, 3, 4)
    points = space.sampled(
        500,
        seed=0,
        alpha=space.Uniform(0.25, 0.75),
        learning_rate=rates,
        weight_bits=space.Among(values),
    )
    assert all(type(p["alpha"]) is type(p["learning_rate"]) is float for p in points)
    assert all(0.25 <= p["alpha"] < 0.75 for p in points)
    assert all(rates.low <= p["learning_rate"] <= rates.high for p in points)
    assert {p["weight_bits"] for p in points} == set(values)
    assert len(space.configurations(points, pipeline="P-Q-KD")) == 500


def test_ranges_and_choices_are_evenly_drawn():
    n = 2000
    points = space.sampled(
        n,
        seed=1,
        alpha=space.Uniform(0.2, 0.9),
        learning_rate=space.LogUniform(1e-5, 1e-1),
        weight_bits=space.Among((2, 3, 4, 8)),
    )
    alphas = (np.array([p["alpha"] for p in points]) - 0.2) / 0.7
    logs = (np.log10([p["learning_rate"] for p in points]) + 5.0) / 4.0
    for unit in (alphas, logs):
        assert stats.kstest(unit, "uniform").pvalue > LEVEL
    counts = np.unique([p["weight_bits"] for p in points], return_counts=True)[1]
    assert stats.chisquare(counts).pvalue > LEVEL
    # Independent of each other: a correlation of n draws has a deviation of 1/sqrt(n).
    assert abs(np.corrcoef(alphas, logs)[0, 1]) < 3.3 / math.sqrt(n)


def test_a_seed_says_which_points_are_drawn_and_more_begin_with_the_same():
    def drawn(n, seed):
        draws = {"alpha": space.Uniform(0, 1), "scale": space.Among(["absmax", "mse"])}
        return space.sampled(n, seed=seed, **draws)

    assert drawn(7, 5) == drawn(7, 5) == drawn(20, 5)[:7]
    assert not {p["alpha"] for p in drawn(7, 5)} & {p["alpha"] for p in drawn(7, 6)}


def test_a_point_fills_a_configuration_whose_rest_is_the_base():
    asked = space.configurations(D, pipeline="P-KD", temperature=3.0)
    assert asked == [
        Configuration("P-KD", alpha=0.5, temperature=3.0),
        Configuration("P-KD", alpha=1.0, temperature=4.0),
    ]
    assert space.configurations([{}]) == [Configuration("none")]


@pytest.mark.parametrize(
    "make",
    [
        lambda: space.grid(learning_rates=[1e-3]),
        lambda: space.zipped(alpha=[0.5], learning_rates=[1e-3]),
        lambda: space.sampled(2, seed=0, learning_rates=space.Uniform(0, 1)),
        lambda: space.listed([{"alpha": 0.5}, {"learning_rates": 1e-3}]),
        lambda: space.cross(A, [{"learning_rates": 1e-3}]),
        lambda: space.configurations(A, learning_rates=1e-3),
        lambda: space.configurations([{"learning_rates": 1e-3}]),
    ],
)
def test_an_unknown_field_is_an_error_that_tells_the_closest(make):
    with pytest.raises(ValueError, match="unknown field 'learning_rates': the closest are learn"):
        make()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: space.cross(A, D, A), "pipeline is in two factors"),
        (lambda: space.cross(B, D, C), "sparsity, weight_bits is in two factors"),
        (lambda: space.cross(D, space.grid(temperature=[1.0])), "temperature is in two factors"),
        (lambda: space.zipped(alpha=[0, 1], seed=[0]), "alpha has 2, seed has 1"),
        (lambda: space.grid(alpha=[]), "alpha must be a list of at least one value"),
        (lambda: space.grid(pipeline="P-Q"), "pipeline must be a list"),
        (lambda: space.sampled(0, seed=0, alpha=space.Uniform(0, 1)), "at least one point"),
        (lambda: space.sampled(1, seed=-1, alpha=space.Uniform(0, 1)), "a seed of at least 0"),
        (lambda: space.sampled(1, seed=0), "a field to draw"),
        (lambda: space.sampled(1, seed=0, alpha=space.Uniform(1, 0)), "a lower and a higher"),
        (lambda: space.sampled(1, seed=0, alpha=space.Uniform(0, math.nan)), "a lower and a hi"),
        (lambda: space.sampled(1, seed=0, alpha=space.Uniform(0, math.inf)), "a lower and a hi"),
        (lambda: space.sampled(1, seed=0, alpha=space.LogUniform(0, 1)), "positive numbers"),
        (lambda: space.sampled(1, seed=0, alpha=space.Among([])), "at least one value"),
        (lambda: space.sampled(1, seed=0, weight_bits=space.Uniform(2, 8)), "among single values"),
        (lambda: space.sampled(1, seed=0, steps=space.Uniform(2, 8)), "among single values"),
        (lambda: space.configurations(space.grid(alpha=[2.0])), r"alpha must be in \[0, 1\]"),
        (lambda: space.configurations(space.grid(steps=[1.5])), "steps must be a whole number"),
        (lambda: space.configurations(space.grid(seed=[2**31])), "seed must be a whole number"),
    ],
)
def test_what_cannot_be_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()
