"""A model's parameters, masks and scales become the file of its effective weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.export.from_model import pack_model
from wfm_jax.export.grids import Affine, Uniform
from wfm_jax.export.packed import load_packed, pack, save_packed, unpack
from wfm_jax.export.tensors import PackedTensor

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("blocks", [(1, 16), (4, 16), (1, 1)])
def test_what_jax_snapped_is_recovered_exactly(bits, blocks):
    half = 2 ** (bits - 1)
    w = jnp.asarray(RNG.normal(size=(32, 16)), jnp.float32)
    scale = jnp.asarray(RNG.uniform(0.001, 1, blocks), jnp.float32).at[0, 0].set(0.0)
    full = jnp.repeat(jnp.repeat(scale, 32 // blocks[0], 0), 16 // blocks[1], 1)
    snap = jax.jit(lambda w, s: jnp.clip(jnp.round(w / jnp.where(s, s, 1)), -half, half - 1) * s)
    keep = RNG.random((32, 16)) < 0.4
    effective = jnp.where(keep, snap(w, full), 0.0)
    packed = pack_model({"w": effective}, keep={"w": keep}, grids={"w": Uniform(bits, scale)})
    np.testing.assert_array_equal(unpack(pack(packed))["w"].effective(), effective)


def test_each_tensor_in_its_own_form(tmp_path):
    params = {
        "kernel": np.float32([[0.5, -1.0], [0.0, 2.0]]),
        "bias": np.float16([0.1, 0.2]).astype(np.float32),
        "embedding": np.float32([[0.1, 0.3]]),
        "norm": np.float32([1.5]),
    }
    packed = pack_model(
        params,
        grids={
            "kernel": Uniform(jnp.float32(3), np.float32([[0.5, 1.0]])),
            "embedding": Uniform(jnp.float32(32), np.zeros((1, 2), np.float32)),
            "norm": Uniform(16.0, np.ones(1, np.float32)),
        },
        half={"bias"},
    )
    assert {name: t.grid.bits for name, t in packed.items()} == {
        "kernel": 3,
        "bias": 16,
        "embedding": 32,
        "norm": 16,
    }
    path = tmp_path / "m.wfm"
    save_packed(path, packed)
    for name, weights in load_packed(path).items():
        np.testing.assert_array_equal(weights, params[name])


def test_half_for_all_leaves_quantized_ones_alone():
    params = {"k": np.float32([[1.0]]), "b": np.float32([2.0])}
    packed = pack_model(params, grids={"k": Uniform(4, np.ones((1, 1)))}, half=True)
    assert (packed["k"].grid.bits, packed["b"].grid.bits) == (4, 16)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"grids": {"w": Uniform(4, np.float32([[0.3, 0.3]]))}}, "^w: .* snapped ones"),
        ({"grids": {"w": Uniform(4, np.float32([[1e-30, 1]]))}}, "^w: .* snapped ones"),
        ({"grids": {"w": Uniform(4, np.float32([1.0]))}}, "^w: .* does not fit"),
        ({"grids": {"w": Uniform(4.5, np.ones((1, 2)))}}, r"^w: 4.5 bits: .* 2 to 8"),
        ({"grids": {"w": Uniform(12, np.ones((1, 2)))}}, "^w: 12 bits"),
        ({"half": {"w"}}, "^w: .*float16"),
        ({"keep": {"w": np.ones(2, bool)}}, "^w: the keep mask has shape"),
        ({"keep": {"v": np.ones(2, bool)}, "half": {"u"}}, "not among the parameters: u, v"),
    ],
)
def test_what_would_not_be_these_weights_is_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        pack_model({"w": np.float32([[0.1, 0.7]])}, **settings)


def test_weights_outside_the_range_of_their_bits_are_refused():
    settings = {"grids": {"w": Uniform(2, np.ones((1, 1), np.float32))}}
    with pytest.raises(ValueError, match=r"^w: .* grid of 2 bits: .* snapped ones"):
        pack_model({"w": np.float32([[3.0]])}, **settings)


def test_not_a_number_is_refused_where_integers_are_wanted():
    settings = {"grids": {"w": Uniform(4, np.ones((1, 1), np.float32))}}
    with pytest.raises(ValueError, match=r"^w: "):
        pack_model({"w": np.float32([[np.nan]])}, **settings)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("groups", [1, 4])
def test_columns_cut_out_after_quantization_cost_what_those_cut_out_before_do(affine, groups):
    """Scales spread over two decades, half of the columns gone."""
    n = 128
    scale = np.float32(10.0) ** RNG.uniform(-2, 0, (groups, n)).astype(np.float32)
    codes = np.clip(np.rint(2 * RNG.normal(size=(n, n))), -8, 7).astype(np.int32)
    keep = np.broadcast_to(RNG.random(n) < 0.5, (n, n))
    zero = np.full_like(scale, 8, np.int32)
    grid = Affine(4, scale, zero) if affine else Uniform(4, scale)
    stored = codes + 8 if affine else codes
    effective = np.where(keep, grid.checked((n, n)).weights(stored), np.float32(0))
    live = np.where(keep[:1], scale, np.float32(0))
    before = grid._replace(scale=live)
    after, first = (
        pack(pack_model({"w": effective}, keep={"w": keep}, grids={"w": own}))
        for own in (grid, before)
    )
    untouched = pack({"w": PackedTensor(stored, grid, keep)})
    assert len(after) == len(first) < 0.95 * len(untouched)
    np.testing.assert_array_equal(unpack(after)["w"].effective(), effective)
