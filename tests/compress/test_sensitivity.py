"""Tensors compressed one at a time: cells are what compressing by hand gives, in one program."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.compress import nets
from wfm_jax.compress import (
    cells,
    evaluate_cells,
    fake_quant,
    flatten,
    keep_mask,
    matching,
    mse_scale,
    prune_by,
    quantize,
    quantize_by,
)

KEY = jax.random.key(5)
PARAMS = nets.params()
PATHS = [path for path in flatten(PARAMS) if path.endswith("kernel")]
X = jnp.asarray(np.random.default_rng(5).normal(size=(16, 6)), jnp.float32)
LEVELS = (2, 3, 4, 6, 8)


def evaluate(params):
    out = nets.forward(params, X)
    return {"mean": jnp.mean(out), "each": jnp.sum(jnp.square(out), axis=1)}


def test_bits_by_position_are_those_of_each_tensor():
    bits = [2, 3, 4, 8, 32]
    found = flatten(quantize_by(PARAMS, PATHS, bits))
    before = flatten(PARAMS)
    for path, b in zip(PATHS, bits, strict=True):
        w = before[path]
        scale = mse_scale(w, b) if b <= 3 else None
        chex.assert_trees_all_equal(found[path], fake_quant(w, b, scale=scale))
    for path in set(before) - set(PATHS):
        assert found[path] is before[path]


def test_sparsity_by_position_is_that_of_each_tensor():
    sparsities = [0.0, 0.25, 0.5, 0.75, 0.9]
    found, before = flatten(prune_by(PARAMS, PATHS, sparsities)), flatten(PARAMS)
    for path, sparsity in zip(PATHS, sparsities, strict=True):
        w = before[path]
        chex.assert_trees_all_equal(found[path], jnp.where(keep_mask(abs(w), sparsity), w, 0))
        assert int(jnp.sum(found[path] == 0)) == round(sparsity * w.size)
    for path in set(before) - set(PATHS):
        assert found[path] is before[path]


def test_a_mapping_of_bits_is_an_ordinary_configuration():
    bits = dict(zip(PATHS, (2, 3, 4, 6, 8), strict=True))
    method = quantize(bits)
    before = method.init(PARAMS, key=KEY)
    params, state = method.update(PARAMS, before)
    chex.assert_trees_all_equal_shapes_and_dtypes(before, state)
    assert {path: int(b) for path, b in state.bits.items()} == bits
    mixed = method.apply(params, state)
    chex.assert_trees_all_equal(mixed, quantize_by(PARAMS, PATHS, [bits[p] for p in PATHS]))
    chex.assert_trees_all_equal(method.apply(mixed, state), mixed)
    for path, b in bits.items():  # each as if it were alone
        alone = matching(path, quantize(b))
        only = alone.apply(*alone.update(PARAMS, alone.init(PARAMS, key=KEY)))
        chex.assert_trees_all_equal(flatten(only)[path], flatten(mixed)[path])


def test_kernels_that_a_mapping_does_not_name_stay_in_floating_point():
    method = quantize({PATHS[0]: 2}, min_bits=4)
    params, state = method.update(PARAMS, method.init(PARAMS, key=KEY))
    assert {path: int(b) for path, b in state.bits.items()} == dict.fromkeys(PATHS, 32) | {
        PATHS[0]: 4
    }
    found = flatten(method.apply(params, state))
    before = flatten(PARAMS)
    chex.assert_trees_all_equal(found[PATHS[0]], fake_quant(before[PATHS[0]], 4))
    for path in PATHS[1:]:
        np.testing.assert_array_equal(found[path], before[path])


def test_a_row_compresses_one_tensor_and_the_grid_is_complete():
    rows = cells(3, [2, 8])
    assert rows.shape == (6, 3)
    np.testing.assert_array_equal(np.sum(rows != 32, axis=1), 1)
    grid = rows.reshape(3, 2, 3)
    for tensor in range(3):
        np.testing.assert_array_equal(grid[tensor, :, tensor], [2, 8])
    np.testing.assert_array_equal(cells(2, [0.5], left_alone=0.0), [[0.5, 0.0], [0.0, 0.5]])


@pytest.mark.parametrize("strategy, chunk", [("map", 8), ("vmap", 7), ("vmap", 99)])
def test_every_cell_equals_its_tensor_compressed_by_hand(strategy, chunk):
    """25 cells are no multiple of 7."""
    rows = cells(len(PATHS), LEVELS)
    found = evaluate_cells(
        evaluate,
        PARAMS,
        lambda params, row: quantize_by(params, PATHS, row),
        rows,
        strategy=strategy,
        chunk=chunk,
    )
    assert found["each"].shape == (25, 16)
    by_hand = []
    for path in PATHS:
        for bits in LEVELS:
            method = matching(path, quantize(bits))
            params, state = method.update(PARAMS, method.init(PARAMS, key=KEY))
            by_hand.append(evaluate(method.apply(params, state)))
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *by_hand)
    chex.assert_trees_all_close(found, expected, rtol=2e-4, atol=1e-5)


def test_a_row_at_which_nothing_happens_is_the_model_itself():
    rows = {"bits": jnp.full((1, 5), 32.0), "sparsity": jnp.zeros((1, 5))}

    def compress(params, row):
        return quantize_by(prune_by(params, PATHS, row["sparsity"]), PATHS, row["bits"])

    chex.assert_trees_all_equal(compress(PARAMS, jax.tree.map(lambda x: x[0], rows)), PARAMS)
    found = jax.jit(lambda rows: evaluate_cells(evaluate, PARAMS, compress, rows))(rows)
    chex.assert_trees_all_close(found["mean"][0], evaluate(PARAMS)["mean"], rtol=1e-5)


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_one_trace_serves_all_tensors_levels_and_mixed_precision(strategy):
    traces = []

    def counted(params):
        traces.append(1)
        return evaluate(params)

    @jax.jit
    def program(params, rows):
        return evaluate_cells(
            counted,
            params,
            lambda params, row: quantize_by(params, PATHS, row),
            rows,
            strategy=strategy,
            chunk=4,
        )

    program(PARAMS, cells(len(PATHS), LEVELS))
    mixed = np.random.default_rng(0).choice(LEVELS, size=(25, 5)).astype(np.float32)
    program(nets.params(1), mixed)
    assert len(traces) == 1


def test_sparsity_is_traced_too():
    program = jax.jit(lambda row: prune_by(PARAMS, PATHS, row))
    for row in ([0.0, 0.5, 0.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4, 0.5]):
        chex.assert_trees_all_equal(program(jnp.array(row)), prune_by(PARAMS, PATHS, row))
    assert program._cache_size() <= 1  # JAX forgets some where there are very many


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"bits\['head/kernel'\] must be 2 to 8, .* got 9"):
        quantize({"head/kernel": 9})
    with pytest.raises(ValueError, match="no kernel: head/bias, tail"):
        quantize({"tail": 4, "head/bias": 4}).init(PARAMS, key=KEY)
    with pytest.raises(ValueError, match=r"bits must be one a path, \[5\], got \[2\]"):
        quantize_by(PARAMS, PATHS, [4, 4])
    with pytest.raises(ValueError, match=r"1\.5"):
        prune_by(PARAMS, PATHS[:1], [1.5])
    with pytest.raises(ValueError, match="compressed: tail"):
        quantize_by(PARAMS, ["tail"], [4])
    with pytest.raises(ValueError, match="twice"):
        prune_by(PARAMS, [PATHS[0], PATHS[0]], [0.1, 0.1])
    with pytest.raises(ValueError, match="'loop'"):
        evaluate_cells(evaluate, PARAMS, prune_by, jnp.zeros((1, 5)), strategy="loop")
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        evaluate_cells(evaluate, PARAMS, prune_by, jnp.zeros((1, 5)), chunk=0)
    with pytest.raises(ValueError, match="leading axis"):
        evaluate_cells(evaluate, PARAMS, prune_by, (jnp.zeros((1, 5)), jnp.zeros((2, 5))))
