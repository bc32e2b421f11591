"""GPTQ's integers against the published algorithm's, and against qwix's.

The reference follows Algorithm 1 of arXiv 2210.17323 in float64, block by block, with the authors'
settings: scales of the symmetric range over 2^b - 1 steps (our ``half_step``), damping by 1 % of
the mean diagonal, no reordering. Groups are as long as blocks, so that a group's scale is taken of
weights that all errors before it have reached. Under ``half_step`` such a scale puts a weight of
its own group on a rounding tie, which float32 and float64 break differently; so groups are held
against the reference with the ``restricted`` scale, whose ties are elsewhere.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.compress import correlated
from wfm_jax.compress import gptq_with_report, quantize_integers

X = correlated.inputs(96, 1024)
W = correlated.kernel(96, 40)
H = jnp.asarray(X.T @ X)


def published(w, hessian, bits, *, block=16, group_size=None, steps=None):
    """Integers [in, out] of a kernel [in, out]; ``steps`` is the number of steps in the range."""
    w = np.asarray(w, np.float64).T.copy()  # rows are outputs, as in the paper
    hessian = 2 * np.asarray(hessian, np.float64)
    hessian += 0.01 * np.mean(np.diag(hessian)) * np.eye(len(hessian))
    inverse = np.linalg.cholesky(np.linalg.inv(hessian)).T
    half = 2 ** (bits - 1)
    steps = 2**bits - 1 if steps is None else steps

    def scale_of(columns):
        return 2 * np.abs(columns).max(axis=1) / steps

    integers = np.zeros(w.shape, int)
    scale = scale_of(w)
    for start in range(0, w.shape[1], block):
        if group_size is not None and start % group_size == 0:
            scale = scale_of(w[:, start : start + group_size])
        errors = np.zeros((len(w), block))
        for j in range(start, start + block):
            lowest = -half if steps % 2 else 1 - half
            q = np.clip(np.round(w[:, j] / scale), lowest, half - 1)
            integers[:, j] = q
            errors[:, j - start] = (w[:, j] - scale * q) / inverse[j, j]
            within = slice(j, start + block)
            w[:, within] -= np.outer(errors[:, j - start], inverse[j, within])
        rest = slice(start + block, None)
        w[:, rest] -= errors @ inverse[start : start + block, rest]
    return integers.T


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_integers_are_the_published_ones(bits):
    found = gptq_with_report(W, H, bits, bound="half_step")
    np.testing.assert_array_equal(found.integers, published(W, H, bits))
    nearest = quantize_integers(W, bits, found.scale, bound="half_step")
    assert (found.integers != nearest).mean() > 0.2
    errors = [correlated.output_error(X, W, q * found.scale) for q in (found.integers, nearest)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_restricted_integers_and_groups_are_the_published_ones(bits):
    steps = 2**bits - 2
    ours = gptq_with_report(W, H, bits).integers
    np.testing.assert_array_equal(ours, published(W, H, bits, steps=steps))
    ours = gptq_with_report(W, H, bits, group_size=16).integers
    np.testing.assert_array_equal(ours, published(W, H, bits, group_size=16, steps=steps))


def test_at_eight_bits_float32_differs_by_single_steps_of_a_few_weights():
    ours = np.asarray(gptq_with_report(W, H, 8, bound="half_step").integers)
    difference = ours - published(W, H, 8)
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.003


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_every_weight_is_the_best_given_those_before_it(bits):
    """The closed form behind the algorithm: with the rows up to i rounded, the rest is where a
    least squares solution would put it, and row i is that, rounded."""
    rows = 12
    found = gptq_with_report(W[:rows], H[:rows, :rows], bits)
    w, q = np.asarray(W[:rows], np.float64), np.asarray(found.weights, np.float64)
    moment = np.asarray(H[:rows, :rows], np.float64)
    moment = moment + 0.01 * np.mean(np.diag(moment)) * np.eye(rows)
    for i in range(rows):
        best = w[i:] - np.linalg.solve(moment[i:, i:], moment[i:, :i] @ (q[:i] - w[:i]))
        expected = quantize_integers(jnp.asarray(best[:1], jnp.float32), bits, found.scale)
        np.testing.assert_array_equal(found.integers[i : i + 1], expected)


def test_integers_are_those_of_qwix():
    core = pytest.importorskip("qwix.contrib.gptq_core", reason="qwix is missing")
    qarray = pytest.importorskip("qwix._src.core.qarray")
    w, hessian = W[:16, :8], H[:16, :16]
    how = qarray.HowToQuantize(qtype=jnp.int4, channelwise_axes=(0,), calibration_method="absmax")
    theirs, _ = jax.jit(lambda w, hessian: core.quantize_weight(w, hessian, how))(w.T, hessian)
    ours = gptq_with_report(w, hessian, 4, bound="half_step")
    np.testing.assert_array_equal(ours.integers, theirs.qvalue.T.astype(jnp.int32))
    np.testing.assert_allclose(ours.scale, theirs.scale.T, rtol=1e-6)
