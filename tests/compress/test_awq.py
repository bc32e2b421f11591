import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.compress import correlated
from wfm_jax.compress import (
    LeafStats,
    absmax_scale,
    awq,
    awq_quantize,
    chain,
    fake_quant,
    magnitude_prune,
    mse_scale,
)
from wfm_jax.compress.awq import ALPHAS, input_scale, snap

KEY = jax.random.key(8)
X = correlated.inputs(spread=1.0)
W = correlated.kernel()
STATS = correlated.statistics(X)


@pytest.mark.parametrize(
    "scale, bound, group_size",
    [(absmax_scale, "restricted", None), (mse_scale, "half_step", 8)],
)
def test_outputs_are_closer_than_those_of_rounding_to_nearest(scale, bound, group_size):
    for bits in (2, 3, 4):
        found = awq(W, STATS, bits, scale=scale, group_size=group_size, bound=bound)
        grid = scale(W, bits, group_size=group_size, bound=bound)
        nearest = correlated.output_error(X, W, fake_quant(W, bits, bound=bound, scale=grid))
        ours = correlated.output_error(X, W, found.weights)
        assert ours < 0.9 * nearest
        assert float(found.error) == pytest.approx(ours**2, rel=1e-3)


def test_the_exponent_is_the_best_of_all():
    errors = []
    for alpha in ALPHAS:
        s = np.asarray(input_scale(STATS.absolute, alpha), np.float64)
        snapped = np.asarray(fake_quant(W * s.astype(np.float32), 3), np.float64) / s
        errors.append(correlated.output_error(X, W, snapped))
    found = awq(W, STATS, 3)
    assert float(found.alpha) == pytest.approx(ALPHAS[np.argmin(errors)])
    assert 0 < float(found.alpha) < 1
    assert float(found.error) == pytest.approx(min(errors) ** 2, rel=1e-3)


def test_input_scales_are_powers_of_the_mean_size():
    np.testing.assert_array_equal(input_scale(STATS.absolute, 0.0), np.ones((32, 1)))
    s = np.asarray(input_scale(STATS.absolute, 0.5))
    ratio = s / np.sqrt(np.abs(X).mean(0))[:, None]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=2**-10)
    assert s.max() * s.min() == pytest.approx(1, rel=2**-9)
    np.testing.assert_array_equal(s, s.astype(np.float16))
    silent = input_scale(jnp.array([1.0, 0.0, 4.0, 1e-12]), 1.0)
    assert silent[1, 0] / silent[0, 0] == pytest.approx(5 / 3, rel=1e-3)  # the mean of the others
    assert bool(jnp.isfinite(silent).all() & (silent > 0).all())


def test_inputs_of_one_size_are_rounded_to_nearest():
    even = STATS._replace(absolute=jnp.full(32, 7.0))
    found = awq(W, even, 3)
    assert found.alpha == 0
    np.testing.assert_array_equal(found.weights, fake_quant(W, 3))


def test_traced_bits_equal_static_ones_and_sixteen_leave_weights_alone():
    bits = jnp.array([2, 3, 4, 8, 16, 32])
    many = jax.jit(jax.vmap(lambda b: awq(W, STATS, b)))(bits)
    for i, b in enumerate(bits):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        chex.assert_trees_all_close(one, awq(W, STATS, int(b)), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(many.weights[-2:], jnp.stack([W, W]))
    np.testing.assert_array_equal(many.error[-2:], [0, 0])


@pytest.mark.parametrize("bound, dtype", [("restricted", jnp.float32), ("half_step", jnp.bfloat16)])
def test_snapped_weights_stay(bound, dtype):
    w = W.astype(dtype)
    found = awq(w, STATS, 4, bound=bound, group_size=8)
    again = snap(found.weights, 4, found.scale, found.inputs, bound=bound)
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, found.weights)


PARAMS = {"kernel": W, "bias": jnp.ones(24)}


def stage(transform, params=PARAMS, stats=None):
    stats = {"kernel": STATS} if stats is None else stats
    return transform.update(params, transform.init(params, key=KEY), stats)


def test_the_transform_stores_scales_and_snaps():
    transform = awq_quantize(3, scale="absmax", min_bits=4)
    params, state = stage(transform)
    assert params is PARAMS
    found = awq(W, STATS, 4)
    chex.assert_trees_all_equal(state.inputs["kernel"], found.inputs)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, transform.init(PARAMS, key=KEY))
    snapped = transform.apply(params, state)
    np.testing.assert_array_equal(snapped["kernel"], found.weights)
    assert snapped["bias"] is PARAMS["bias"]


def test_after_pruning_masks_stay():
    transform = chain(magnitude_prune(0.75), awq_quantize(4))
    params = {"kernel": W}
    latent, state = stage(transform, params)
    snapped = transform.apply(latent, state)["kernel"]
    assert not bool(snapped[~state[0].keep["kernel"]].any())


def test_statistics_are_needed():
    with pytest.raises(ValueError, match="'kernel' needs statistics: gather them with"):
        stage(awq_quantize(4), stats={})
    with pytest.raises(ValueError, match=r"params\['kernel'\] has shape \(32, 2, 12\)"):
        stage(awq_quantize(4), {"kernel": W.reshape(32, 2, 12)})
    with pytest.raises(ValueError, match=r"params\['kernel'\] holds NaN"):
        stage(awq_quantize(4), {"kernel": W.at[0, 0].set(jnp.nan)})
    with pytest.raises(ValueError, match=r"statistics of \[2, 2\] do not fit w \[32, 24\]"):
        awq(W, LeafStats(jnp.float32(1), jnp.eye(2), jnp.ones(2)), 4)
    with pytest.raises(ValueError, match="bits must be 2 to 8"):
        awq(W, STATS, 12)
