"""What a sweep tells on a terminal and where there is none."""

import io

import pytest
from rich.console import Console

from tests.results import statuses
from wfm_jax.results.live import Lines, Live
from wfm_jax.results.standing import Diverged
from wfm_jax.results.status import Board


@pytest.fixture
def lines(capsys):
    def told(*boards):
        progress = Lines()
        for board in boards:
            progress.show(board)
        progress.close()
        return capsys.readouterr().out.splitlines()

    return told


def test_a_line_for_each_best_and_each_that_diverged(lines):
    board = statuses.running(0, 1).board
    better = board.standing._replace(best=statuses.BEST._replace(score=0.99))
    lost = board.standing.with_diverged([Diverged("P 1%", "x", 3), Diverged("P 2%", "y", 4)])
    told = lines(board, board, board._replace(standing=better), board._replace(standing=lost))
    assert [line.split(":")[0] for line in told] == [
        "best so far",
        "diverged",
        "best so far",
        "best so far",
        "diverged",
    ]
    assert told[1] == "diverged: 1: P-FT 50% at step 57"
    assert told[4] == "diverged: 2: P 2% at step 4, P 1% at step 3"


def test_a_board_without_news_says_nothing(lines):
    assert lines(Board(3)) == []


def test_the_panel_stays_as_it_was_last(capsys):
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True)
    live = Live(console)
    live.start("sweep", 102)
    live.show(statuses.running().board)
    live.say("a line with [brackets]")
    live.advance(51.0, "smaller: measuring", left_s=30.0)
    live.close()
    live.close()
    out = console.file.getvalue()
    assert "a line with [brackets]" in out
    last = out.rsplit("╭", 1)[1]
    assert "smaller: measuring" in last
    assert "50%" in last
    assert out.endswith("╯\n\x1b[?25h")  # the cursor is back, on a line of its own
