"""The command lines that make rows again, as the page holds them."""

from collections.abc import Sequence
from typing import NamedTuple


class Commands(NamedTuple):
    """How to make the rows of a run again.

    Attributes:
        whole: the command of the run.
        shared: the start of every row's command.
        own: how it goes on, a text a row.
        remarks: in words, where a command may not give the row as it is; a text a row, maybe empty.
    """

    whole: str
    shared: str
    own: Sequence[str]
    remarks: Sequence[str]
