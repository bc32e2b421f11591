"""Bits under a budget of bytes: equal to trying everything."""

import itertools

import numpy as np
import pytest

from wfm_jax.compress import allocate, quantized_bytes

BITS = (2, 3, 4, 6, 8)


def best_by_trying(damages, sizes, budget):
    """The least sum that fits, over all choices."""
    n_tensors, n_levels = damages.shape
    found = np.inf
    for choice in itertools.product(range(n_levels), repeat=n_tensors):
        tensor = np.arange(n_tensors)
        if sizes[tensor, choice].sum() <= budget:
            found = min(found, damages[tensor, choice].sum())
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_is_the_best_of_all(seed):
    """Damages of any sign and order, sizes that are no multiples of each other."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 1000, size=(5, 4)).cumsum(axis=1)
    damages = rng.normal(size=(5, 4)) * 10.0 ** rng.integers(-6, 3)
    least, most = sizes.min(axis=1).sum(), sizes.max(axis=1).sum()
    for budget in np.linspace(least, most, 5).astype(int):
        found = allocate(damages, sizes, budget)
        tensor = np.arange(5)
        assert found.size_bytes == sizes[tensor, found.choice].sum() <= budget
        assert found.damage == pytest.approx(damages[tensor, found.choice].sum())
        assert found.damage == pytest.approx(best_by_trying(damages, sizes, budget), rel=1e-9)


def test_a_large_problem_is_no_worse_than_uniform_bits():
    rng = np.random.default_rng(0)
    shapes = [(int(2 ** rng.integers(4, 9)), 64) for _ in range(60)]
    sizes = np.array([[quantized_bytes(shape, b) for b in BITS] for shape in shapes])
    damages = rng.lognormal(sigma=2.0, size=(60, 1)) * 4.0 ** -np.array(BITS, float)
    for level, bits in enumerate(BITS):
        found = allocate(damages, sizes, sizes[:, level].sum())
        assert found.size_bytes <= sizes[:, level].sum()
        assert found.damage <= damages[:, level].sum() * (1 + 1e-9)
        if 2 < bits < 8:
            assert found.damage < 0.9 * damages[:, level].sum()


def test_tensors_of_equal_shape_get_bits_in_the_order_of_their_damage():
    """Reverse water-filling: with damage d_t 4^-b, the more sensitive tensor has no fewer bits."""
    sensitivity = np.array([1.0, 30.0, 0.01, 5.0])
    damages = sensitivity[:, None] * 4.0 ** -np.array(BITS, float)
    sizes = np.tile(100 * np.array(BITS), (4, 1))
    bits = np.array(BITS)[allocate(damages, sizes, 1600).choice]
    assert list(np.argsort(sensitivity)) == list(np.argsort(bits, kind="stable"))
    assert bits.mean() <= 4.0


def test_a_budget_that_is_just_enough_and_one_byte_less():
    sizes = np.array([[10, 20], [7, 9]])
    assert list(allocate(np.array([[1.0, 0.0], [1.0, 0.0]]), sizes, 17).choice) == [0, 0]
    with pytest.raises(ValueError, match="fits into 16 bytes: the smallest takes 17"):
        allocate(np.zeros((2, 2)), sizes, 16)


def test_bytes_are_packed_integers_and_scales():
    assert quantized_bytes((64, 32), 4) == 64 * 32 // 2 + 4 * 32
    assert quantized_bytes((3, 3), 3) == 4 + 4 * 3  # 27 bits
    assert quantized_bytes((64, 32), 4, group_size=16) == 64 * 32 // 2 + 4 * 4 * 32
    assert quantized_bytes((64, 32), 16) == 64 * 32 * 2
    assert quantized_bytes((64, 32), 32) == 64 * 32 * 4


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"alike, got \[2, 2\] and \[2, 3\]"):
        allocate(np.zeros((2, 2)), np.zeros((2, 3), int), 10)
    with pytest.raises(ValueError, match="not finite"):
        allocate([[0.0, np.nan]], [[1, 2]], 10)
    with pytest.raises(ValueError, match="whole bytes"):
        allocate([[0.0, 1.0]], [[1.5, 2]], 10)
