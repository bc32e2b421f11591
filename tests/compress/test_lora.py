from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

from wfm_jax.compress import (
    AdapterSize,
    Factors,
    Merged,
    flatten,
    lora_apply,
    lora_init,
    lora_merge,
    lora_size,
    lora_unmerge,
    select,
    unflatten,
)

KEY = jax.random.key(4)
W, X = (jax.random.normal(k, (6, n)) for k, n in zip(jax.random.split(KEY), (12, 6), strict=True))


class LinenModel(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.LayerNorm()(jnp.tanh(nn.Dense(8)(x))))


LINEN: Any = LinenModel()


def linen_params():
    return LINEN.init(KEY, X)


def nnx_params():
    rngs = nnx.Rngs(0)
    return nnx.state(
        nnx.Sequential(nnx.Linear(6, 8, rngs=rngs), nnx.LayerNorm(8, rngs=rngs)), nnx.Param
    )


def dict_params():
    return {
        "block_0": {"query": {"kernel": W, "bias": jnp.zeros(12) + 0.3}, "scale": jnp.ones(12)},
        "head": {"kernel": W.T.astype(jnp.bfloat16)},
        "step": jnp.int32(3),
    }


PARAMS = {"linen": linen_params, "nnx": nnx_params, "dict": dict_params}
every_params = pytest.mark.parametrize("params", [f() for f in PARAMS.values()], ids=PARAMS)


def trained(adapters, key=KEY, size=0.1):
    """Adapters whose B is no longer zero."""
    factors = {
        path: Factors(a, size * jax.random.normal(jax.random.fold_in(key, i), b.shape))
        for i, (path, (a, b)) in enumerate(adapters.factors.items())
    }
    return adapters._replace(factors=factors)


def bits(tree):
    """The tree's arrays as integers, so that -0 is not 0 and NaN is itself."""
    integers = {2: np.uint16, 4: np.uint32, 8: np.uint64}
    return jax.tree.map(lambda x: np.asarray(x).view(integers[x.dtype.itemsize]), flatten(tree))


# Zeros of both signs, subnormals, and the largest: what an addition could change.
ODD = np.array([0.0, -0.0, 1e-45, -1e-40, 1.2e-38, 1e-30, 1.0, -1e30, 3.4e38, np.inf], np.float32)


@every_params
def test_starts_as_the_base_bit_for_bit(params):
    adapters = lora_init(params, "*kernel", 2, key=KEY, alpha=7)
    for apply in (lora_apply, jax.jit(lora_apply)):
        seen = apply(params, adapters)
        assert jax.tree.structure(seen) == jax.tree.structure(params)
        chex.assert_trees_all_equal_shapes_and_dtypes(seen, params)
        chex.assert_trees_all_equal(bits(seen), bits(params))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_odd_weights_start_as_they_are(dtype):
    params = {"w": jnp.asarray(np.tile(ODD, (10, 1))).astype(dtype)}
    adapters = lora_init(params, "w", 3, key=KEY)
    for apply in (lora_apply, jax.jit(lora_apply)):
        chex.assert_trees_all_equal(bits(apply(params, adapters)), bits(params))


@every_params
def test_only_matching_kernels_are_adapted_and_the_rest_are_the_same_objects(params):
    adapters = lora_init(params, "*", 2, key=KEY)
    flat, seen = flatten(params), flatten(lora_apply(params, trained(adapters)))
    assert set(adapters.factors) == {path for path in flat if path.endswith("kernel")}
    for path, leaf in flat.items():
        assert (seen[path] is leaf) == (path not in adapters.factors)
    for path, (a, b) in adapters.factors.items():
        assert (a.shape, b.shape) == ((flat[path].shape[0], 2), (2, flat[path].shape[1]))
        assert a.dtype == b.dtype == jnp.float32


def test_effective_weights_are_w_plus_alpha_over_rank_a_b():
    params = dict_params()
    adapters = trained(lora_init(params, "block_*", 4, key=KEY, alpha=6))
    a, b = (np.asarray(f, np.float64) for f in adapters.factors["block_0/query/kernel"])
    seen = lora_apply(params, adapters)["block_0"]["query"]["kernel"]
    np.testing.assert_allclose(seen, np.asarray(W, np.float64) + 6 / 4 * a @ b, rtol=0, atol=1e-6)
    assert lora_init(params, "block_*", 4, key=KEY).scale == 1


def test_sums_are_rounded_once_to_the_dtype_of_the_kernel():
    w = jax.random.normal(KEY, (4, 64)).astype(jnp.bfloat16)
    adapters = lora_init({"w": w}, "w", 1, key=KEY)
    for share, lost in ((0.99 / 512, True), (1.01 / 256, False)):
        # One kernel row alone: its update is the given share of every weight in it.
        factors = Factors(jnp.eye(4, 1), share * w[:1].astype(jnp.float32))
        seen = lora_apply({"w": w}, adapters._replace(factors={"w": factors}))["w"]
        chex.assert_trees_all_equal(seen[1:], w[1:])
        assert bool((seen[0] == w[0]).all()) == lost
        assert bool((seen[0] != w[0]).all()) != lost


def test_a_keeps_unit_variance_and_every_kernel_has_its_own():
    params = {"p": jnp.zeros((200, 100)), "q": jnp.zeros((200, 100))}
    factors = lora_init(params, "*", 50, key=KEY).factors
    for a, b in factors.values():
        z = (200 * float(jnp.mean(a**2)) - 1) * (a.size / 2) ** 0.5
        assert abs(z) < 4
        assert not b.any()
    assert abs(float(jnp.sum(factors["p"].a * factors["q"].a))) * 200 / 10_000**0.5 < 4


def test_gradients_are_those_of_the_chain_rule_and_start_in_b():
    params = {"w": W}
    start = lora_init(params, "w", 3, key=KEY, alpha=6)

    def loss(adapters):
        return jnp.sum(jnp.tanh(X @ lora_apply(params, adapters)["w"]) ** 2)

    for adapters in (start, trained(start)):
        slope = jax.grad(lambda w: jnp.sum(jnp.tanh(X @ w) ** 2))(lora_apply(params, adapters)["w"])
        grads = jax.grad(loss)(adapters)
        a, b = adapters.factors["w"]
        np.testing.assert_allclose(grads.factors["w"].a, 2 * slope @ b.T, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(grads.factors["w"].b, 2 * a.T @ slope, rtol=1e-4, atol=1e-5)
        assert grads.scale == 0
    grads = jax.grad(loss)(start).factors["w"]
    assert not grads.a.any()
    assert bool((grads.b != 0).all())


@pytest.mark.parametrize("target_rank", [3, 10])
def test_descent_reaches_the_best_matrix_of_its_rank(target_rank):
    """Eckart and Young: the rest of the singular values remains, nothing for a rank-3 target."""
    left, right = (jax.random.normal(k, (10, target_rank)) for k in jax.random.split(KEY))
    target = left @ right.T / target_rank
    params = {"w": jnp.ones((10, 10))}
    adapters = lora_init(params, "w", 3, key=KEY, alpha=6)

    def loss(factors):
        return jnp.sum(
            (lora_apply(params, adapters._replace(factors=factors))["w"] - 1 - target) ** 2
        )

    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 1500))

    def step(carry, _):
        factors, state = carry
        updates, state = optimizer.update(jax.grad(loss)(factors), state)
        return (optax.apply_updates(factors, updates), state), None

    start = (adapters.factors, optimizer.init(adapters.factors))
    factors = jax.jit(lambda c: jax.lax.scan(step, c, length=1500)[0][0])(start)
    singular = np.linalg.svd(np.asarray(target, np.float64), compute_uv=False)
    assert float(loss(adapters.factors)) == pytest.approx(np.sum(singular**2), rel=1e-4)
    assert float(loss(factors)) == pytest.approx(np.sum(singular[3:] ** 2), rel=1e-3, abs=1e-6)


@every_params
def test_jit_is_eager(params):
    adapters = trained(lora_init(params, "*kernel", 2, key=KEY))
    chex.assert_trees_all_close(
        flatten(jax.jit(lora_apply)(params, adapters)),
        flatten(lora_apply(params, adapters)),
        rtol=1e-2,  # half a step of bfloat16 is 4e-3
        atol=1e-6,
    )
    jitted = jax.jit(lambda k: lora_init(params, "*kernel", 2, key=k, alpha=3.0))(KEY)
    chex.assert_trees_all_close(
        jitted, lora_init(params, "*kernel", 2, key=KEY, alpha=3.0), rtol=1e-6
    )


def test_vmap_over_configurations_is_the_loop():
    params = dict_params()
    keys, alphas = jax.random.split(KEY, 3), jnp.array([1.0, 4.0, 16.0])

    def adapt(key, alpha):
        return trained(lora_init(params, "*/kernel", 2, key=key, alpha=alpha), key)

    stack = jax.vmap(adapt)(keys, alphas)
    seen = jax.vmap(lora_apply, (None, 0))(params, stack)
    for i in range(3):
        one = adapt(keys[i], alphas[i])
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], stack), one, rtol=1e-6)
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, i=i: x[i], seen), lora_apply(params, one), rtol=1e-2, atol=1e-6
        )


def test_training_adapters_leaves_the_base_alone():
    params = linen_params()
    labels = jax.random.normal(KEY, (6, 3))
    adapters = lora_init(params, "*Dense*", 2, key=KEY)

    def loss(factors):
        seen = lora_apply(params, adapters._replace(factors=factors))
        return jnp.mean((LINEN.apply(seen, X) - labels) ** 2)

    slope, factors, before = jax.jit(jax.grad(loss)), adapters.factors, bits(params)
    for _ in range(30):
        factors = jax.tree.map(lambda w, g: w - 0.1 * g, factors, slope(factors))
    assert float(loss(factors)) < 0.9 * float(loss(adapters.factors))
    chex.assert_trees_all_equal(bits(params), before)


@every_params
def test_merging_and_unmerging_is_exact(params):
    adapters = trained(lora_init(params, "*kernel", 2, key=KEY))
    for merge in (lora_merge, jax.jit(lora_merge)):
        for unmerge in (lora_unmerge, jax.jit(lora_unmerge)):
            merged = merge(params, adapters)
            assert set(merged.replaced) == set(adapters.factors)
            assert jax.tree.structure(merged.params) == jax.tree.structure(params)
            assert any(
                (flatten(merged.params)[path] != flatten(params)[path]).any()
                for path in adapters.factors
            )
            chex.assert_trees_all_equal(bits(unmerge(merged)), bits(params))
    chex.assert_trees_all_equal(lora_merge(params, adapters).params, lora_apply(params, adapters))


@pytest.mark.parametrize("size", [1e-25, 1e-7, 1.0, 1e7, 1e25])
def test_merging_is_exact_where_subtraction_is_not(size):
    magnitudes = 10.0 ** jax.random.uniform(KEY, (10, 30), minval=-30, maxval=30)
    signs = jax.random.rademacher(jax.random.key(5), (10, 30), jnp.float32)
    odd = jnp.asarray(np.tile(ODD, (10, 1))).at[:, 0].set(jnp.nan)
    params = {"w": jnp.concatenate([magnitudes * signs, odd], 1)}
    adapters = trained(lora_init(params, "w", 4, key=KEY), size=size)
    for merge in (lora_merge, jax.jit(lora_merge)):
        merged = merge(params, adapters)
        chex.assert_trees_all_equal(bits(lora_unmerge(merged)), bits(params))
        subtracted = lora_apply(merged.params, adapters._replace(scale=-adapters.scale))["w"]
        assert (subtracted[:, :30] != params["w"][:, :30]).any()


def test_unmerging_keeps_what_happened_elsewhere():
    params = dict_params()
    merged = lora_merge(params, trained(lora_init(params, "block_*", 2, key=KEY)))
    head = merged.params["head"]["kernel"] + 1
    back = lora_unmerge(merged._replace(params=unflatten(merged.params, {"head/kernel": head})))
    assert back["head"]["kernel"] is head
    assert back["block_0"]["query"]["kernel"] is W


def test_a_vmap_of_merges_needs_one_copy_of_the_base():
    params = dict_params()
    stack = jax.vmap(lambda k: trained(lora_init(params, "*/kernel", 2, key=k), k))(
        jax.random.split(KEY, 3)
    )
    axes = Merged(0, None)  # pyright: ignore[reportArgumentType]
    merged = jax.vmap(lora_merge, (None, 0), axes)(params, stack)
    assert merged.params["block_0"]["query"]["kernel"].shape == (3, 6, 12)
    assert merged.replaced["block_0/query/kernel"].shape == (6, 12)
    back = jax.vmap(lora_unmerge, (axes,))(merged)
    for kernel in back["block_0"]["query"]["kernel"]:
        np.testing.assert_array_equal(kernel, W)


def test_size_counts_a_and_b():
    params = dict_params()
    adapters = lora_init(params, "block_*", 3, key=KEY)
    total = 6 * 12 + 12 + 12 + 12 * 6 + 1
    assert lora_size(params, adapters) == AdapterSize(3 * (6 + 12), 3 * (6 + 12) / total)
    shapes = jax.eval_shape(lambda: params)
    assert lora_size(shapes, lora_init(shapes, "block_*", 3, key=KEY))[0] == 54


def test_a_linear_probe_trains_the_heads_only():
    params = linen_params()
    heads = select(params, "*/Dense_1/*")
    assert list(heads) == ["params/Dense_1/bias", "params/Dense_1/kernel"]

    def loss(heads):
        return jnp.sum(LINEN.apply(unflatten(params, heads), X) ** 2)

    grads = jax.grad(loss)(heads)
    whole = jax.grad(lambda p: jnp.sum(LINEN.apply(p, X) ** 2))(params)
    chex.assert_trees_all_close(grads, select(whole, "*/Dense_1/*"), rtol=1e-5)
    stepped = unflatten(params, jax.tree.map(lambda w, g: w - 0.1 * g, heads, grads))
    for path, leaf in flatten(stepped).items():
        assert (leaf is flatten(params)[path]) == (path not in heads)


def test_heads_and_adapters_train_together():
    params = linen_params()
    adapters = lora_init(params, "*/Dense_0/*", 2, key=KEY)

    def loss(part):
        heads, factors = part
        seen = lora_apply(unflatten(params, heads), adapters._replace(factors=factors))
        return jnp.sum(LINEN.apply(seen, X) ** 2)

    heads, factors = jax.grad(loss)((select(params, "*/Dense_1/*"), adapters.factors))
    assert set(factors) == {"params/Dense_0/kernel"}
    assert all(bool(g.any()) for g in jax.tree.leaves(heads))


def test_select_names_the_nearest_where_nothing_matches():
    with pytest.raises(ValueError, match=r"'heads/\*' matches no leaf; .*head/kernel"):
        select(dict_params(), "heads/*")


@pytest.mark.parametrize(
    "pattern, rank, alpha, message",
    [
        ("*/kernels", 2, None, r"'\*/kernels' matches no leaf; .*head/kernel"),
        ("*/bias", 2, None, r"'\*/bias' matches no leaf; the nearest are .*kernel"),
        ("*", 0, None, r"rank must be 1 to 6 for block_0/query/kernel \[6, 12\], got 0"),
        ("*", 7, None, "rank must be 1 to 6 .* got 7"),
        ("*", 2.0, None, "rank must be an integer and static, got 2.0"),
        ("*", 2, 0, "alpha must be positive, got 0"),
        ("*", 2, float("nan"), "alpha must be positive, got nan"),
    ],
)
def test_rejects(pattern, rank, alpha, message):
    with pytest.raises(ValueError, match=message):
        lora_init(dict_params(), pattern, rank, key=KEY, alpha=alpha)


def test_rejects_a_traced_rank():
    with pytest.raises(ValueError, match="rank must be an integer and static"):
        jax.jit(lambda r: lora_init(dict_params(), "*", r, key=KEY))(2)


def test_rejects_adapters_of_another_model():
    adapters = lora_init(dict_params(), "*/kernel", 2, key=KEY)
    for function in (lora_apply, lora_merge):
        with pytest.raises(ValueError, match="that params lack: head/kernel"):
            function({"block_0": dict_params()["block_0"]}, adapters)
        with pytest.raises(
            ValueError, match=r"\[12, 2\] x \[2, 6\] do not fit head/kernel \[1, 6\]"
        ):
            function(dict_params() | {"head": {"kernel": jnp.ones((1, 6))}}, adapters)
        stack = jax.tree.map(lambda x: jnp.stack([x, x]), adapters)
        with pytest.raises(ValueError, match="a stack of them needs vmap"):
            function(dict_params(), stack)
