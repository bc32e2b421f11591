import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

from wfm_jax.compress import (
    QuantizeState,
    fake_quant,
    flatten,
    lsq_apply,
    lsq_fake_quant,
    lsq_init,
    lsq_scale,
    quantize,
)

RNG = np.random.default_rng(3)
W = jnp.asarray(RNG.normal(size=(32, 12)), jnp.float32)
PARAMS = {
    "dense": {"kernel": W, "bias": jnp.zeros(12)},
    "head": {"kernel": W.T.astype(jnp.bfloat16)},
    "norm": jnp.ones(12),
}


def published_gradient(w, scale, bits, bound):
    """Section 2.1 of the paper, weight by weight in float64; ``scale`` holds one per column."""
    lowest = 2 ** (bits - 1) - (bound == "restricted")
    highest = 2 ** (bits - 1) - 1
    to_w, to_scale = np.zeros(w.shape), np.zeros(w.shape[1])
    for (i, j), weight in np.ndenumerate(np.asarray(w, np.float64)):
        v = weight / scale[j]
        if v <= -lowest:
            to_scale[j] += -lowest
        elif v >= highest:
            to_scale[j] += highest
        else:
            to_w[i, j] = 1.0
            to_scale[j] += np.round(v) - v
    return to_w, to_scale / np.sqrt(w.shape[0] * highest)


@pytest.mark.parametrize("bound", ["restricted", "half_step"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gradients_are_those_published(bits, bound):
    scale = lsq_scale(W, bits) / 2
    value, (to_w, to_scale) = jax.value_and_grad(
        lambda w, s: jnp.sum(lsq_fake_quant(w, s, bits, bound=bound)), (0, 1)
    )(W, scale)
    expected_w, expected_scale = published_gradient(W, np.asarray(scale[0]), bits, bound)
    np.testing.assert_array_equal(to_w, expected_w)
    np.testing.assert_allclose(to_scale[0], expected_scale, atol=1e-5)
    assert float(value) == float(jnp.sum(fake_quant(W, bits, bound=bound, scale=scale)))
    if bits <= 4:
        assert 0 < (expected_w == 0).sum() < W.size


def test_gradient_of_clipped_weights_is_the_derivative():
    """Where everything is clipped the value is linear in the scale; the factor is 1 / sqrt(n Q)."""
    w = 100 * jnp.sign(W)
    scale = jnp.full((4, 12), 0.3)  # eight weights to a scale
    towards = jnp.asarray(RNG.normal(size=W.shape), jnp.float32)

    def value(s):
        return jnp.sum(towards * lsq_fake_quant(w, s, 3, bound="restricted"))

    derivative = jnp.sum((towards * 3 * jnp.sign(W)).reshape(4, 8, 12), axis=1)
    np.testing.assert_allclose(jax.grad(value)(scale), derivative / np.sqrt(8 * 3), rtol=1e-5)
    moved = scale.at[1, 5].add(0.01)
    slope = (value(moved) - value(scale)) / 0.01
    assert float(slope) == pytest.approx(float(derivative[1, 5]), rel=1e-3)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_initial_scale(bits):
    n = 1 << 16
    w = jnp.asarray(np.random.default_rng(bits).normal(size=(n, 1)), jnp.float32)
    expected = 2 * np.sqrt(2 / np.pi) / np.sqrt(2 ** (bits - 1) - 1)
    spread = np.sqrt(np.pi / 2 - 1) / np.sqrt(n)  # of a mean of magnitudes, relative
    assert float(lsq_scale(w, bits)[0, 0]) == pytest.approx(expected, rel=5 * spread)
    assert lsq_scale(W, bits, axis=None).shape == (1, 1)
    assert lsq_scale(W, bits, group_size=8).shape == (4, 12)


def test_learning_the_scale_finds_the_balance_of_rounding_and_clipping():
    """Gradient descent on the squared error ends where its published gradient is zero.

    That is where the squares of the rounded add up to what is clipped, times the limit; there the
    error is below that of the initial scale, and within a quarter of the least there is.
    """
    w = jnp.asarray(np.random.default_rng(0).normal(size=(4096, 1)), jnp.float32)

    def error(scale):
        return jnp.mean((lsq_fake_quant(w, scale, 3) - w) ** 2)

    start = lsq_scale(w, 3)
    scale = start
    step = jax.jit(lambda s: s - 5.0 * jax.grad(error)(s))
    for _ in range(300):
        scale = step(scale)
    v = np.asarray(w / scale)
    inside = (v > -4) & (v < 3)
    limit = np.clip(v, -4, 3)
    balance = np.where(inside, (np.round(v) - v) ** 2, limit * (limit - v))
    assert abs(balance.mean()) < 0.02 * np.abs(balance).mean()
    least = min(float(error(jnp.full((1, 1), s))) for s in np.linspace(0.2, 1.2, 101))
    assert float(error(scale)) < 0.9 * float(error(start))
    assert float(error(scale)) < 1.25 * least


def test_training_scales_too_fits_better_than_weights_alone():
    """A linear layer at 2 bits, from the same start with the same steps."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(256, 32)), jnp.float32)
    wanted = x @ W

    @jax.jit
    def train(train_scales):
        def loss(trained):
            params, scales = trained
            return jnp.mean((x @ lsq_apply(params, scales, 2)["kernel"] - wanted) ** 2)

        def step(carry, _):
            trained, state = carry
            value, grads = jax.value_and_grad(loss)(trained)
            grads = (grads[0], jax.tree.map(lambda g: g * train_scales, grads[1]))
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(trained, updates), state), value

        optimizer = optax.adam(3e-3)
        start = ({"kernel": W}, lsq_init({"kernel": W}, "*", 2))
        _, losses = jax.lax.scan(step, (start, optimizer.init(start)), length=400)
        return losses

    fixed, learned = train(0.0), train(1.0)
    assert float(fixed[0]) == float(learned[0])
    assert float(learned[-50:].mean()) < 0.9 * float(fixed[-50:].mean())


def test_apply_snaps_the_chosen_kernels_and_leaves_the_rest():
    scales = lsq_init(PARAMS, "*", 4)
    assert jax.tree.map(jnp.shape, scales) == {"dense/kernel": (1, 12), "head/kernel": (1, 32)}
    seen = lsq_apply(PARAMS, scales, 4)
    chex.assert_trees_all_equal_shapes_and_dtypes(seen, PARAMS)
    assert seen["dense"]["bias"] is PARAMS["dense"]["bias"]
    assert seen["norm"] is PARAMS["norm"]
    for name in ("dense", "head"):
        w, scale = PARAMS[name]["kernel"], scales[f"{name}/kernel"]
        np.testing.assert_array_equal(
            seen[name]["kernel"], fake_quant(w, 4, bound="half_step", scale=scale)
        )
    grads = jax.grad(
        lambda p, s: sum(
            jnp.sum(w.astype(jnp.float32)) for w in jax.tree.leaves(lsq_apply(p, s, 4))
        ),
        (0, 1),
    )(PARAMS, scales)
    chex.assert_trees_all_equal_shapes_and_dtypes(grads, (PARAMS, scales))
    assert all(bool(jnp.any(g != 0)) for g in jax.tree.leaves(grads))


def linen_params():
    return nn.Sequential([nn.Dense(12), nn.LayerNorm()]).init(jax.random.key(0), W.T)


def nnx_params():
    rngs = nnx.Rngs(0)
    return nnx.state(
        nnx.Sequential(nnx.Linear(32, 12, rngs=rngs), nnx.LayerNorm(12, rngs=rngs)), nnx.Param
    )


@pytest.mark.parametrize("params", [linen_params(), nnx_params()], ids=["linen", "nnx"])
def test_any_tree_of_parameters_will_do(params):
    scales = lsq_init(params, "*kernel", 3)
    seen = jax.jit(lsq_apply)(params, scales, 3)
    assert jax.tree.structure(seen) == jax.tree.structure(params)
    flat, snapped = flatten(params), flatten(seen)
    (kernel,) = scales
    for path, leaf in flat.items():
        assert bool(jnp.all(snapped[path] == leaf)) == (path != kernel)
    snapped_once = fake_quant(flat[kernel], 3, bound="half_step", scale=scales[kernel])
    np.testing.assert_array_equal(snapped[kernel], snapped_once)


def test_what_was_learnt_is_a_state_of_quantize():
    scales = lsq_init(PARAMS, "dense/*", 3)
    chosen = {"dense/kernel": W}
    state = QuantizeState(scales, {"dense/kernel": jnp.float32(3)})
    seen = quantize(3, bound="half_step").apply(chosen, state)
    chex.assert_trees_all_equal(seen, lsq_apply(chosen, scales, 3))
    chex.assert_trees_all_equal(lsq_apply(seen, scales, 3), seen)


def test_vmap_over_bits_and_scales_equals_the_loop():
    def run(bits):
        scales = lsq_init(PARAMS, "*", bits)

        def loss(scales):
            return jnp.sum(lsq_apply(PARAMS, scales, bits)["dense"]["kernel"] ** 3)

        return scales, lsq_apply(PARAMS, scales, bits)["dense"]["kernel"], jax.grad(loss)(scales)

    many = jax.jit(jax.vmap(run))(jnp.array([2, 4, 8, 32]))
    for i, bits in enumerate((2, 4, 8, 32)):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], many)
        chex.assert_trees_all_close(one, run(bits), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(many[1][3], W)
    assert not any(bool(g[3].any()) for g in many[2].values())


def test_forward_mode_agrees_with_reverse_mode():
    scale = lsq_scale(W, 3, group_size=8)
    _, moved = jax.jvp(lambda s: lsq_fake_quant(W, s, 3), (scale,), (jnp.ones_like(scale),))
    gradient = jax.grad(lambda s: jnp.sum(lsq_fake_quant(W, s, 3)))(scale)
    assert float(moved.sum()) == pytest.approx(float(gradient.sum()), rel=1e-4)


def test_a_scale_of_zero_gives_zeros_and_grows_again():
    w = jnp.array([[0.5], [0.25], [0.0]])
    zero = jnp.zeros((1, 1))
    assert not bool(lsq_fake_quant(w, zero, 3).any())

    def error(w, scale):
        return jnp.sum((lsq_fake_quant(w, scale, 3) - w) ** 2)

    to_w, to_scale = jax.grad(error, (0, 1))(w, zero)
    assert bool(jnp.isfinite(to_w).all())
    assert float(to_scale[0, 0]) < 0  # descent makes it positive
    assert float(lsq_init({"k": jnp.zeros((4, 2))}, "*", 4)["k"].sum()) == 0


def test_rejects_bad_arguments():
    with pytest.raises(ValueError, match="matches no leaf; the nearest are dense/kernel"):
        lsq_init(PARAMS, "dnse/kernel", 4)
    with pytest.raises(ValueError, match="bits must be 2 to 8"):
        lsq_init(PARAMS, "*", 1)
    with pytest.raises(ValueError, match="bits must be 2 to 8"):
        lsq_fake_quant(W, lsq_scale(W, 4), 12)
    with pytest.raises(ValueError, match="bound must be"):
        lsq_fake_quant(W, lsq_scale(W, 4), 4, bound="none")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="group_size=5 does not divide"):
        lsq_init(PARAMS, "*", 4, group_size=5)
    with pytest.raises(ValueError, match="scales for paths that params lack: dance/kernel"):
        lsq_apply(PARAMS, {"dance/kernel": jnp.ones((1, 12))}, 4)
    with pytest.raises(ValueError, match="does not tile"):
        lsq_apply(PARAMS, {"dense/kernel": jnp.ones((5, 12))}, 4)
