"""Costs: operations of a model counted by hand, bytes of the file that was written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.evaluate import cost, products
from wfm_jax.export.grids import NF4, Affine, Uniform
from wfm_jax.export.packed import load_packed
from wfm_jax.model import param_shapes


def toy(params, x):
    """Tokens [5, 8], a dense layer to 6, scores between tokens, a complex sum over them."""
    y = jax.nn.gelu(x @ params["block_0"]["kernel"] + params["block_0"]["bias"])
    scores = jnp.einsum("qd,kd->qk", y, y)
    mixed = jax.lax.complex(scores, scores) @ y.astype(jnp.complex64)
    return jnp.mean(mixed.real, axis=0) @ params["head"]["kernel"].T


TOY = {
    "block_0": {"kernel": jnp.ones((8, 6)), "bias": jnp.ones(6)},
    "head": {"kernel": jnp.ones((3, 6))},
}
TOY_PRODUCTS = (
    products.Product(5 * 8 * 6, "block_0/kernel", 48),
    products.Product(5 * 5 * 6, None, 0),
    products.Product(4 * 5 * 5 * 6, None, 0),
    products.Product(6 * 3, "head/kernel", 18),
)


def test_products_of_a_toy_by_hand():
    counted = products.matrix_products(toy, TOY, jnp.ones((5, 8)))
    assert counted == TOY_PRODUCTS
    assert cost.flops(counted) == 2 * (240 + 150 + 600 + 18)


def test_products_inside_compiled_functions_count_once():
    counted = products.matrix_products(jax.jit(jax.checkpoint(toy)), TOY, jnp.ones((5, 8)))
    assert counted == TOY_PRODUCTS


def test_a_convolution_by_hand():
    """2 channels to 6 in two groups, 3 x 3 on 8 x 8: every output is a sum over 9 inputs."""

    def convolve(params, x):
        return jax.lax.conv_general_dilated(
            x, params["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=2,
        )  # fmt: skip

    params = {"kernel": jnp.ones((3, 3, 1, 6))}
    counted = products.matrix_products(convolve, params, jnp.ones((1, 8, 8, 2)))
    assert counted == (products.Product(8 * 8 * 6 * 9, "kernel", 54),)


def test_operations_that_cannot_be_counted_are_left_out():
    stored = cost.Stored({"w": np.ones((2, 2), np.float32)})
    columns = cost.cost_columns(None, stored, prunable="w")
    assert columns["params_total"] == 4
    assert not {"flops", "bit_ops"} & set(columns)


def test_products_inside_loops_are_refused():
    def loop(params, x):
        return jax.lax.scan(lambda c, _: (c @ params["w"], None), x, length=3)

    with pytest.raises(NotImplementedError, match="scan"):
        products.matrix_products(loop, {"w": jnp.ones((2, 2))}, jnp.ones((1, 2)))


def test_every_kernel_of_the_model_takes_part_in_one_product(pico):
    config, apply, params = pico
    counted = products.frame_products(config, apply, param_shapes(config))
    by_name = {product.parameter: product for product in counted if product.parameter}
    kernels = {n: w for n, w in compress.flatten(params).items() if n.endswith("/kernel")}
    assert set(by_name) == set(kernels)
    d, tokens = config.d_model, config.n_tokens
    for name, product in by_name.items():
        assert product.weights == kernels[name].size
        if name.startswith("block_"):
            assert product.macs == tokens * product.weights
    blocks = sum(p.macs for n, p in by_name.items() if n.startswith("block_"))
    assert blocks == config.n_layers * tokens * 12 * d**2
    attention = tokens**2 * config.heads[0] * config.head_dim
    between = [product.macs for product in counted if product.parameter is None]
    assert between.count(attention) == 2 * config.n_layers


def test_bit_operations_by_hand():
    kernel = np.ones((8, 6), np.float32)
    kernel[:4] = 0.0
    params = {"block_0/kernel": kernel, "head/kernel": np.ones((3, 6), np.float32)}
    activations = 750 * 32 * 32
    dense = cost.bit_ops(TOY_PRODUCTS, params | {"block_0/kernel": np.ones((8, 6))})
    assert dense == (240 + 18) * 32 * 32 + activations
    grids = {
        "block_0/kernel": Uniform(jnp.float32(4.0), np.ones((1, 6))),
        "head/kernel": Uniform(16, np.ones((1, 6))),
    }
    packed = cost.bit_ops(TOY_PRODUCTS, params, grids, act_bits=8)
    assert packed == 120 * 4 * 8 + 18 * 32 * 8 + activations
    grids = {
        "block_0/kernel": NF4(np.ones(1)),
        "head/kernel": Affine(jnp.float32(3), np.ones((1, 6)), np.zeros((1, 6), int)),
    }
    packed = cost.bit_ops(TOY_PRODUCTS, params, grids, act_bits=8)
    assert packed == 120 * 4 * 8 + 18 * 3 * 8 + activations


def test_columns_are_those_of_the_file(tmp_path):
    key = jax.random.key(0)
    params = {
        "block_0": {"kernel": jax.random.normal(key, (64, 32)), "bias": jnp.ones(32)},
        "head": {"kernel": jax.random.normal(key, (32, 4))},
    }
    prune = compress.matching("block_*/kernel", compress.magnitude_prune(0.75))
    snap = compress.matching("*/kernel", compress.quantize(4, bound="half_step"))
    params, pruned = prune.update(params, prune.init(params, key=key))
    params, snapped = snap.update(params, snap.init(params, key=key))
    seen = prune.apply(snap.apply(params, snapped), pruned)
    grids = {path: Uniform(snapped.bits[path], scale) for path, scale in snapped.scale.items()}
    stored = cost.Stored(compress.flatten(seen), pruned.keep, grids)
    path = tmp_path / "model.wfm"
    columns = cost.cost_columns(TOY_PRODUCTS[:1], stored, act_bits=8, teacher_bytes=9000, path=path)
    assert columns["size_bytes"] == path.stat().st_size
    assert columns["compression_ratio"] == 9000 / columns["size_bytes"]
    np.testing.assert_array_equal(load_packed(path)["head/kernel"], seen["head"]["kernel"])
    assert columns["params_total"] == 64 * 32 + 32 + 32 * 4
    zero = np.mean(np.asarray(seen["block_0"]["kernel"]) == 0)
    np.testing.assert_allclose(columns["sparsity_achieved"], zero)
    assert zero >= 0.75
    only_measured = cost.cost_columns(TOY_PRODUCTS[:1], stored, act_bits=8)
    assert "compression_ratio" not in only_measured
    assert only_measured["size_bytes"] == columns["size_bytes"]


def test_sparsity_counts_the_kernels_of_blocks():
    params = {
        "block_0/kernel": np.array([[0.0, 1.0], [0.0, 0.0]]),
        "block_0/bias": np.zeros(2),
        "head/kernel": np.zeros((2, 2)),
    }
    assert cost.sparsity_achieved(params) == 0.75
    assert cost.sparsity_achieved({"head/kernel": np.zeros((2, 2))}) == 0.0
