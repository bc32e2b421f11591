"""Weights as constants of a program are the weights, bit for bit, whatever they are stored as."""

import jax
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.export.grids import NF4, Affine, Uniform
from wfm_jax.export.program_weights import as_constants

KEY = jax.random.key(0)
W = jax.random.normal(KEY, (64, 24))


def on(transform, grid):
    """A kernel on a grid, and the grid, from a transform of compress."""
    params, state = transform.update({"w": W}, transform.init({"w": W}, key=KEY))
    return jax.jit(transform.apply)(params, state)["w"], grid(state)


GRIDS = {
    f"uniform-{bits}-{group}": lambda bits=bits, group=group: on(
        compress.quantize(bits, group_size=group), lambda s: Uniform(bits, s.scale["w"])
    )
    for bits in (2, 3, 4, 8)
    for group in (None, 16)
} | {
    f"affine-{bits}": lambda bits=bits: on(
        compress.quantize_affine(bits),
        lambda s: Affine(bits, s.scale["w"], s.zero_point["w"]),
    )
    for bits in (2, 4, 8)
} | {
    "nf4": lambda: on(compress.nf4(), lambda s: NF4(s.absmax["w"]))
}  # fmt: skip


def constants_of(params, grids=None):
    """What a program of the weights alone gives, and its text."""
    weights = as_constants(params, grids)
    lowered = jax.jit(weights).lower()
    return lowered.compile()(), lowered.as_text()


@pytest.mark.parametrize("make", GRIDS.values(), ids=GRIDS)
def test_weights_on_a_grid_come_out_bit_for_bit(make):
    w, grid = make()
    params = {"a": {"w": w}, "b": np.float32([0.1, 2.0])}
    seen, text = constants_of(params, {"a/w": grid})
    assert np.asarray(seen["a"]["w"]).tobytes() == (np.asarray(w) + np.float32(0)).tobytes()
    np.testing.assert_array_equal(seen["b"], params["b"])
    stored = {Uniform: {"i8"}, Affine: {"ui8"}, NF4: set()}[type(grid)]
    assert {kind for kind in ("i8", "ui8") if f"tensor<64x24x{kind}>" in text} == stored


def test_zeros_of_a_mask_are_on_every_grid():
    w, grid = GRIDS["affine-4"]()
    kept = np.where(np.random.default_rng(0).random(w.shape) < 0.3, w, -0.0).astype(np.float32)
    seen, _ = constants_of({"w": kept}, {"w": grid})
    np.testing.assert_array_equal(seen["w"], kept)


def test_floats_that_half_holds_are_halves_and_others_are_not():
    half = np.float16([0.1, -65504.0, -0.0, 6e-8]).astype(np.float32)
    other = np.float32([0.1, 1e6, 1e-9, -0.0])
    seen, text = constants_of({"half": half, "other": other})
    assert "tensor<4xf16>" in text
    for name, w in {"half": half, "other": other}.items():
        assert np.asarray(seen[name]).tobytes() == w.tobytes()
    assert "f16" not in constants_of({"other": other})[1]


def test_the_program_of_few_bits_holds_few_bytes():
    w, grid = GRIDS["uniform-4-None"]()
    plain, small = (constants_of({"w": w}, g)[1] for g in (None, {"w": grid}))
    assert len(small) < len(plain) / 2


def test_what_is_not_on_its_grid_is_named():
    w, grid = GRIDS["uniform-4-None"]()
    with pytest.raises(ValueError, match=r"^w: its weights are not on their grid of 4 bits$"):
        as_constants({"w": w.at[3, 3].add(1e-3)}, {"w": grid})
    with pytest.raises(ValueError, match=r"^not among the parameters: v$"):
        as_constants({"w": w}, {"v": grid})
