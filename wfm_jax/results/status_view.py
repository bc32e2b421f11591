"""The board of a running sweep as people see it: a pure function from its status to renderables.

It fits a terminal of 80 columns and 24 lines, however many cohorts there are: those at work are
shown, the others are counted.
"""

import math
from collections import Counter
from collections.abc import Sequence

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from wfm_jax.results.forecast import in_words
from wfm_jax.results.naming import DASH
from wfm_jax.results.standing import Best, Standing
from wfm_jax.results.status import FINISHED, TRAINING, WAITING, Board, Part, Status

SWEEP = "sweep"
"""The title of the stretch whose units are configurations."""
WIDTH, HEIGHT = 100, 24
_FIXED_LINES = (
    9  # borders, bar, note, headings, what is counted, best, diverged, rows, and one free
)
_MOST_NAMED = 3  # of those that diverged


def status_view(
    status: Status, *, now: float, height: int = HEIGHT, state: str = ""
) -> RenderableType:
    """A panel of at most ``height`` lines.

    Args:
        status: where the run is.
        now: Unix time; what is left gets less by what went by since the status was told.
        height: lines of the screen.
        state: a word on the run for the title, like ``stopped``; empty for none.
    """
    board = status.board
    if board is not None and board.is_finished and status.title == SWEEP:
        words = "every configuration has its row"
        status = status._replace(done=1.0, total=1, left_s=None, note=words)
    lines: list[RenderableType] = [_bar(status, now), _note(status)]
    if board is not None:
        if board.parts:
            lines.append(_parts(board, max(1, height - _FIXED_LINES)))
        lines.append(_standing(board))
    title = " ".join(word for word in (_title(status), state) if word)
    return Panel(Group(*lines), title=Text(title), title_align="left", box=ROUNDED, padding=(0, 1))


def best_words(best: Best) -> str:
    """The best so far in a line: what it is, how large, and how good."""
    ratio = f" ({best.ratio:.1f}x)" if math.isfinite(best.ratio) else ""
    interval = f" ± {100 * best.half_width:.1f}" if best.half_width <= 1.0 else ""
    score = "keeps" if best.is_retention else "GMI fraction"
    words = f"{best.label}, {best.size_bytes / 1e3:,.1f} kB{ratio}, {score}"
    words = f"{words} {100 * best.score:.1f}{interval} %"
    return words if best.keeps_the_goal else f"{words} (below 95 %)"


def diverged_words(standing: Standing, most: int = _MOST_NAMED) -> str:
    """How many diverged, and which of them at which step; the last ones where there are many."""
    if not standing.diverged:
        return "none"
    named = [
        f"{one.label} at step {one.step}" if one.step >= 0 else one.label
        for one in standing.diverged[-most:]
    ]
    more = ", ..." if len(standing.diverged) > most else ""
    return f"{len(standing.diverged)}: {', '.join(reversed(named))}{more}"


def stage_words(part: Part) -> str:
    """The stage of a cohort, and how far into it."""
    if part.stage == TRAINING:
        return f"training, round {part.round}, step {part.step} of {part.steps}"
    return part.stage


def _title(status: Status) -> str:
    if status.board is None:
        return status.title
    return f"sweep: {status.board.standing.rows} of {status.board.asked} configurations"


def _bar(status: Status, now: float) -> RenderableType:
    share = min(1.0, status.done / status.total) if status.total else 0.0
    left_s = None if status.left_s is None else max(1.0, status.left_s - (now - status.told))
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    words = ", ".join(word for word in (f"{share:.0%}", in_words(left_s)) if word)
    line.add_row(ProgressBar(total=1.0, completed=share), Text(words, style="cyan"))
    return line


def _note(status: Status) -> RenderableType:
    words = status.note
    if status.board is not None and status.title != SWEEP:
        words = f"{status.title}: {words}" if words else status.title
    return Text(words or " ", style="dim", no_wrap=True, overflow="ellipsis")


def _parts(board: Board, most: int) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=True, header_style="bold")
    table.add_column("student", no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column("seed", justify="right", no_wrap=True)
    table.add_column("cohort", justify="right", no_wrap=True)
    table.add_column("stage", no_wrap=True, overflow="ellipsis", ratio=4)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    of_seed = Counter((part.group, part.seed) for part in board.parts)
    shown = _shown(board.parts, most)
    for part in shown:
        table.add_row(
            Text(part.group),
            str(part.seed),
            f"{part.cohort}/{of_seed[part.group, part.seed]}",
            Text(stage_words(part), style={FINISHED: "green", WAITING: "dim"}.get(part.stage, "")),
            f"{part.rows}/{part.total}",
            _left(part, board),
        )
    rest = Counter(part.stage for part in board.parts) - Counter(part.stage for part in shown)
    if not rest:
        return table
    words = ", ".join(f"{n} {stage}" for stage, n in rest.items())
    return Group(table, Text(f"and {rest.total()} more cohorts: {words}", style="dim"))


def _shown(parts: Sequence[Part], most: int) -> list[Part]:
    """At most so many in their order: those at work, then what waits, then what is finished."""
    urgency = {FINISHED: 2, WAITING: 1}
    order = sorted(range(len(parts)), key=lambda i: (urgency.get(parts[i].stage, 0), i))
    return [parts[i] for i in sorted(order[:most])]


def _left(part: Part, board: Board) -> str:
    if part.stage == FINISHED:
        return DASH
    return in_words(part.left_s(board.paces_s)).removeprefix("about ").removesuffix(" left")


def _standing(board: Board) -> RenderableType:
    standing, best = board.standing, board.standing.best
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True, min_width=11)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_row("best so far", Text(best_words(best) if best else DASH, style="green"))
    diverged = Text(diverged_words(standing), style="red" if standing.diverged else "")
    table.add_row("diverged", diverged)
    dropped = f", {standing.dropped} dropped by halving" if standing.dropped else ""
    table.add_row("rows done", Text(f"{standing.rows} of {board.asked}{dropped}"))
    return table
