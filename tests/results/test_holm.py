"""Holm's correction against a worked example and the closed tests it is a shortcut of."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wfm_jax.results.holm import adjusted

calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def closed_tests(p):
    """A hypothesis is rejected if every set that holds it is, by Bonferroni: the largest p."""
    everything = range(len(p))
    sets = [s for n in range(1, len(p) + 1) for s in itertools.combinations(everything, n)]
    of = {s: min(1.0, len(s) * min(p[i] for i in s)) for s in sets}
    return [max(value for s, value in of.items() if i in s) for i in everything]


@calm
@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_it_is_the_shortcut_of_closed_testing(p):
    assert np.allclose(adjusted(p), closed_tests(p), atol=1e-12)


def test_an_example_worked_by_hand():
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert adjusted([]).size == 0


def test_the_chance_of_any_false_rejection_is_at_most_the_level():
    rng, runs = np.random.default_rng(0), 4000
    true = rng.uniform(size=(runs, 5))
    false = rng.uniform(high=1e-4, size=(runs, 3))
    wrong = sum((adjusted([*f, *t])[3:] < 0.05).any() for f, t in zip(false, true, strict=True))
    assert wrong / runs < 0.05 + 4 * np.sqrt(0.05 * 0.95 / runs)
    assert wrong / runs > 0.02  # and the level is used
