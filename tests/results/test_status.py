"""A status goes through its file unchanged, and nothing else passes for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.results import statuses
from wfm_jax.results.progress import Both, Silent
from wfm_jax.results.status import FINISH, TRAIN, Board, Part, Status
from wfm_jax.results.status_file import NAME, StatusFile, read_status


@pytest.mark.parametrize("status", [Status(), statuses.running(3, 5)])
def test_a_status_is_read_as_it_was_written(status):
    assert Status.from_json(status.to_json()) == status


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = json.loads(statuses.running(1, 1).to_json())


@given(
    st.sampled_from(sorted(FIELDS)) | st.sampled_from(sorted(FIELDS["board"])),
    JSON,
)
def test_a_field_of_another_kind_is_refused_or_harmless(name, value):
    """Whatever is taken can be written again."""
    board = FIELDS["board"] | ({name: value} if name in FIELDS["board"] else {})
    fields = FIELDS | {"board": board} | ({name: value} if name in FIELDS else {})
    try:
        status = Status.from_json(json.dumps(fields))
    except ValueError:
        return
    assert Status.from_json(status.to_json()).to_json() == status.to_json()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{" * 10_000, '{"board": 1}'])
def test_what_is_no_status_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        Status.from_json(text)


def test_time_left_of_a_part_is_work_times_pace():
    part = Part("same", 0, 1, 10, train_left=100.0, finish_left=10.0)
    assert part.left_s({TRAIN: 0.5, FINISH: 3.0}) == 100 * 0.5 + 10 * 3.0
    assert part.left_s({FINISH: 3.0}) is None
    assert part.did(TRAIN, 100.0).left_s({FINISH: 3.0}) == 30.0
    assert part.did(TRAIN, 101.0).train_left == 0.0
    assert part.did("compile", 1.0) == part


def test_the_file_follows_a_run(tmp_path):
    file = StatusFile(tmp_path)
    both = Both(Silent(), file)
    both.start("sweep", 4, 1)
    assert read_status(tmp_path).title == "sweep"
    both.advance(1.5, "training", left_s=12.0)
    board = Board(4, (Part("same", 0, 1, 4),))
    both.show(board)
    both.close()
    status = read_status(tmp_path)
    assert (status.done, status.total, status.note) == (2.5, 4, "training")
    assert (status.left_s, status.board) == (12.0, board)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_folder_that_is_gone_does_not_end_the_run(tmp_path):
    file = StatusFile(tmp_path / "gone")
    file.start("sweep", 4)
    file.close()
    assert read_status(tmp_path) is None


def test_the_time_left_follows_from_the_pace_where_nobody_knows_better(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("wfm_jax.results.progress.time.monotonic", lambda: now[0])
    file = StatusFile(tmp_path)
    file.start("teacher", 10, 2)
    now[0] += 6.0
    file.advance(2)
    assert file.status.left_s == 18.0  # 3 s a unit, 6 to go
    file.advance(6)
    assert file.status.left_s is None
