"""A model as one safetensors file: strict, and the same hash as its checkpoint."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.results import checkpoint, tensors_file
from wfm_jax.results.checkpoint import CheckpointError

TREE = {
    "block_0": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.asarray([-0.0, 1e-40, 3.0])},
    "steps": jnp.asarray(7, jnp.int32),
    "half": jnp.asarray([1.5, -2.0], jnp.bfloat16),
}


@pytest.fixture
def file(tmp_path):
    tensors_file.save(tmp_path / "a.safetensors", TREE, {"who": "éa"})
    return tmp_path / "a.safetensors"


def test_what_was_saved_comes_back_bit_for_bit(file):
    again = tensors_file.load(file, jax.eval_shape(lambda: TREE))
    chex.assert_trees_all_equal_shapes_and_dtypes(again, TREE)
    for got, saved in zip(jax.tree.leaves(again), jax.tree.leaves(TREE), strict=True):
        assert np.asarray(got).tobytes() == np.asarray(saved).tobytes()
    assert tensors_file.read_metadata(file) == {"who": "éa"}


def test_the_hash_is_that_of_the_checkpoint(file, tmp_path):
    checkpoint.save(tmp_path / "folder", TREE, config_hash="x")
    assert tensors_file.content_hash(file) == checkpoint.content_hash(tmp_path / "folder")
    changed = {**TREE, "steps": jnp.asarray(8, jnp.int32)}
    tensors_file.save(tmp_path / "b.safetensors", changed, {})
    assert tensors_file.content_hash(tmp_path / "b.safetensors") != tensors_file.content_hash(file)


def test_missing_extra_and_reshaped_arrays_are_named(file):
    wanted = {"block_0": {"kernel": jnp.zeros((3, 2)), "gain": jnp.zeros(3)}, "half": TREE["half"]}
    with pytest.raises(CheckpointError) as error:
        tensors_file.load(file, wanted)
    line = str(error.value)
    assert "missing block_0/gain" in line
    assert "extra block_0/bias, steps" in line
    assert "reshaped block_0/kernel (stored float32[2, 3], wanted float32[3, 2])" in line


def test_what_is_not_there_or_not_whole_is_one_line(file, tmp_path):
    with pytest.raises(CheckpointError, match="is not a file"):
        tensors_file.load(tmp_path / "nowhere.safetensors", TREE)
    whole = file.read_bytes()
    for damaged in (whole[:-4], whole[:20], b"", b"PK\x03\x04" + whole):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="not a whole safetensors file") as error:
            tensors_file.load(file, TREE)
        assert "\n" not in str(error.value)


def test_a_save_replaces_in_one_step(file):
    tensors_file.save(file, {"a": jnp.ones(2)}, {})
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    chex.assert_trees_all_equal(tensors_file.load(file, {"a": jnp.zeros(2)}), {"a": jnp.ones(2)})
