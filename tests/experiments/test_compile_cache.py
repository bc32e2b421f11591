"""Where compiled programs are kept between runs."""

import os
import time

import jax
import pytest
from absl import flags
from absl.testing import flagsaver
from jax.experimental.compilation_cache import compilation_cache

from experiments import compile_cache

OPTIONS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """JAX's options are those of before."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    before = {name: getattr(jax.config, name) for name in OPTIONS}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture
def use():
    def call(value):
        flags.FLAGS.mark_as_parsed()
        with flagsaver.flagsaver(compile_cache=value):
            compile_cache.use()

    return call


def test_off_is_off_whatever_the_environment_says(use, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    use("off")
    assert not jax.config.jax_enable_compilation_cache
    with flagsaver.flagsaver(compile_cache="off"):
        assert compile_cache.folder() is None


def test_a_folder_is_made_and_loses_what_is_old_and_jaxs(use, tmp_path):
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    ours = ("old-cache", "old-atime", "old-references.safetensors", "new-cache")
    for name in (*ours, "old-of-somebody"):
        (folder / name).write_bytes(b"")
        if name.startswith("old"):
            os.utime(folder / name, (0, time.time() - 31 * 24 * 3600))
    use(str(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["new-cache", "old-of-somebody"]
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert compile_cache.folder() == folder


def test_auto_leaves_the_environments_folder_alone(use, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "theirs"))
    before = jax.config.jax_compilation_cache_dir
    use("auto")
    assert jax.config.jax_compilation_cache_dir == before


def test_auto_is_a_folder_of_the_user(use, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    use("auto")
    (made,) = (tmp_path / "wfm_jax").iterdir()
    assert jax.config.jax_compilation_cache_dir == str(made)


def test_a_folder_that_cannot_be_is_a_line(use, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(flags.ValidationError, match=r"--compile_cache=.*: Not a directory"):
        use(str(tmp_path / "file" / "below"))


def test_a_home_that_cannot_be_written_is_no_error(use, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    use("auto")
