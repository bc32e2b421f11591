"""The board fits its screen and says what the status says."""

import io

import pytest
from rich.console import Console

from tests.results import statuses
from wfm_jax.results.standing import Standing
from wfm_jax.results.status import Board, Status
from wfm_jax.results.status_view import best_words, diverged_words, status_view


def shown(status, width=100, height=24, **kwargs):
    console = Console(width=width, height=height, file=io.StringIO(), record=True)
    console.print(status_view(status, now=status.told, height=height, **kwargs))
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("height", [14, 22, 60])
@pytest.mark.parametrize("n_waiting", [0, 1, 7, 500])
def test_it_fits_the_screen(width, height, n_waiting):
    lines = shown(statuses.running(n_waiting, 40), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any("diverged" in line and "40:" in line for line in lines)
    assert any("training, round 1" in line for line in lines)  # who works is always shown
    assert any("best so far" in line and "P-Q-KD 4b/75%" in line for line in lines)


def test_it_says_all_on_a_small_terminal():
    text = "\n".join(shown(statuses.running(2), 80, 22))
    for words in (
        "sweep: 51 of 204 configurations",
        "35%, about 7 min left",
        "smaller: 51 in training, step 75 of 200",
        "51/51",
        "90.1 kB (8.5x), keeps 90.1 ± 1.2 % (below 95 %)",
        "1: P-FT 50% at step 57",
        "51 of 204",
        "2 min",  # of the cohort that trains: 6375 x 0.02 s + 51 x 0.3 s
    ):
        assert words in text


def test_those_that_do_not_fit_are_counted():
    status = statuses.running(500)
    lines = shown(status, 80, 22)
    (more,) = (line for line in lines if "more cohorts" in line)
    rows = sum("waiting" in line or "training, round" in line for line in lines) - 1
    assert f"and {len(status.board.parts) - rows} more cohorts: " in more


def test_time_left_runs_down_between_two_tellings():
    console = Console(width=80, file=io.StringIO(), record=True)
    status = statuses.running()
    console.print(status_view(status, now=status.told + 300.0))
    assert "about 2 min left" in console.export_text()


def test_before_the_sweep_begins_the_teachers_training_is_shown():
    lines = shown(Status("teacher", 250.0, 1000, "bits 0.7", 30.0))
    assert "teacher" in lines[0]
    assert "25%, about 30 s left" in lines[1]


def test_a_sweep_that_is_done_says_so():
    status = statuses.running()
    board = status.board._replace(standing=status.board.standing._replace(rows=102))
    text = "\n".join(shown(status._replace(board=board)))
    assert "100%" in text
    assert "every configuration has its row" in text
    assert "left" in text  # the column's heading
    assert "about" not in text


def test_the_best_says_whether_it_keeps_the_goal():
    assert best_words(statuses.BEST).endswith("(below 95 %)")
    assert best_words(statuses.BEST._replace(score=0.97)).endswith("keeps 97.0 ± 1.2 %")


def test_those_that_diverged_are_counted_and_the_last_are_named():
    lost = statuses.running(0, 5).board.standing
    assert diverged_words(Standing()) == "none"
    assert diverged_words(lost, 2) == "5: P-FT 54% at step 61, P-FT 53% at step 60, ..."


def test_nothing_of_a_status_is_read_as_markup():
    board = Board(1, ())
    status = Status("[red]sweep[/red]", 0.0, 1, "[bold]note", board=board)
    assert "[bold]note" in "\n".join(shown(status))
