"""Block fading against the laws of Rice, its receiver against the closed form of its errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests import optimized
from wfm_jax.signal import theory
from wfm_jax.signal.blocks import Blocks, block_gain, demap_blocks, transmit_blocks

transmit = optimized.jit(
    transmit_blocks, static_argnames=("bits_per_symbol", "batch_size", "block_length")
)
demap = jax.jit(demap_blocks)

SMALL = {"bits_per_symbol": 4, "k_linear": 5.0, "n0": 0.1, "batch_size": 3, "block_length": 8}


def z_score(samples, expected):
    return (samples.mean() - expected) / (samples.std() / samples.size**0.5)


@pytest.mark.parametrize("k", [0.0, 1.0, 5.0, 100.0])
def test_gain_has_the_moments_of_rice(k):
    gain = optimized.jit(block_gain)(jax.random.key(0), np.full(400_000, k, np.float32))
    gain = np.asarray(gain).astype(np.complex128)
    power = np.abs(gain) ** 2
    assert abs(z_score(power, 1)) < 5
    assert abs(z_score((power - 1) ** 2, (1 + 2 * k) / (1 + k) ** 2)) < 5
    for samples in (gain.real, gain.imag, (gain**2).real, (gain**2).imag):
        assert abs(z_score(samples, 0)) < 5


def test_infinite_k_does_not_fade():
    gain = jax.jit(block_gain)(jax.random.key(0), np.full(1000, np.inf, np.float32))
    np.testing.assert_allclose(np.abs(gain), 1.0, rtol=1e-6)


@pytest.mark.parametrize("m, k_db, ebn0_db", [(2, -np.inf, 10), (4, 7, 10), (6, 7, 10), (8, 2, 20)])
def test_genie_errors_are_those_of_the_closed_form(m, k_db, ebn0_db):
    """A z-score over blocks, whose bits fade together."""
    blocks = transmit(
        jax.random.key(m),
        bits_per_symbol=m,
        k_linear=10 ** (k_db / 10),
        n0=10 ** (-ebn0_db / 10) / m,
        batch_size=50_000,
        block_length=4,
    )
    errors = ((np.asarray(demap(blocks)) > 0) != (np.asarray(blocks.bits) == 1)).astype(float)
    assert abs(z_score(errors.mean((1, 2)), theory.ber_rician(m, ebn0_db, k_db))) < 5


def test_blocks_have_their_own_k_and_noise():
    k, n0 = jnp.asarray([jnp.inf, 0.0]), jnp.asarray([0.0, 4.0])
    blocks = transmit(
        jax.random.key(0), bits_per_symbol=2, k_linear=k, n0=n0, batch_size=2, block_length=1000
    )
    assert blocks.bits.shape == (2, 1000, 2)
    assert blocks.bits.dtype == jnp.int8
    assert blocks.received.dtype == blocks.gain.dtype == jnp.complex64
    assert abs(blocks.gain[0]) == pytest.approx(1, abs=1e-6)
    power = np.abs(np.asarray(blocks.received)) ** 2
    np.testing.assert_allclose(power[0], 1, rtol=1e-5)
    expected = 4 + abs(blocks.gain[1]) ** 2
    assert abs(z_score(power[1], float(expected))) < 5


def test_llrs_are_calibrated():
    blocks = transmit(jax.random.key(3), **SMALL | {"batch_size": 20_000, "k_linear": 1.0})
    p = special.expit(np.asarray(demap(blocks), np.float64))
    excess = np.asarray(blocks.bits) - p
    for low in (0.1, 0.3, 0.5, 0.7):
        inside = (p > low) & (p < low + 0.2)
        z = excess[inside].sum() / np.sqrt((p * (1 - p))[inside].sum())
        assert abs(z) < 5, low


def test_one_program_serves_every_k_and_equals_eager():
    link = functools.partial(transmit_blocks, **{k: SMALL[k] for k in SMALL if k != "k_linear"})
    traced = []

    @jax.jit
    def jitted(key, k):
        traced.append(k)
        return link(key, k_linear=k)

    for k in (0.0, 3.0, jnp.inf):
        key = jax.random.key(1)
        for a, b in zip(jitted(key, k), link(key, k_linear=k), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
            assert np.all(np.isfinite(a))
    assert len(traced) == 1


def test_vmap_over_keys_equals_a_loop():
    keys = jax.random.split(jax.random.key(0), 3)

    def chain(key):
        blocks = transmit_blocks(key, **SMALL)
        return blocks, demap_blocks(blocks)

    together, llrs = jax.jit(jax.vmap(chain))(keys)
    assert isinstance(together, Blocks)
    for i, key in enumerate(keys):
        alone, llr = jax.jit(chain)(key)
        np.testing.assert_array_equal(together.bits[i], alone.bits)
        np.testing.assert_allclose(llrs[i], llr, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "bad",
    [
        {"bits_per_symbol": 3},
        {"batch_size": 0},
        {"block_length": 0},
        {"k_linear": -1.0},
        {"k_linear": np.nan},
        {"k_linear": np.ones(2)},
        {"n0": -0.1},
        {"n0": np.inf},
        {"n0": np.ones((3, 1))},
    ],
)
def test_bad_arguments_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        transmit_blocks(jax.random.key(0), **SMALL | bad)
