"""Ranks of non-dominated sorting, against taking one front off after the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfm_jax.results.pareto import front, pareto_ranks

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


def rows_of(points):
    """A sweep's rows of sizes and retentions."""
    shared = {"kind": "configuration", "pipeline": "P", "status": "ok"}
    return [
        shared | {"config_id": str(i), "size_bytes": size, "retention": kept}
        for i, (size, kept) in enumerate(points)
    ]


def test_the_front_is_from_the_smallest_file_up_and_keeps_what_is_asked():
    rows = rows_of([(40, 0.97), (10, 0.5), (30, 0.96), (20, 0.9), (25, 0.8), (50, 0.97)])
    assert [row["size_bytes"] for row in front(rows, most=9)] == [10, 20, 30, 40]
    assert [row["size_bytes"] for row in front(rows, most=9, least=0.9)] == [20, 30, 40]
    rows[0]["status"] = "diverged"
    assert [row["size_bytes"] for row in front(rows, most=9, least=0.9)] == [20, 30, 50]
    with pytest.raises(ValueError, match=r"retention of 0\.99; the best has 0\.97"):
        front(rows, most=9, least=0.99)


@given(st.integers(1, 40), st.integers(1, 40))
def test_of_a_long_front_both_ends_are_taken(n, most):
    rows = rows_of([(i, i / 40) for i in range(n)])
    found = [row["size_bytes"] for row in front(rows, most=most)]
    assert len(found) == min(n, most)
    assert found[0] == 0
    assert found[-1] == n - 1 or most == 1
    assert found == sorted(set(found))
