"""Ranks of non-dominated sorting, against taking one front off after the other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wfm_jax.results.pareto import pareto_ranks

FEW = st.one_of(st.integers(0, 5).map(float), st.just(float("nan")))


def by_peeling(size, quality):
    ranks, left, rank = np.zeros(len(size), int), set(range(len(size))), 0
    left -= {i for i in left if np.isnan(size[i] + quality[i])}
    while left:
        rank += 1
        front = {
            i
            for i in left
            if not any(
                size[j] <= size[i]
                and quality[j] >= quality[i]
                and (size[j] < size[i] or quality[j] > quality[i])
                for j in left
            )
        }
        ranks[list(front)] = rank
        left -= front
    ranks[ranks == 0] = rank + 1
    return ranks


@given(st.lists(st.tuples(FEW, FEW), max_size=25))
def test_fronts_come_off_one_by_one(points):
    size, quality = [s for s, _ in points], [q for _, q in points]
    np.testing.assert_array_equal(pareto_ranks(size, quality), by_peeling(size, quality))


def test_thousands_on_fronts_of_their_own():
    n = 5000
    ranks = pareto_ranks(np.ones(n), -np.arange(n))
    np.testing.assert_array_equal(ranks, 1 + np.arange(n))
