"""Checkpoints come back exactly, or not at all."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wfm_jax.results import checkpoint
from wfm_jax.results.checkpoint import CheckpointError


def a_tree():
    params = {
        "block_0": {"kernel": jnp.arange(12.0).reshape(3, 4), "bias": jnp.ones(4, jnp.bfloat16)}
    }
    return {
        "params": params,
        "optimizer": optax.adam(1e-3).init(params),
        "key": jax.random.key(1),
        "keys": jax.random.split(jax.random.key(2, impl="rbg"), 3),
        "keep": np.array([True, False]),
        "empty": jnp.zeros((0, 3)),
        "step": 7,
        "nothing": None,
    }


def data(leaf):
    is_key = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert type(a) is type(b)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
        np.testing.assert_array_equal(data(a), data(b))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint"
    checkpoint.save(path, a_tree(), config_hash="abc", metadata={"step": 7, "loss": np.float32(2)})
    return path


def test_round_trip(saved):
    restored = checkpoint.restore(saved, a_tree(), config_hash="abc")
    assert_same(restored, a_tree())
    assert checkpoint.read_metadata(saved) == {"step": 7, "loss": 2}
    key = restored["keys"][0]
    np.testing.assert_array_equal(
        jax.random.normal(key),
        jax.random.normal(jax.random.split(jax.random.key(2, impl="rbg"), 3)[0]),
    )


def test_shapes_alone_are_enough_to_restore(tmp_path):
    tree = {"w": jnp.ones((2, 3)), "key": jax.random.key(0)}
    checkpoint.save(tmp_path / "c", tree, config_hash="h")
    like = jax.eval_shape(lambda: tree)
    assert_same(checkpoint.restore(tmp_path / "c", like, config_hash="h"), tree)


@pytest.mark.parametrize("tree", [{}, {"a": jnp.zeros((0,))}, {"": jnp.ones(2)}, jnp.ones(3)])
def test_odd_trees(tmp_path, tree):
    checkpoint.save(tmp_path / "c", tree, config_hash="h")
    assert_same(checkpoint.restore(tmp_path / "c", tree, config_hash="h"), tree)


def test_ambiguous_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="share a path name"):
        checkpoint.save(tmp_path, {"a": {"b": 1}, "a/b": 2}, config_hash="h")


def test_saving_again_replaces(saved):
    checkpoint.save(saved, {"w": jnp.ones(2)}, config_hash="new", metadata={"step": 8})
    assert checkpoint.read_metadata(saved) == {"step": 8}
    assert len(os.listdir(saved)) == 2  # the one before is there to fall back to


def test_every_mismatch_is_named_in_one_line(saved):
    like = a_tree()
    del like["params"]["block_0"]["bias"]
    like["params"]["block_0"]["kernel"] = jnp.zeros((3, 5))
    like["keep"] = np.array([1, 0], np.int8)
    like["head"] = jnp.zeros(2)
    like["key"] = jax.random.key(1, impl="rbg")
    with pytest.raises(CheckpointError) as caught:
        checkpoint.restore(saved, like, config_hash="abc")
    message = str(caught.value)
    assert "missing head" in message
    assert "extra params/block_0/bias" in message
    assert "params/block_0/kernel (stored float32[3, 4], wanted float32[3, 5])" in message
    assert "keep (stored bool[2], wanted int8[2])" in message
    assert "key (stored key<fry>[], wanted key<rbg>[])" in message
    assert "\n" not in message


def test_another_configuration_is_refused(saved):
    with pytest.raises(CheckpointError, match="belongs to configuration abc, not to xyz"):
        checkpoint.restore(saved, a_tree(), config_hash="xyz")


def test_nothing_there(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CheckpointError, match="holds no checkpoint"):
            checkpoint.restore(path, {}, config_hash="h")
        with pytest.raises(CheckpointError, match="holds no checkpoint"):
            checkpoint.read_metadata(path)


def files_of(path):
    return sorted(file for file in path.rglob("*") if file.is_file())


def test_every_damaged_file_is_noticed(saved, tmp_path):
    for number, file in enumerate(files_of(saved)):
        for damage in ("flip", "cut", "remove"):
            copy = tmp_path / f"{number}{damage}"
            shutil.copytree(saved, copy)
            target = copy / file.relative_to(saved)
            content = bytearray(target.read_bytes())
            if damage == "remove":
                target.unlink()
            elif damage == "cut":
                target.write_bytes(content[: len(content) // 2])
            else:
                content[(len(content) * 2) // 3] ^= 4
                target.write_bytes(content)
            with pytest.raises(CheckpointError, match="damaged"):
                checkpoint.restore(copy, a_tree(), config_hash="abc")


def test_a_later_format_is_refused(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "_FORMAT", 0)
    with pytest.raises(CheckpointError, match="has format 1, this version reads 0"):
        checkpoint.read_metadata(saved)


@pytest.mark.parametrize("where", ["arrays", "sidecar", "rename"])
def test_a_kill_while_saving_leaves_the_old_one(saved, monkeypatch, where):
    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        name = {"arrays": "_orbax_save", "sidecar": "_file_digests", "rename": "os.replace"}[where]
        target = os if where == "rename" else checkpoint
        patch.setattr(target, name.removeprefix("os."), die)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(saved, {"w": jnp.ones(2)}, config_hash="new")
    assert_same(checkpoint.restore(saved, a_tree(), config_hash="abc"), a_tree())
    checkpoint.save(saved, {"w": jnp.ones(2)}, config_hash="new")
    assert len(os.listdir(saved)) == 2  # the one before is there to fall back to


def test_a_kill_while_removing_the_old_one_leaves_the_new_one(saved, monkeypatch):
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    tree = {"w": jnp.ones(2)}
    checkpoint.save(saved, tree, config_hash="new")
    (old,) = (folder for folder in saved.iterdir() if folder.name == "1")
    (old / "sidecar.json").unlink()
    assert_same(checkpoint.restore(saved, tree, config_hash="new"), tree)


def test_nothing_is_pickled_and_the_sidecar_is_text(saved):
    (sidecar,) = saved.rglob("sidecar.json")
    content = json.loads(sidecar.read_text().split("\n", 1)[1])
    assert content["leaves"]["params/block_0/kernel"]["shape"] == [3, 4]
    assert not [file for file in files_of(saved) if b"\x80\x04\x95" in file.read_bytes()]


def two_generations(path):
    checkpoint.save(path, {"w": jnp.zeros(2)}, config_hash="abc", metadata={"step": 1})
    checkpoint.save(path, {"w": jnp.ones(2)}, config_hash="abc", metadata={"step": 2})


def test_the_last_good_one_is_the_newest(tmp_path):
    two_generations(tmp_path / "c")
    assert checkpoint.last_good(tmp_path / "c") == (2, {"step": 2}, "")


@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_every_damaged_file_of_the_newest_is_told_and_the_one_before_serves(tmp_path, damage):
    two_generations(tmp_path / "whole")
    names = [
        file.relative_to(tmp_path / "whole")
        for file in (tmp_path / "whole" / "2").rglob("*")
        if file.is_file() and file.stat().st_size
    ]
    assert len(names) >= 3
    for i, name in enumerate(names):
        path = tmp_path / str(i)
        shutil.copytree(tmp_path / "whole", path)
        content = bytearray((path / name).read_bytes())
        if damage == "remove":
            (path / name).unlink()
        elif damage == "cut":
            (path / name).write_bytes(content[: len(content) // 2])
        else:
            content[len(content) // 2] ^= 1
            (path / name).write_bytes(content)
        good = checkpoint.last_good(path)
        assert good[:2] == (1, {"step": 1})
        assert f"{path / '2'} is damaged" in good.damage
        like = {"w": jnp.ones(2)}
        tree = checkpoint.restore(path, like, config_hash="abc", generation=good.generation)
        np.testing.assert_array_equal(tree["w"], np.zeros(2))


def test_all_damaged_is_an_error_that_names_each(tmp_path):
    two_generations(tmp_path / "c")
    for sidecar in (tmp_path / "c").rglob("sidecar.json"):
        sidecar.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"c/2 is damaged.*c/1 is damaged"):
        checkpoint.last_good(tmp_path / "c")
