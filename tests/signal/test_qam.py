"""QAM against the formulas of TS 38.211 written out, and brute-force sums in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from wfm_jax.signal import qam

ORDERS = (2, 4, 6, 8, 10)


def standard_point(bits):
    """TS 38.211 sections 5.1.3 to 5.1.6, for QPSK to 256-QAM, as printed there."""
    s = [1 - 2 * int(b) for b in bits]
    if len(s) == 2:
        return (s[0] + 1j * s[1]) / np.sqrt(2)
    if len(s) == 4:
        return (s[0] * (2 - s[2]) + 1j * s[1] * (2 - s[3])) / np.sqrt(10)
    if len(s) == 6:
        in_phase, quadrature = s[0] * (4 - s[2] * (2 - s[4])), s[1] * (4 - s[3] * (2 - s[5]))
        return (in_phase + 1j * quadrature) / np.sqrt(42)
    in_phase = s[0] * (8 - s[2] * (4 - s[4] * (2 - s[6])))
    quadrature = s[1] * (8 - s[3] * (4 - s[5] * (2 - s[7])))
    return (in_phase + 1j * quadrature) / np.sqrt(170)


def all_bits(m):
    """Bits of the labels 0 ... 2^m - 1, MSB first."""
    return np.array(list(itertools.product((0, 1), repeat=m)))


def brute_force_llrs(y, n0, points, bits, method):
    """Over all M points, in float64."""
    metric = -(np.abs(y.astype(np.complex128)[:, None] - points) ** 2) / float(n0)
    reduce = special.logsumexp if method == "exact" else np.max
    return np.stack(
        [
            reduce(metric[:, bit == 1], axis=1) - reduce(metric[:, bit == 0], axis=1)
            for bit in bits.T
        ],
        axis=-1,
    )


def float64_points(m):
    """The constellation without rounding to float32: integers over the root of their energy."""
    points = np.asarray(qam.constellation(m)).astype(np.complex128)
    norm = np.sqrt(2 * (2**m - 1) / 3)
    rounded = np.round(points * norm)
    np.testing.assert_allclose(points * norm, rounded, atol=1e-5)
    return rounded / norm


def received(m, n0, n=2000):
    """Symbols plus noise, and as many points anywhere, outside the constellation too."""
    rng = np.random.default_rng(m)
    noise = np.sqrt(n0 / 2) * (rng.standard_normal(n) + 1j * rng.standard_normal(n))
    near = rng.choice(float64_points(m), n) + noise
    anywhere = rng.uniform(-2, 2, n) + 1j * rng.uniform(-2, 2, n)
    return np.concatenate([near, anywhere]).astype(np.complex64)


def ties(m, n0, n=1000):
    """On and within noise of points and of boundaries: two candidates are equally far."""
    rng = np.random.default_rng(m)
    half_spacing = 1 / np.sqrt(2 * (2**m - 1) / 3)
    parts = rng.integers(-(2 ** (m // 2)) - 1, 2 ** (m // 2) + 2, (2, n)) * half_spacing
    parts[:, n // 2 :] += n0 * rng.standard_normal((2, n - n // 2))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


@pytest.mark.parametrize("m", [2, 4, 6, 8])
def test_constellation_is_that_of_the_standard(m):
    expected = [standard_point(bits) for bits in all_bits(m)]
    points = qam.constellation(m)
    assert points.dtype == jnp.complex64
    np.testing.assert_allclose(points, expected, atol=1e-6)


@pytest.mark.parametrize("m", ORDERS)
def test_constellation_has_unit_energy_and_zero_mean(m):
    points = np.asarray(qam.constellation(m)).astype(np.complex128)
    assert np.unique(points).size == 2**m
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1, abs=1e-6)
    assert abs(np.mean(points)) < 1e-6


@pytest.mark.parametrize("m", ORDERS)
def test_nearest_neighbours_differ_in_one_bit(m):
    points, bits = float64_points(m), all_bits(m)
    distance = np.abs(points[:, None] - points)
    np.fill_diagonal(distance, np.inf)
    i, j = np.nonzero(distance < distance.min() * 1.001)
    side = 2 ** (m // 2)
    assert i.size == 4 * side * (side - 1)
    np.testing.assert_array_equal(np.sum(bits[i] != bits[j], axis=1), 1)


@pytest.mark.parametrize("m", ORDERS)
def test_modulate_indexes_the_constellation(m):
    bits = np.random.default_rng(0).integers(0, 2, (3, 50, m))
    index = bits @ (1 << np.arange(m)[::-1])
    expected = np.asarray(qam.constellation(m))[index]
    for dtype in (np.int8, np.int32, bool):
        symbols = qam.modulate(jnp.asarray(bits.astype(dtype)))
        assert symbols.dtype == jnp.complex64
        np.testing.assert_allclose(symbols, expected, atol=1e-6)


@pytest.mark.parametrize("method", ["exact", "maxlog"])
@pytest.mark.parametrize("m", ORDERS)
def test_demap_equals_brute_force(m, method):
    points, bits = float64_points(m), all_bits(m)
    n = 2000 if m < 8 else 200
    for snr_db in (-10, 0, 10, 20, 30, 40, 50):
        n0 = np.float32(10 ** (-snr_db / 10))
        y = np.concatenate([received(m, n0, n), ties(m, n0, n)])
        llr = qam.demap(jnp.asarray(y), n0, m, method)
        assert llr.dtype == jnp.float32
        assert llr.shape == (*y.shape, m)
        expected = brute_force_llrs(y, n0, points, bits, method)
        error = np.abs(np.asarray(llr) - expected) / np.maximum(1, np.abs(expected))
        assert error.max() < 1e-4, f"{snr_db} dB"


@pytest.mark.parametrize("m", ORDERS)
def test_decide_finds_the_nearest_point(m):
    points, bits = float64_points(m), all_bits(m)
    y = received(m, 0.1)
    decided = qam.decide(jnp.asarray(y), m)
    assert decided.dtype == jnp.int8
    nearest = np.argmin(np.abs(y.astype(np.complex128)[:, None] - points), axis=1)
    np.testing.assert_array_equal(decided, bits[nearest])
    assert qam.decide(jnp.asarray(y).reshape(40, 100), m).shape == (40, 100, m)


def test_positive_llr_means_bit_one():
    bits = jnp.asarray(all_bits(6))
    llr = qam.demap(qam.modulate(bits), 0.01, 6)
    np.testing.assert_array_equal(llr > 0, bits == 1)
    # Bit 0 is the positive side: a strongly positive real part says that b0 is 0.
    assert qam.demap(jnp.asarray(3 + 0j), 1.0, 2)[0] < -5


@pytest.mark.parametrize("m", ORDERS)
def test_sigmoid_of_llr_is_calibrated(m):
    """Among bits of probability p, p are one: z-scores of the errors in ten bins."""
    rng, n, n0 = np.random.default_rng(m), 20_000, 10 ** (-(3 * m - 4) / 10)
    bits = rng.integers(0, 2, (n, m))
    noise = np.sqrt(n0 / 2) * (rng.standard_normal(n) + 1j * rng.standard_normal(n))
    symbols = np.asarray(jax.jit(qam.modulate)(bits))
    p = special.expit(np.asarray(qam.demap(symbols + noise, n0, m), np.float64))
    excess = bits - p
    which = np.minimum((10 * p).astype(int), 9)
    for i in range(10):
        inside = which == i
        # Not divided by bins that hardly happen.
        z = excess[inside].sum() / np.sqrt((p * (1 - p))[inside].sum() + 1)
        assert abs(z) < 5, f"bin {i}: z = {z:.1f}"


def test_noise_broadcasts_against_symbols():
    y = jnp.asarray(received(4, 0.1)[:24]).reshape(4, 6)
    n0 = jnp.linspace(0.05, 1, 4)
    together = qam.demap(y, n0[:, None], 4)
    assert together.shape == (4, 6, 4)
    for row in range(4):
        np.testing.assert_allclose(together[row], qam.demap(y[row], n0[row], 4), rtol=1e-6)


@pytest.mark.parametrize("method", ["exact", "maxlog"])
def test_noise_that_cannot_be_gives_nan_there_alone(method):
    y = jnp.asarray(received(4, 0.1)[:4])
    llr = qam.demap(y, jnp.asarray([0.1, -0.1, jnp.nan, 0.1]), 4, method)
    np.testing.assert_array_equal(jnp.isnan(llr), jnp.asarray([[0], [1], [1], [0]]) * jnp.ones(4))
    assert jnp.all(jnp.isnan(qam.demap(y, -1.0, 4, method)))


@pytest.mark.parametrize("m", [2, 8])
def test_transforms_agree(m):
    y = jnp.asarray(received(m, 0.1)[:60]).reshape(3, 20)
    n0 = jnp.asarray([0.1, 0.2, 0.3])

    def demap(y, n0):
        return qam.demap(y, n0, m)

    eager = jnp.stack([demap(y[i], n0[i]) for i in range(3)])
    np.testing.assert_allclose(jax.jit(demap)(y, n0[:, None]), eager, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(jax.vmap(demap)(y, n0), eager, rtol=2e-5, atol=2e-5)
    bits = jnp.asarray(all_bits(m))
    np.testing.assert_allclose(jax.jit(qam.modulate)(bits), qam.modulate(bits), atol=1e-6)


@pytest.mark.parametrize("method", ["exact", "maxlog"])
@pytest.mark.parametrize("m", [4, 6])
def test_gradient_is_finite_at_high_snr_and_on_ties(m, method):
    y = jnp.asarray(np.concatenate([received(m, 1e-4, n=50), ties(m, 1e-4, n=50)]))

    def total(y_real, n0):
        return jnp.sum(qam.demap(jax.lax.complex(y_real, y.imag), n0, m, method))

    slopes = jax.jit(jax.grad(total, argnums=(0, 1)))(y.real, jnp.full(y.shape, 1e-4))
    assert all(np.all(np.isfinite(slope)) for slope in slopes)


def test_gradient_with_respect_to_the_noise_is_that_of_brute_force():
    m, step = 4, 1e-6
    y = received(m, 0.05, n=20)
    slope = jax.jit(jax.grad(lambda n0: jnp.sum(qam.demap(y, n0, m))))(0.05)
    high, low = (
        brute_force_llrs(y, 0.05 + d, float64_points(m), all_bits(m), "exact").sum()
        for d in (step, -step)
    )
    assert slope == pytest.approx((high - low) / (2 * step), rel=1e-3)


@pytest.mark.parametrize("m", [2, 4, 8, pytest.param(10, marks=pytest.mark.slow)])
def test_gradient_is_finite_and_that_of_brute_force(m):
    points, bits = float64_points(m), all_bits(m)
    y = received(m, 0.05, n=20)

    def real_slope(y_real):
        return jnp.sum(qam.demap(jax.lax.complex(y_real, jnp.asarray(y.imag)), 0.05, m))

    slope = jax.jit(jax.grad(real_slope))(y.real)
    step = 1e-6
    high, low = (
        brute_force_llrs(y.astype(np.complex128) + d, 0.05, points, bits, "exact").sum(1)
        for d in (step, -step)
    )
    np.testing.assert_allclose(slope, (high - low) / (2 * step), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("m", [0, 1, 3, 5, 12, -2, 2.5])
def test_unsupported_order_is_named(m):
    with pytest.raises(ValueError, match=r"bits_per_symbol .*got"):
        qam.constellation(m)
    with pytest.raises(ValueError, match="bits_per_symbol"):
        qam.demap(jnp.zeros(2, jnp.complex64), 1.0, m)


def test_other_bad_arguments_are_named():
    with pytest.raises(ValueError, match="method"):
        qam.demap(jnp.zeros(2, jnp.complex64), 1.0, 4, method="approximate")
    with pytest.raises(ValueError, match="y must be complex"):
        qam.demap(jnp.zeros(2), 1.0, 4)
    with pytest.raises(ValueError, match="y must be complex"):
        qam.decide(jnp.zeros(2), 4)
    with pytest.raises(ValueError, match="n0 must be real"):
        qam.demap(jnp.zeros(2, jnp.complex64), 1.0 + 0j, 4)
    for shape in ((3,), (1, 2), (2, 2)):
        with pytest.raises(ValueError, match="n0 must broadcast"):
            qam.demap(jnp.zeros(2, jnp.complex64), jnp.ones(shape), 4)
    with pytest.raises(ValueError, match="bits_per_symbol"):
        qam.modulate(jnp.zeros((4, 3), jnp.int32))
    with pytest.raises(ValueError, match="bits"):
        qam.modulate(jnp.asarray(1))
