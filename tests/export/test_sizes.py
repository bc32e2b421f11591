"""What the committed teachers weigh, pruned and at 4 bits, with everything in the file."""

import functools
import time

import jax
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.evaluate.cost import is_prunable
from wfm_jax.export.bound import total_bound
from wfm_jax.export.from_model import pack_model
from wfm_jax.export.grids import Uniform
from wfm_jax.export.load_model import load_model, model_metadata
from wfm_jax.export.packed import pack, size_breakdown
from wfm_jax.train.model_files import PRETRAINED, PRETRAINED_MICRO, load_teacher

TARGETS = [
    (PRETRAINED, 0.75, 13),
    (PRETRAINED, 0.9, 20),
    (PRETRAINED_MICRO, 0.75, 15),
    (PRETRAINED_MICRO, 0.9, 26),
]


@functools.cache
def teacher(name):
    return load_teacher(name)


@jax.jit
def compress_weights(params, sparsity):
    """Kernels of the blocks pruned, all matrices at 4 bits, vectors at 8, scales of few digits.

    Returns what the forward pass sees, keep masks, and scales, by path name.
    """
    key = jax.random.key(0)
    prune = compress.matching(is_prunable, compress.magnitude_prune(sparsity))
    snap = compress.quantize(4, scale=compress.coarse("absmax"))
    params, pruned = prune.update(params, prune.init(params, key=key))
    params, snapped = snap.update(params, snap.init(params, key=key))
    seen, scales = compress.flatten(prune.apply(snap.apply(params, snapped), pruned)), {}
    for path, w in seen.items():
        if w.ndim == 1:
            scales[path] = compress.round_up_scale(compress.absmax_scale(w, 8))
            seen[path] = compress.fake_quant(w, 8, scale=scales[path])
    return seen, pruned.keep, snapped.scale | scales


def compressed(name, sparsity):
    """The weights of a teacher by path name, and the tensors of its file."""
    seen, keep, scales = jax.device_get(compress_weights(teacher(name).params, sparsity))
    grids = {path: Uniform(4 if seen[path].ndim > 1 else 8, s) for path, s in scales.items()}
    exact = {path: on_grid(w, grids[path]) for path, w in seen.items()}
    return exact, pack_model(exact, keep=keep, grids=grids)


def on_grid(weights, grid):
    """As a reader gets them: a compiled program may round its products otherwise."""
    grid = grid.checked(weights.shape)
    exact = grid.weights(grid.codes(weights))
    np.testing.assert_allclose(exact, weights, rtol=1e-6)
    return exact


@pytest.mark.parametrize(("name", "sparsity", "smaller"), TARGETS)
def test_the_file_is_as_small_as_it_should_be(name, sparsity, smaller, tmp_path, capsys):
    config, params, _ = teacher(name)
    metadata = model_metadata(config)
    plain = {path: np.asarray(w) for path, w in compress.flatten(params).items()}
    full = len(pack(pack_model(plain), metadata))
    assert full == pytest.approx(4 * sum(w.size for w in plain.values()), rel=0.001)

    seen, tensors = compressed(name, sparsity)
    data = pack(tensors, metadata)
    sizes, bound = size_breakdown(data), total_bound(tensors)
    with capsys.disabled():
        print(f"\n{name}, {sparsity:.0%} pruned: {full} / {len(data)} = {full / len(data):.2f}")
        print(f"  {', '.join(f'{part} {size}' for part, size in sizes.items() if size)}")
        print(f"  entropy of masks {bound.mask:.0f}, of values {bound.values:.0f}")
    assert sum(sizes.values()) == len(data)
    assert smaller * len(data) <= full
    weights = sum(sizes[part] for part in ("pruned", "matrices", "vectors"))
    assert weights + sizes["histograms"] < 1.02 * bound.total

    file = tmp_path / "model.wfm"
    file.write_bytes(data)
    model = load_model(file)
    assert model.config == config
    for path, w in model.params.items():
        assert w.tobytes() == seen[path].tobytes()


def test_thousands_of_files_take_minutes():
    """50 ms each for the nano model; five times that where the machine is busy."""
    _, tensors = compressed(PRETRAINED, 0.75)

    def seconds():
        began = time.process_time()
        pack(tensors)
        return time.process_time() - began

    assert min(seconds() for _ in range(5)) < 0.25
