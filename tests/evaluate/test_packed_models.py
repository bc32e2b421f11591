"""Packed files as models beside their teacher: how they are called, and what is refused."""

import dataclasses
import shutil

import jax
import pytest

from tests import small
from tests.experiments import small_run
from wfm_jax import compress
from wfm_jax.evaluate.packed_models import front_files, read_packed_models
from wfm_jax.export.from_model import pack_model
from wfm_jax.export.load_model import model_metadata
from wfm_jax.export.packed import PackedFileError, save_packed
from wfm_jax.model import build, preset
from wfm_jax.results.rows import append_rows, read_rows

CONFIG = preset("pico", small.LINK)
TEACHER = "t" * 16


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The folder of two configurations, int4 the smaller and int8 the better one."""
    return small_run.make(tmp_path_factory.mktemp("runs") / "sweep")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A packed file in a folder of no sweep."""
    path = tmp_path_factory.mktemp("files") / "alone.wfm"
    params = build(CONFIG, jax.random.key(0))[1]
    save_packed(path, pack_model(compress.flatten(params)), model_metadata(CONFIG))
    return path


def test_a_sweeps_front_is_called_as_its_rows(sweep):
    paths = front_files(sweep, TEACHER, most=5, least=0.9)
    assert [path.stem for path in paths] == ["int4", "int8"]
    int4, int8 = read_packed_models(paths, CONFIG, TEACHER)
    assert int4.label == f"{paths[0].stat().st_size / 1e3:.1f} kB Q 4b"
    assert int8.label.endswith(" kB Q 8b/A8")
    assert int8.model.ranges is not None
    assert front_files(sweep, TEACHER, most=5, least=0.99) == paths[1:]
    with pytest.raises(ValueError, match=r"retention of 0\.995; the best has 0\.99"):
        front_files(sweep, TEACHER, most=5, least=0.995)


def test_only_what_this_teacher_made_is_taken(sweep, tmp_path):
    """Each of two configurations of a teacher of its own."""
    shutil.copytree(sweep, tmp_path / "sweep")
    path = tmp_path / "sweep" / "results.jsonl"
    rows, _ = read_rows(path)
    path.unlink()
    append_rows(path, [row | {"teacher_hash": f"of {row['config_id']}"} for row in rows])
    (only,) = front_files(tmp_path / "sweep", "of int8", most=5, least=0.0)
    assert only.stem == "int8"
    assert len(read_packed_models([only], CONFIG, "of int8")) == 1
    with pytest.raises(ValueError, match=r"int8\.wfm: its teacher is of int8, and not of int4"):
        read_packed_models([only], CONFIG, "of int4")
    with pytest.raises(ValueError, match="its teacher is of int4, of int8, and not tttt"):
        front_files(tmp_path / "sweep", TEACHER, most=5, least=0.0)


def test_a_folder_without_rows_is_no_sweep(tmp_path):
    with pytest.raises(ValueError, match="no sweep with finished configurations"):
        front_files(tmp_path, TEACHER, most=1, least=0.0)


def test_a_file_of_no_sweep_is_called_as_it_is_and_told_once(alone, tmp_path):
    copy = tmp_path / "copy.wfm"
    copy.write_bytes(alone.read_bytes())
    (found,) = read_packed_models([alone, copy], CONFIG, TEACHER)
    assert found.label == f"{alone.stat().st_size / 1e3:.1f} kB alone"
    assert found.size_bytes == alone.stat().st_size
    assert found.model.config == CONFIG


def test_other_constellations_and_other_files_are_named(alone, tmp_path):
    link = dataclasses.replace(small.LINK, bits_per_symbol=(2, 4))
    with pytest.raises(ValueError, match=r"alone\.wfm: its constellations have \(2, 4, 6, 8\)"):
        read_packed_models([alone], preset("pico", link), TEACHER)
    other = tmp_path / "other.wfm"
    other.write_bytes(b"no such thing")
    with pytest.raises(PackedFileError, match=r"other\.wfm"):
        read_packed_models([other], CONFIG, TEACHER)
    with pytest.raises(FileNotFoundError):
        read_packed_models([tmp_path / "nowhere.wfm"], CONFIG, TEACHER)
