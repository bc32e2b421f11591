"""One program for all orders against the demapper of each order and brute force in float64."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from scipy import special

from wfm_jax.signal import mixed_qam, qam

ORDERS = (2, 4, 6, 8)
MODULATION = jnp.asarray([0, 1, 2, 3, 3, 0], jnp.int32)

log_evidence = jax.jit(functools.partial(mixed_qam.log_evidence, orders=ORDERS))
demap = jax.jit(functools.partial(mixed_qam.demap, orders=ORDERS))


@functools.partial(jax.jit, static_argnames="n")
def received(n0, n=500):
    key_bits, key_noise = jax.random.split(jax.random.key(0))
    bits = jax.random.bernoulli(key_bits, 0.5, (MODULATION.size, n, 8)).astype(jnp.int8)
    symbols = mixed_qam.modulate(bits, MODULATION, ORDERS)
    noise = jax.random.normal(key_noise, symbols.shape, jnp.complex64)
    return bits, symbols, symbols + noise * n0**0.5


def test_modulate_uses_the_first_bits_of_each_frame():
    bits, symbols, _ = jax.device_get(received(1.0))
    modulate = jax.jit(qam.modulate)
    for i, modulation in enumerate(MODULATION):
        expected = modulate(bits[i, :, : ORDERS[modulation]])
        np.testing.assert_allclose(symbols[i], expected, atol=1e-7)


def test_bit_mask_counts_the_bits_in_use():
    mask = mixed_qam.bit_mask(MODULATION, ORDERS)
    assert mask.shape == (6, 8)
    np.testing.assert_array_equal(mask.sum(-1), [2, 4, 6, 8, 8, 2])
    np.testing.assert_array_equal(mixed_qam.bits_per_symbol_of(MODULATION, ORDERS), mask.sum(-1))
    np.testing.assert_array_equal(mask[1], [1, 1, 1, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("snr_db", [0, 10, 20, 30])
def test_llrs_are_those_of_each_order(snr_db):
    n0 = 10 ** (-snr_db / 10)
    y = np.asarray(received(n0)[2])
    llr = np.asarray(demap(y, np.full(y.shape, n0, np.float32), MODULATION).llr)
    assert llr.shape == (*y.shape, 8)
    for i, modulation in enumerate(MODULATION):
        m = ORDERS[modulation]
        expected = np.asarray(qam.demap(y[i], n0, m))
        got = llr[i, :, :m]
        inside = np.abs(expected) < mixed_qam.EXACT_NATS - 1
        np.testing.assert_allclose(got[inside], expected[inside], rtol=1e-4, atol=1e-4)
        # Where it is compressed, it stays on the right side.
        assert np.all(got[~inside] * np.sign(expected[~inside]) > mixed_qam.EXACT_NATS - 2)
        np.testing.assert_array_equal(llr[i, :, m:], 0)


def evidence_over_all_points(y, n0, m):
    """ln (1/M sum_s exp(-|y - s|^2/n0) / n0) in float64, for y and n0 of one shape."""
    labels = jnp.asarray(list(itertools.product((0, 1), repeat=m)))
    points = np.asarray(qam.modulate(labels)).astype(np.complex128)
    y, n0 = np.asarray(y, np.complex128), np.asarray(n0, np.float64)
    metric = -(np.abs(y[..., None] - points) ** 2) / n0[..., None]
    return special.logsumexp(metric, axis=-1) - np.log(2.0**m) - np.log(n0)


@pytest.mark.parametrize("snr_db", [-5, 10, 25])
def test_evidence_is_the_likelihood_of_the_modulation(snr_db):
    """For every frame and hypothesis, one at a time and all at once."""
    n0 = np.float32(10 ** (-snr_db / 10))
    y = received(n0, n=100)[2]
    together = np.asarray(log_evidence(y, n0))
    assert together.shape == (*y.shape, 4)
    for hypothesis, m in enumerate(ORDERS):
        modulation = np.full(MODULATION.shape, hypothesis, np.int32)
        evidence = demap(y, n0, modulation).log_evidence
        expected = evidence_over_all_points(y, np.full(y.shape, n0), m)
        np.testing.assert_allclose(evidence, expected, rtol=2e-5, atol=1e-4)
        np.testing.assert_allclose(together[..., hypothesis], expected, rtol=2e-5, atol=1e-4)
        np.testing.assert_allclose(together[..., hypothesis], evidence, rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("far", [1.0, 30.0, 1e3])
def test_evidence_is_finite_far_from_the_constellation_and_at_tiny_noise(far):
    """Two thousand exponents of up to -1e17 nats: none over- or underflows, and the relative error
    stays that of float32. The noise is one of each symbol, broadcast over the frames' first axis.
    """
    rng = np.random.default_rng(3)
    y = far * (rng.normal(size=(7, 300)) + 1j * rng.normal(size=(7, 300))).astype(np.complex64)
    n0 = np.geomspace(1e-11, 100.0, 300).astype(np.float32)
    evidence = np.asarray(log_evidence(y, n0))
    for hypothesis, m in enumerate(ORDERS):
        expected = evidence_over_all_points(y, np.broadcast_to(n0, y.shape), m)
        np.testing.assert_allclose(evidence[..., hypothesis], expected, rtol=1e-4, atol=1e-4)


def test_evidence_has_the_slope_of_its_formula():
    """In the noise and, symbol by symbol, in the symbols."""
    y = jnp.asarray([0.9 - 0.2j, -1.3 + 0.4j, 0.05 + 0.7j, 4.0 - 3.0j], jnp.complex64)

    def total(log_n0, shift, direction):
        return log_evidence(y + direction * shift, jnp.exp(log_n0)).sum()

    slopes = jax.jit(jax.grad(total, argnums=(0, 1)))

    def exact(log_n0, shift):
        n0 = np.full(4, np.exp(log_n0))
        return sum(evidence_over_all_points(np.asarray(y) + shift, n0, m) for m in ORDERS)

    step = 1e-4
    for n0 in (1e-3, 0.1, 2.0):
        at = np.log(n0)
        low, high = exact(at - step, 0.0), exact(at + step, 0.0)
        by_noise = np.sum(high - low) / (2 * step)
        for direction in (1.0, 1j):
            slope = slopes(at, np.zeros(4, np.float32), np.complex64(direction))
            np.testing.assert_allclose(slope[0], by_noise, rtol=1e-3)
            low, high = exact(at, -step * direction), exact(at, step * direction)
            np.testing.assert_allclose(slope[1], (high - low) / (2 * step), rtol=1e-2, atol=1e-2)


def test_jit_and_vmap_agree_with_eager():
    _, _, y = received(0.05, n=20)
    n0 = jnp.linspace(0.02, 0.3, 6)[:, None]
    eager = mixed_qam.demap(y, n0, MODULATION, ORDERS)
    jitted = demap(y, n0, MODULATION)
    halves = (x.reshape(2, 3, *x.shape[1:]) for x in (y, n0, MODULATION))
    mapped = jax.vmap(mixed_qam.demap, in_axes=(0, 0, 0, None))(*halves, ORDERS)
    joined = jax.tree.map(lambda x: x.reshape(6, *x.shape[2:]), mapped)
    for other in (jitted, joined):
        np.testing.assert_allclose(other.llr, eager.llr, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(other.log_evidence, eager.log_evidence, rtol=1e-4, atol=1e-4)


def test_a_program_of_it_holds_for_any_batch_size():
    (batch,) = export.symbolic_shape("batch")
    shapes = [((batch, 6), np.complex64), ((batch, 6), np.float32), ((batch,), np.int32)]
    specs = [jax.ShapeDtypeStruct(*spec) for spec in shapes]
    program = export.export(jax.jit(functools.partial(mixed_qam.demap, orders=(2, 4))))(*specs)
    assert [str(aval) for aval in program.out_avals] == ["float32[batch,6,4]", "float32[batch,6]"]


def test_gradients_are_those_of_each_order():
    """To float32's precision, as long as nothing is compressed."""
    chosen = (0, 2)  # QPSK, 64-QAM
    y = np.asarray(received(0.1, n=30)[2])[np.asarray(chosen)]
    n0 = np.full((2, 30), 0.1, np.float32)

    def slopes(llrs_of):
        def total(y, log_n0):
            return sum(jnp.sum(jnp.sin(llr)) for llr in llrs_of(y, jnp.exp(log_n0)))

        return jax.jit(jax.grad(total, argnums=(0, 1)))(y, np.log(n0))

    def apart(y, n0):
        return [qam.demap(y[i], n0[i], ORDERS[index]) for i, index in enumerate(chosen)]

    together = slopes(lambda y, n0: [mixed_qam.demap(y, n0, jnp.asarray(chosen), ORDERS).llr])
    for got, expected in zip(together, slopes(apart), strict=True):
        largest = np.abs(expected).max()
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * largest)


FAR = np.asarray([[0.9 - 0.2j, -1.3 + 0.4j, 0.05 + 0.7j]], np.complex64)


@jax.jit
def loss_and_slopes(log_n0, shift, of):
    def loss(log_n0, shift):
        result = mixed_qam.demap(FAR + shift, jnp.exp(log_n0), of[None], ORDERS)
        return jnp.sum(jax.nn.softplus(result.llr)) + jnp.sum(result.log_evidence)

    return jax.value_and_grad(loss, argnums=(0, 1))(log_n0, shift)


@pytest.mark.parametrize("n0", [1e-4, 1e-3, 1e-2, 0.1, 1.0])
def test_gradient_is_the_slope_also_far_from_the_constellation(n0):
    """A wrong gradient where LLRs are large lets an overconfident network never come back."""
    for of in np.arange(4, dtype=np.int32):
        at, step = np.float32(np.log(n0)), np.float32(1e-2)
        slope, across = loss_and_slopes(at, 0.0, of)[1]
        high, low = (loss_and_slopes(at + side * step, 0.0, of)[0] for side in (1, -1))
        np.testing.assert_allclose(slope, (high - low) / (2 * step), rtol=0.02, atol=0.02)
        step = 1e-3 * n0**0.5
        right, left = (loss_and_slopes(at, side * step, of)[0] for side in (1, -1))
        np.testing.assert_allclose(across, (right - left) / (2 * step), rtol=0.03, atol=0.3)


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_gradients_do_not_hang_on_how_a_compiler_rounds(size):
    """Behind a channel and noise of the network's own, compiled with care and without: metrics
    that are computed twice are not the same to the last bit, of symbols of 0 (whose levels tie) as
    of others."""
    rng, shape = np.random.default_rng(4), (16, 24)
    modulation = jnp.asarray(rng.integers(0, 2, 16), jnp.int32)
    y, h = (rng.normal(size=shape) + 1j * rng.normal(size=shape) for _ in range(2))
    y, log_noise = (size * y).astype(np.complex64), rng.normal(-3.0, 1.0, shape)

    def total(h, log_noise):
        gain = jnp.square(h.real) + jnp.square(h.imag) + 1e-4
        symbols, n0 = y * jnp.conj(h) / gain, jnp.exp(log_noise) / gain
        return jnp.sum(jnp.sin(mixed_qam.demap(symbols, n0, modulation, (2, 4)).llr))

    at = jnp.asarray(h, jnp.complex64), jnp.asarray(log_noise, jnp.float32)
    slope = jax.jit(jax.grad(total, argnums=(0, 1))).lower(*at)
    careful = slope.compile()(*at)
    careless = slope.compile(compiler_options={"xla_backend_optimization_level": "0"})(*at)
    for one, other in zip(careful, careless, strict=True):
        assert np.all(np.isfinite(other))
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-3 * np.abs(one).max())


def test_gradients_are_finite_where_llrs_saturate():
    y = jnp.asarray([[3 + 3j, 0.1 - 5j], [1e-3 + 1j, -2 + 0j]], jnp.complex64)

    def total(n0):
        return jnp.sum(mixed_qam.demap(y, n0, jnp.asarray([0, 3]), ORDERS).llr)

    slope = jax.jit(jax.grad(total))
    for n0 in (1e-4, 1e-2, 10.0):
        assert np.isfinite(slope(n0))
