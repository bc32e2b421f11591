"""A full disk is told before a run begins."""

import shutil

import pytest

from wfm_jax.results.room import check_room, in_units


def test_what_is_free_is_enough_for_itself_and_for_no_more(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    check_room(tmp_path, free / 2)
    with pytest.raises(ValueError, match=r"free, and about .* will be written") as refused:
        check_room(tmp_path, 1000.0 * free)
    assert str(tmp_path) in str(refused.value)


def test_units():
    assert in_units(3 * 2**30 / 2) == "1.5 GiB"
    assert in_units(2**20) == "1.0 MiB"
    assert in_units(12) == "12 bytes"
