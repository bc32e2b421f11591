"""Where a long run is: a plain value, shown while it runs and kept in its folder for others."""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from wfm_jax.results.standing import Best, Diverged, Standing

TRAIN, FINISH = "train", "finish"
"""Kinds of a configuration's work: optimizer steps, and pruning, quantizing and measuring it."""
WAITING, COMPILING, SHAPING = "waiting", "compiling", "pruning and quantizing"
TRAINING, MEASURING, FINISHED = "training", "measuring", "finished"


class Part(NamedTuple):
    """A cohort: configurations of one architecture and seed that go through their pipelines
    together.

    Attributes:
        group: the architecture's name, ``same`` or ``smaller``.
        seed: of its data stream and initial draws.
        cohort: which one of its group and seed, from 1.
        total: configurations in it.
        rows: of these, how many have a row.
        stage: one of the words of this module.
        round: of training, from 1; 0 before the first.
        step: optimizer steps into the round.
        steps: of the round.
        train_left: configuration-steps left to train.
        finish_left: configurations left to finish.
    """

    group: str
    seed: int
    cohort: int
    total: int
    rows: int = 0
    stage: str = WAITING
    round: int = 0
    step: int = 0
    steps: int = 0
    train_left: float = 0.0
    finish_left: float = 0.0

    def did(self, kind: str, units: float) -> "Part":
        """With so many units less to do; more if negative."""
        field = {TRAIN: "train_left", FINISH: "finish_left"}.get(kind)
        return self._replace(**{field: max(0.0, getattr(self, field) - units)}) if field else self

    def left_s(self, paces_s: Mapping[str, float]) -> float | None:
        """Seconds that are left of it alone; None while a pace is not known."""
        total = 0.0
        for kind, units in ((TRAIN, self.train_left), (FINISH, self.finish_left)):
            if units and kind not in paces_s:
                return None
            total += units * paces_s.get(kind, 0.0)
        return total


class Board(NamedTuple):
    """What a sweep tells of itself.

    Attributes:
        asked: configurations that are asked for, those with rows included.
        parts: its cohorts, in the order in which they run.
        standing: what the rows say.
        paces_s: seconds of a unit of work by its kind, as far as they are known.
    """

    asked: int
    parts: tuple[Part, ...] = ()
    standing: Standing = Standing()
    paces_s: Mapping[str, float] = {}

    @property
    def is_finished(self) -> bool:
        """Whether every configuration has its row."""
        return self.standing.rows >= self.asked


class Status(NamedTuple):
    """Where a run is.

    Attributes:
        title: of what is being done.
        done: units of it that are done.
        total: units of it.
        note: what exactly is being done.
        left_s: seconds that are left of it; None while that is not known.
        board: what a sweep tells of itself; None before it begins, and of other runs.
        began: Unix time at which the run began.
        told: Unix time of this value.
    """

    title: str = ""
    done: float = 0.0
    total: int = 0
    note: str = ""
    left_s: float | None = None
    board: Board | None = None
    began: float = 0.0
    told: float = 0.0

    def to_json(self) -> str:
        """The text of ``progress.json``."""
        board = self.board
        told: Any = None
        if board is not None:
            standing = board.standing
            told = {
                "asked": board.asked,
                "parts": [part._asdict() for part in board.parts],
                "paces_s": dict(board.paces_s),
                "standing": {
                    **standing._asdict(),
                    "best": standing.best and standing.best._asdict(),
                    "diverged": [one._asdict() for one in standing.diverged],
                },
            }
        fields = _finite(self._asdict() | {"board": told})
        return json.dumps(fields, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Status":
        """Raises ValueError for anything that :meth:`to_json` did not write."""
        try:
            fields = json.loads(text)
            board = fields.pop("board")
            return _checked(cls, fields)._replace(board=None if board is None else _board(board))
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a status: {error}") from None


def _board(fields: dict[str, Any]) -> Board:
    standing, paces_s = fields["standing"], fields["paces_s"]
    best, diverged = standing.pop("best"), standing.pop("diverged")
    return Board(
        asked=int(fields["asked"]),
        parts=tuple(_checked(Part, part) for part in fields["parts"]),
        standing=_checked(Standing, standing)._replace(
            best=None if best is None else _checked(Best, best),
            diverged=tuple(_checked(Diverged, one) for one in diverged),
        ),
        paces_s={str(kind): float(pace) for kind, pace in paces_s.items()},
    )


def _checked(kind: Any, fields: Mapping[str, Any]) -> Any:
    """A value of a kind whose fields are plain; TypeError where one is of another type.

    Texts lose the characters that would steer a terminal.
    """
    plain = {}
    for name, value in fields.items():
        expected = kind.__annotations__[name]
        if isinstance(value, str) and expected is str:
            value = "".join(c if c.isprintable() else "?" for c in value)
        elif expected is float and (value is None or type(value) in (int, float)):
            value = math.nan if value is None else float(value)
        elif expected == float | None and (value is None or type(value) in (int, float)):
            pass
        elif type(value) is not expected:
            raise TypeError(f"{name} is {value!r}")
        plain[name] = value
    return kind(**plain)


def _finite(value: Any) -> Any:
    """JSON values; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
