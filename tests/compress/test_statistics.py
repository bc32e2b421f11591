"""What enters kernels against X^T X by hand, for every layer library; gradients in closed form."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from wfm_jax.compress import (
    flatten,
    gather_statistics,
    gradient_statistics,
    input_statistics,
    mean_statistics,
    merge_statistics,
)

RNG = np.random.default_rng(7)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


X = normal(5, 3, 6)  # 15 rows


class LinenModel(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(4, name="b")(nn.LayerNorm()(nn.relu(nn.Dense(8, name="a")(x))))


class NNXModel(nnx.Module):
    def __init__(self, rngs):
        self.a, self.b = nnx.Linear(6, 8, rngs=rngs), nnx.Linear(8, 4, rngs=rngs)
        self.norm = nnx.LayerNorm(8, rngs=rngs)

    def __call__(self, x):
        return self.b(self.norm(jax.nn.relu(self.a(x))))


def linen():
    model: Any = LinenModel()
    return model.apply, model.init(jax.random.key(0), X)


def nnx_():
    graph, state = nnx.split(NNXModel(nnx.Rngs(0)))
    return lambda state, x: nnx.merge(graph, state)(x), state


def plain():
    def apply(params, x):
        hidden = jax.nn.relu(x @ params["a"]["kernel"] + params["a"]["bias"])
        return jax.nn.standardize(hidden, epsilon=1e-6) @ params["b"]["kernel"]

    return apply, {"a": {"kernel": normal(6, 8), "bias": normal(8)}, "b": {"kernel": normal(8, 4)}}


def entered_by_hand(params):
    flat = {path.removeprefix("params/"): leaf for path, leaf in flatten(params).items()}
    hidden = np.maximum(np.asarray(X) @ flat["a/kernel"] + flat["a/bias"], 0)
    centred = hidden - hidden.mean(-1, keepdims=True)
    normed = centred / np.sqrt(hidden.var(-1, keepdims=True) + 1e-6)
    return {"a/kernel": np.asarray(X).reshape(-1, 6), "b/kernel": normed.reshape(-1, 8)}


@pytest.mark.parametrize("build", [linen, nnx_, plain])
def test_second_moments_are_those_computed_by_hand(build):
    apply, params = build()
    batches = (X[:2], X[2:4], X[4:])
    for stats in (
        gather_statistics(apply, params, batches),
        jax.jit(lambda p, x: input_statistics(apply, p, x))(params, X),
    ):
        stats = {path.removeprefix("params/"): leaf for path, leaf in stats.items()}
        expected = entered_by_hand(params)
        assert set(stats) == set(expected)
        for path, rows in expected.items():
            assert stats[path].count == 15
            np.testing.assert_allclose(stats[path].second_moment, rows.T @ rows, 1e-4, 1e-4)
            np.testing.assert_allclose(stats[path].absolute, np.abs(rows).sum(0), 1e-5)


def test_means():
    apply, params = plain()
    stats = gather_statistics(apply, params, [X], loss=lambda p, x: jnp.sum(apply(p, x) ** 2))
    rows = entered_by_hand(params)["b/kernel"]
    mean = mean_statistics(stats["b/kernel"])
    np.testing.assert_allclose(mean.second_moment, rows.T @ rows / 15, 1e-4, 1e-5)
    np.testing.assert_allclose(mean.absolute, np.abs(rows).mean(0), 1e-5)
    assert mean.count == mean.examples == 1
    chex.assert_trees_all_equal(mean_statistics(mean), mean)


W = normal(6, 4)


def entering_w(apply, w=W, x=X):
    return input_statistics(apply, {"w": w}, x).get("w")


@jax.custom_vjp
def product(x, w):
    return x @ w


product.defvjp(lambda x, w: (x @ w, (x, w)), lambda saved, g: (g @ saved[1].T, saved[0].T @ g))


@pytest.mark.parametrize(
    "apply",
    [
        lambda p, x: x @ p["w"].T.T,
        lambda p, x: x @ p["w"].reshape(2, 3, 4).reshape(6, 4),
        lambda p, x: jnp.einsum("ij,...i->j...", p["w"], x),
        lambda p, x: x @ p["w"].astype(jnp.float16).astype(jnp.float32),
        lambda p, x: jax.lax.dot_general(x, p["w"].T, (((2,), (1,)), ((), ()))),
        lambda p, x: (
            x.reshape(-1, 2, 3).transpose(0, 2, 1).reshape(-1, 6)
            @ p["w"].reshape(2, 3, 4).transpose(1, 0, 2).reshape(6, 4)
        ),
        lambda p, x: jax.jit(lambda a, b: jnp.tanh(a @ b))(x, p["w"]),
        lambda p, x: jax.jit(lambda w: w.T)(p["w"]) @ x.reshape(-1, 6).T,
        lambda p, x: jax.checkpoint(lambda a, b: a @ b)(x, p["w"]),
        lambda p, x: product(x, p["w"]),
        lambda p, x: jax.vmap(lambda row: row @ p["w"])(x),
        lambda p, x: jax.vmap(lambda row, w: row @ w, (0, None))(x, p["w"]),
    ],
)
def test_kernels_are_followed_to_their_products(apply):
    rows = np.asarray(X).reshape(-1, 6)
    found = entering_w(apply)
    assert found.count == 15
    np.testing.assert_allclose(found.second_moment, rows.T @ rows, 1e-5, 1e-5)


def test_kernels_of_three_axes_count_as_matrices():
    kernels = {"to": normal(6, 2, 5), "back": normal(2, 5, 6)}

    def apply(p, x):
        heads = jnp.einsum("bti,ihd->bthd", x, p["to"])
        return jnp.einsum("bthd,hdo->bto", heads, p["back"])

    stats = input_statistics(apply, kernels, X)
    rows = np.asarray(X).reshape(-1, 6)
    heads = rows @ np.asarray(kernels["to"]).reshape(6, 10)
    np.testing.assert_allclose(stats["to"].second_moment, rows.T @ rows, 1e-5, 1e-5)
    np.testing.assert_allclose(stats["back"].second_moment, heads.T @ heads, 1e-4, 1e-4)


def test_uses_of_a_shared_kernel_add_up():
    square = normal(6, 6)
    found = entering_w(lambda p, x: jnp.tanh(x @ p["w"]) @ p["w"], square)
    rows = np.asarray(X).reshape(-1, 6)
    again = np.tanh(rows @ square)
    assert found.count == 30
    np.testing.assert_allclose(found.second_moment, rows.T @ rows + again.T @ again, 1e-4, 1e-4)


def test_complex_activations_are_two_rows():
    found = entering_w(lambda p, x: (1 + 2j) * x @ p["w"].astype(jnp.complex64))
    rows = np.asarray(X).reshape(-1, 6)
    assert found.count == 30
    np.testing.assert_allclose(found.second_moment, 5 * rows.T @ rows, 1e-5, 1e-4)


def test_low_precision_activations_are_summed_in_float32():
    found = entering_w(lambda p, x: x.astype(jnp.bfloat16) @ p["w"].astype(jnp.bfloat16))
    rows = np.asarray(X.astype(jnp.bfloat16).astype(jnp.float32)).reshape(-1, 6)
    assert found.second_moment.dtype == jnp.float32
    np.testing.assert_allclose(found.second_moment, rows.T @ rows, 1e-5, 1e-5)


@pytest.mark.parametrize(
    "apply",
    [
        lambda p, x: x @ p["w"][:, :2],  # a part of the kernel
        lambda p, x: (2 * p["w"])[0] + x[..., :4],  # no product
        lambda p, x: p["w"] @ p["w"].T,  # no activations
        lambda p, x: x[..., :4] @ p["w"].T,  # the other way round
        lambda p, x: (x @ p["w"]) @ p["w"].T,  # both ways
        lambda p, x: jnp.einsum("btk,kd->btk", x, p["w"]),  # not summed over its inputs alone
    ],
)
def test_other_uses_have_no_statistics(apply):
    assert entering_w(apply) is None


def test_loops_and_branches_are_refused_by_name():
    def layers(p, x):
        return jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, p["w"])[0]

    def branch(p, x):
        return jax.lax.cond(x[0, 0, 0] > 0, lambda w: x @ w, lambda w: 2 * x @ w, p["w"])

    with pytest.raises(NotImplementedError, match=r"'w' inside scan: write loops over layers out"):
        input_statistics(layers, {"w": normal(3, 6, 6)}, X)
    with pytest.raises(NotImplementedError, match="'w' inside cond"):
        entering_w(branch)
    apply, params = plain()

    def beside(p, x):
        return jax.lax.scan(lambda h, _: (h / 2, None), apply(p, x), length=3)[0]

    chex.assert_trees_all_equal(
        input_statistics(beside, params, X), input_statistics(apply, params, X)
    )


def test_patterns_restrict():
    apply, params = plain()
    assert set(gather_statistics(apply, params, [X], pattern="b/*")) == {"b/kernel"}
    with pytest.raises(ValueError, match=r"'c/\*' matches no leaf"):
        gather_statistics(apply, params, [X], pattern="c/*")
    with pytest.raises(ValueError, match=r"none of the leaves that match '\*bias' multiplies"):
        gather_statistics(apply, params, [X], pattern="*bias")


def test_data_must_be_there_and_finite():
    apply, params = plain()
    with pytest.raises(ValueError, match="batches is empty: statistics need data"):
        gather_statistics(apply, params, [])
    with pytest.raises(ValueError, match="statistics of 'a/kernel' are not finite"):
        gather_statistics(apply, params, [X, X.at[0, 0, 0].set(jnp.nan)])


def test_statistics_of_other_leaves_do_not_merge():
    apply, params = plain()
    some, all_ = (gather_statistics(apply, params, [X], pattern=p) for p in ("a/*", "*"))
    with pytest.raises(ValueError, match="cannot be merged: b/kernel"):
        merge_statistics(some, all_)
    with_loss = gather_statistics(
        apply, params, [X], pattern="*kernel", loss=lambda p, x: jnp.mean(apply(p, x))
    )
    with pytest.raises(ValueError, match="only one has gradients"):
        merge_statistics(all_, with_loss)


def regression(params, batch):
    x, y = batch
    return jnp.mean(jnp.square(x @ params["w"] + params["b"] - y)) / 2


REGRESSION = {"w": normal(6), "b": normal()}
EXAMPLES = (normal(11, 6), normal(11))


def residuals():
    x, y = (np.asarray(part, np.float64) for part in EXAMPLES)
    return x, x @ np.asarray(REGRESSION["w"], np.float64) + float(REGRESSION["b"]) - y


@pytest.mark.parametrize("chunk", [1, 4, 11, 100])
def test_gradients_of_examples_are_residuals_times_inputs(chunk):
    stats = jax.jit(
        lambda p, b: gradient_statistics(regression, p, b, per_example=True, chunk=chunk)
    )(REGRESSION, EXAMPLES)
    x, residual = residuals()
    assert stats["w"].examples == stats["b"].examples == 11
    gradients = residual[:, None] * x
    np.testing.assert_allclose(stats["w"].gradient, gradients.sum(0), 1e-4, 1e-4)
    np.testing.assert_allclose(stats["w"].gradient_square, (gradients**2).sum(0), 1e-4)
    np.testing.assert_allclose(stats["b"].gradient_square, (residual**2).sum(), 1e-4)


def test_gradients_of_batches_are_squared_as_a_whole():
    batches = [tuple(part[:6] for part in EXAMPLES), tuple(part[6:] for part in EXAMPLES)]
    stats = [gradient_statistics(regression, REGRESSION, batch) for batch in batches]
    total = merge_statistics(*stats)["w"]
    x, residual = residuals()
    gradients = residual[:, None] * x
    means = np.stack([gradients[:6].mean(0), gradients[6:].mean(0)])
    assert total.examples == 2
    np.testing.assert_allclose(total.gradient, means.sum(0), 1e-4, 1e-5)
    np.testing.assert_allclose(total.gradient_square, (means**2).sum(0), 1e-4)


def test_gathered_with_a_loss_every_leaf_has_a_gradient():
    apply, params = plain()
    params["step"] = jnp.arange(3)

    def loss(p, x):
        return jnp.mean(apply(p, x) ** 2)

    stats = gather_statistics(apply, params, [X, X], loss=loss, per_example=True)
    assert set(stats) == {"a/kernel", "a/bias", "b/kernel"}
    assert stats["a/bias"].count == 0
    assert stats["a/bias"].second_moment.size == 0
    assert stats["a/kernel"].count == 30
    assert stats["a/kernel"].examples == 10
    whole = jax.grad(lambda w: loss({**params, "b": {"kernel": w}}, X))(params["b"]["kernel"])
    np.testing.assert_allclose(mean_statistics(stats["b/kernel"]).gradient, whole, 1e-3, 1e-5)


def test_examples_need_a_common_axis():
    with pytest.raises(ValueError, match="per_example needs inputs with one leading axis"):
        gradient_statistics(regression, REGRESSION, (EXAMPLES[0], jnp.ones(3)), per_example=True)
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        gradient_statistics(regression, REGRESSION, EXAMPLES, per_example=True, chunk=0)
