"""Counter words against the published vectors of threefry, bits against fairness."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from scipy import stats

from wfm_jax.signal.words import random_bits, random_index, random_uniform, random_words


def test_first_word_is_that_of_the_published_vector():
    """Random123's known answer for key 0 and counter 0."""
    key = jax.random.wrap_key_data(jnp.zeros(2, jnp.uint32))
    assert [int(w[0]) for w in random_words(key, (1,))] == [0x6B200159, 0x99BA4EFE]


def test_words_are_those_of_jax_own_threefry():
    key = jax.random.key(7)
    index = jnp.arange(1000, dtype=jnp.uint32)
    counter = jnp.concatenate([jnp.zeros_like(index), index])
    expected = threefry_2x32(jax.random.key_data(key), counter)
    np.testing.assert_array_equal(jnp.concatenate(random_words(key, (1000,))), expected)
    shaped = jnp.stack(random_words(key, (10, 100)))
    np.testing.assert_array_equal(shaped.reshape(-1), expected)


@pytest.mark.parametrize(
    "draw", [random_words, random_uniform, random_bits, functools.partial(random_index, n=5)]
)
def test_vmap_and_jit_equal_a_loop(draw):
    keys = jax.random.split(jax.random.key(0), 4)
    loop = jnp.stack([jnp.asarray(draw(key, (7, 6))) for key in keys])
    together = jax.jit(jax.vmap(lambda key: jnp.asarray(draw(key, (7, 6)))))(keys)
    np.testing.assert_array_equal(together, loop)


@pytest.mark.parametrize("m", [1, 6, 32])
def test_bits_are_fair_and_independent(m):
    n = 100_000
    bits = random_bits(jax.random.key(m), (n, m))
    assert bits.dtype == jnp.int8
    signs = 1.0 - 2.0 * np.asarray(bits, np.float64)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    z_mean = signs.sum(0) / n**0.5
    z_pairs = (signs.T @ signs - n * np.eye(m)) / n**0.5
    z_next = (signs[1:].T @ signs[:-1]) / n**0.5
    assert max(np.abs(z).max() for z in (z_mean, z_pairs, z_next)) < 5.5  # 2,000 scores at m = 32


def test_uniform_numbers_are_uniform():
    """Kolmogorov-Smirnov: sqrt(n) D > 2.6 has probability 3e-6; neighbours are uncorrelated."""
    n = 100_000
    x = np.asarray(random_uniform(jax.random.key(1), (n,), -2.0, 6.0), np.float64)
    assert -2.0 <= x.min() <= x.max() <= 6.0
    assert np.sqrt(n) * stats.kstest(x, stats.uniform(-2.0, 8.0).cdf).statistic < 2.6
    assert abs(np.corrcoef(x[1:], x[:-1])[0, 1]) * np.sqrt(n) < 5
    assert float(random_uniform(jax.random.key(2), (), 3.0, 3.0)) == 3.0


@pytest.mark.parametrize("n", [1, 7, 256])
def test_indices_are_equally_likely(n):
    """Chi-square of n bins, within five of its standard deviations."""
    index = np.asarray(random_index(jax.random.key(n), (100_000,), n))
    assert index.dtype == np.int32
    counts = np.bincount(index, minlength=n)
    assert counts.size == n
    chi2 = np.sum((counts - 100_000 / n) ** 2) / (100_000 / n)
    assert abs(chi2 - (n - 1)) <= 5 * np.sqrt(2 * (n - 1))


def test_empty_shapes_are_empty():
    assert random_words(jax.random.key(0), (0, 3))[0].shape == (0, 3)
    assert random_bits(jax.random.key(0), (0, 4)).shape == (0, 4)


def test_bad_arguments_are_named():
    for n in (0, 2**16 + 1):
        with pytest.raises(ValueError, match="n must be"):
            random_index(jax.random.key(0), (3,), n)
    with pytest.raises(ValueError, match="key"):
        random_words(jnp.zeros(2, jnp.uint32), (3,))
    with pytest.raises(ValueError, match="key"):
        random_words(jax.random.split(jax.random.key(0)), (3,))
    with pytest.raises(ValueError, match="key must be a threefry key"):
        random_words(jax.random.key(0, impl="rbg"), (3,))
    with pytest.raises(ValueError, match="shape"):
        random_words(jax.random.key(0), (2**16, 2**16))
    with pytest.raises(ValueError, match="shape"):
        random_bits(jax.random.key(0), (4, 33))
    with pytest.raises(ValueError, match="shape"):
        random_bits(jax.random.key(0), ())
