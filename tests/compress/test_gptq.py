"""GPTQ's laws; that its integers are the published ones is a test among the oracles."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.compress import correlated
from wfm_jax.compress import (
    LeafStats,
    absmax_scale,
    chain,
    fake_quant,
    gptq,
    gptq_quantize,
    gptq_with_report,
    magnitude_prune,
    matching,
    mse_scale,
    quantize_integers,
)

KEY = jax.random.key(3)
X = correlated.inputs()
W = correlated.kernel()
H = jnp.asarray(X.T @ X)
BOUNDS = ("restricted", "half_step")


def error(other):
    return correlated.output_error(X, W, other)


@pytest.mark.parametrize(
    "scale, bound, group_size",
    [(absmax_scale, BOUNDS[0], None), (absmax_scale, BOUNDS[1], 8), (mse_scale, BOUNDS[1], None)],
)
def test_outputs_are_closer_than_those_of_rounding_to_nearest(scale, bound, group_size):
    for bits in (2, 3, 4):
        settings = {"group_size": group_size, "bound": bound}
        nearest = fake_quant(W, bits, bound=bound, scale=scale(W, bits, **settings))
        assert error(gptq(W, H, bits, scale=scale, **settings)) < 0.8 * error(nearest)


@pytest.mark.parametrize("bound, group_size", [(BOUNDS[0], None), (BOUNDS[1], 8)])
def test_uncorrelated_inputs_are_rounded_to_nearest(bound, group_size):
    """Nothing can make up for anything."""
    diagonal = jnp.diag(jnp.arange(1.0, 33.0))
    np.testing.assert_array_equal(
        gptq(W, diagonal, 3, bound=bound, group_size=group_size),
        fake_quant(W, 3, bound=bound, group_size=group_size),
    )


def test_the_second_of_two_inputs_makes_up_for_the_first():
    """In closed form: the best w_2 given the rounded w_1 is w_2 + H_12 / H_22 (w_1 - q_1)."""
    w, moment = W[:2], jnp.array([[2.0, 0.6], [0.6, 0.5]])
    scale = absmax_scale(w, 4)
    first = fake_quant(w, 4, scale=scale)[0]
    best = w[1] + 0.6 / 0.5 * (w[0] - first)
    expected = fake_quant(jnp.stack([first, best]), 4, scale=scale)
    np.testing.assert_array_equal(gptq(w, moment, 4, damping=0.0), expected)


@pytest.mark.parametrize("bound, group_size", [(BOUNDS[0], None), (BOUNDS[1], 8)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_weights_are_integers_times_the_stored_scale(bound, dtype, group_size):
    w = W.astype(dtype)
    found = gptq_with_report(w, H, 3, bound=bound, group_size=group_size)
    assert found.weights.dtype == dtype
    assert found.scale.shape == (32 // (group_size or 32), 24)
    assert found.integers.min() >= (-3 if bound == "restricted" else -4)
    assert found.integers.max() <= 3
    np.testing.assert_array_equal(
        fake_quant(found.weights, 3, bound=bound, scale=found.scale), found.weights
    )
    np.testing.assert_array_equal(
        quantize_integers(found.weights, 3, found.scale, bound=bound), found.integers
    )


def test_the_scale_of_a_group_is_taken_when_its_turn_comes():
    scale = gptq_with_report(W, H, 3, group_size=8).scale
    np.testing.assert_array_equal(scale[0], absmax_scale(W[:8], 3)[0])
    assert bool((scale[1:] != absmax_scale(W, 3, group_size=8)[1:]).mean() > 0.9)
    np.testing.assert_array_equal(gptq_with_report(W, H, 3).scale, absmax_scale(W, 3))


def test_the_scale_of_the_moment_does_not_matter():
    for factor in (2.0**-40, 2.0, 2.0**40):
        np.testing.assert_array_equal(gptq(W, factor * H, 3), gptq(W, H, 3))


@pytest.mark.parametrize("group_size", [None, 8])
def test_traced_bits_equal_static_ones_and_sixteen_leave_weights_alone(group_size):
    bits = jnp.array([2, 3, 4, 8, 16, 32])
    many = jax.jit(jax.vmap(lambda b: gptq(W, H, b, group_size=group_size)))(bits)
    # Scales of later groups depend on sums, which two programs may add up in two orders.
    rounding = 0 if group_size is None else 1e-6
    for one, b in zip(many, bits, strict=True):
        np.testing.assert_allclose(one, gptq(W, H, int(b), group_size=group_size), rtol=rounding)
    np.testing.assert_array_equal(many[-2:], jnp.stack([W, W]))


def test_vmaps_over_kernels_and_moments():
    kernels = jnp.stack([W, 2 * W[::-1]])
    moments = jnp.stack([H, H + jnp.diag(jnp.diag(H))])
    many = jax.vmap(lambda w, h: gptq(w, h, 3))(kernels, moments)
    for i in range(2):
        np.testing.assert_allclose(many[i], gptq(kernels[i], moments[i], 3), rtol=1e-6)


def test_what_a_mask_removes_stays_zero_and_is_made_up_for():
    keep = jnp.abs(W) > 0.7
    scale = absmax_scale(jnp.where(keep, W, 0), 4)
    masked = gptq_with_report(W, H, 4, keep=keep)
    assert not bool(masked.weights[~keep].any())
    np.testing.assert_array_equal(masked.scale, scale)
    assert error(masked.weights) < 0.9 * error(jnp.where(keep, gptq(W, H, 4), 0))
    assert error(masked.weights) < 0.9 * error(jnp.where(keep, W, 0))  # which is not quantized


def test_singular_moments_are_damped_and_that_is_reported():
    few = jnp.asarray(X[:5].T @ X[:5])  # rank 5 of 32
    published = gptq_with_report(W, few, 3)
    assert published.damping == jnp.float32(0.01)
    forced = gptq_with_report(W, few, 3, damping=0.0)
    assert 0 < forced.damping < 0.01
    for found in (published, forced):
        assert bool(jnp.isfinite(found.weights).all())
        nearest = correlated.output_error(X[:5], W, fake_quant(W, 3))
        assert correlated.output_error(X[:5], W, found.weights) < nearest
    regular = gptq_with_report(W, H + 0.1 * jnp.diag(jnp.diag(H)), 3, damping=0.0)
    assert regular.damping == 0
    strong = gptq_with_report(W, H, 3, damping=1e6)  # drowns all correlations
    np.testing.assert_array_equal(strong.weights, fake_quant(W, 3))


def test_inputs_that_were_always_zero():
    x = X.copy()
    x[:, [3, 17]] = 0
    moment = jnp.asarray(x.T @ x)
    zero = gptq_with_report(W, moment, 3)
    assert jnp.flatnonzero(zero.dead).tolist() == [3, 17]
    assert not bool(zero.weights[jnp.array([3, 17])].any())
    nearest = gptq_with_report(W, moment, 3, dead="nearest")
    expected = fake_quant(W, 3)
    np.testing.assert_array_equal(nearest.weights[zero.dead], expected[zero.dead])
    np.testing.assert_array_equal(nearest.weights[~zero.dead], zero.weights[~zero.dead])
    np.testing.assert_array_equal(gptq(W, 0 * H, 3, dead="nearest"), expected)


def test_rejects_what_does_not_fit():
    with pytest.raises(ValueError, match="bits must be 2 to 8"):
        gptq(W, H, 12)
    with pytest.raises(ValueError, match=r"hessian must be \[in, in\] = \[32, 32\]"):
        gptq(W, H[:8, :8], 4)
    with pytest.raises(ValueError, match="group_size=5 does not divide"):
        gptq(W, H, 4, group_size=5)
    with pytest.raises(ValueError, match="damping must be zero or positive, got -1"):
        gptq(W, H, 4, damping=-1)
    with pytest.raises(ValueError, match="dead must be 'zero' or 'nearest'"):
        gptq(W, H, 4, dead="alive")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"keep of shape \(32,\) does not fit"):
        gptq(W, H, 4, keep=jnp.ones(32, bool))
    with pytest.raises(ValueError, match="floating-point kernel"):
        gptq(W[0], H, 4)
    with pytest.raises(ValueError, match="w holds NaN"):
        gptq(W.at[0, 0].set(jnp.nan), H, 4)
    with pytest.raises(ValueError, match="hessian holds NaN"):
        gptq(W, H.at[0, 0].set(jnp.nan), 4)


PARAMS = {"block": {"kernel": W, "bias": jnp.ones(24)}, "head": {"kernel": 2 * W}}
STATS = dict.fromkeys(("block/kernel", "head/kernel"), correlated.statistics(X))


def stage(transform, params=PARAMS, stats=STATS):
    return transform.update(params, transform.init(params, key=KEY), stats)


def test_the_transform_replaces_kernels_and_leaves_the_rest():
    transform = gptq_quantize(3, scale="absmax")
    new, state = stage(transform)
    np.testing.assert_array_equal(new["block"]["kernel"], gptq(W, H, 3))
    assert new["block"]["bias"] is PARAMS["block"]["bias"]
    chex.assert_trees_all_equal(transform.apply(new, state), new)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, transform.init(PARAMS, key=KEY))
    assert float(state.damping["head/kernel"]) == pytest.approx(0.01)
    assert int(state.n_dead["head/kernel"]) == 0


def test_within_matching_statistics_keep_their_full_names():
    new, state = stage(matching("head/*", gptq_quantize(3, scale="absmax")))
    assert new["block"]["kernel"] is W
    assert set(state.scale) == {"head/kernel"}


def test_after_pruning_masks_stay():
    params = {"block": {"kernel": W}}
    new, (pruned, _) = stage(chain(magnitude_prune(0.5), gptq_quantize(8, scale="absmax")), params)
    keep = pruned.keep["block/kernel"]
    masked = jnp.where(keep, W, 0)
    np.testing.assert_array_equal(new["block"]["kernel"], gptq(masked, H, 8, keep=keep))
    assert not bool(new["block"]["kernel"][~keep].any())
    filled, _ = stage(
        gptq_quantize(8, scale="absmax", keep_zeros=False), {"block": {"kernel": masked}}
    )
    assert bool(filled["block"]["kernel"][~keep].any())


def test_min_bits_is_a_floor():
    new, state = stage(gptq_quantize(2, min_bits=8, scale="absmax"))
    assert float(state.bits["head/kernel"]) == 8
    np.testing.assert_array_equal(new["head"]["kernel"], gptq(2 * W, H, 8))


def test_statistics_are_needed():
    with pytest.raises(ValueError, match="'block/kernel' needs statistics: gather them with"):
        stage(gptq_quantize(4), stats=None)
    with pytest.raises(ValueError, match="'head/kernel' needs statistics"):
        stage(gptq_quantize(4), stats={"block/kernel": STATS["block/kernel"]})
    other = LeafStats(jnp.float32(9), jnp.eye(24), jnp.ones(24))
    with pytest.raises(ValueError, match=r"\[32, 24\] needs statistics of its 32 inputs"):
        stage(gptq_quantize(4), stats=dict.fromkeys(STATS, other))
    with pytest.raises(ValueError, match="no rows were seen"):
        stage(gptq_quantize(4), stats=jax.tree.map(jnp.zeros_like, STATS))
    with pytest.raises(ValueError, match=r"params\['kernel'\] has shape \(32, 2, 12\)"):
        stage(gptq_quantize(4), {"kernel": W.reshape(32, 2, 12)})
    broken = {"block": {"kernel": W.at[0, 0].set(jnp.nan)}}
    with pytest.raises(ValueError, match=r"params\['block/kernel'\] holds NaN"):
        stage(gptq_quantize(4), broken)
