"""The bound by hand, by scipy, and against other coders."""

import lzma

import numpy as np
import pytest
from scipy.stats import entropy

from wfm_jax.export.bound import entropy_bound, total_bound
from wfm_jax.export.grids import NF4, Affine, Float, Uniform
from wfm_jax.export.packed import pack, size_breakdown
from wfm_jax.export.tensors import PackedTensor

ONE = np.ones((1, 1), np.float32)


def test_by_hand():
    codes = np.array([[0, 0, 0, 0, 0, 0, 1, -1]])
    mask, values = entropy_bound({"w": PackedTensor(codes, Uniform(4, ONE))})["w"]
    assert mask == pytest.approx(8 * (0.75 * np.log2(1 / 0.75) + 0.25 * 2) / 8)
    assert values == pytest.approx(2 / 8)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_mask_and_values_add_up_to_the_entropy_of_the_codes(bits):
    rng = np.random.default_rng(bits)
    half = 1 << bits - 1
    codes = np.clip(np.rint(rng.normal(0, half / 3, (100, 70))), -half, half - 1).astype(int)
    keep = rng.random((100, 70)) < 0.3
    for grid, values in ((Uniform(bits, ONE), codes), (Affine(bits, ONE, ONE), codes + half)):
        bound = entropy_bound({"w": PackedTensor(values, grid, keep)})["w"]
        seen = np.where(keep, values - (1 if isinstance(grid, Affine) else 0), 0)
        counts = np.unique(seen, return_counts=True)[1]
        assert bound.total == pytest.approx(7000 * entropy(counts, base=2) / 8)


def test_levels_and_floats():
    codes = np.array([7] * 6 + [0, 15])
    assert entropy_bound({"w": PackedTensor(codes, NF4(np.ones(1)))})["w"].values == 2 / 8
    floats = PackedTensor(np.float32([0, 0, 1, 2]), Float(16))
    assert entropy_bound({"w": floats})["w"] == (4 / 8, 2 * 16 / 8)
    assert total_bound({"a": floats, "b": floats}) == (2 * 4 / 8, 2 * 2 * 16 / 8)
    assert total_bound({}) == (0, 0)


def test_a_file_of_independent_weights_is_at_its_bound_where_general_coders_are_far_above():
    rng = np.random.default_rng(0)
    codes = np.clip(np.rint(rng.normal(0, 2.5, (256, 256))), -7, 7).astype(int)
    keep = rng.random(codes.shape) < 0.25
    tensors = {"w": PackedTensor(codes, Uniform(4, np.ones((1, 256), np.float32)), keep)}
    sizes = size_breakdown(pack(tensors))
    bound = total_bound(tensors).total
    written = sizes["pruned"] + sizes["histograms"]
    assert bound < written < 1.002 * bound + 40
    plain = np.where(keep, codes, 0).astype(np.int8).tobytes()
    assert len(lzma.compress(plain, preset=9)) > 1.1 * written
