"""What a program would do and what that would cost, as facts that a dry run prints."""

import os
import pathlib
import shutil
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wfm_jax.results.manifest import Outlook
from wfm_jax.results.room import in_units


class Fact(NamedTuple):
    """A line of a plan.

    Attributes:
        name: of what.
        value: how much, with its unit.
        basis: how it is known, or what it is made of; may be empty.
    """

    name: str
    value: str
    basis: str = ""


class Plan(NamedTuple):
    """What would be done, and at what cost."""

    title: str
    facts: tuple[Fact, ...]


def print_plan(plan: Plan, console: Console) -> None:
    """Prints a plan, as wide as the console."""
    table = Table(
        title=Text(f"dry run: {plan.title}"),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_header=False,
    )
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=2, style="dim", overflow="fold")
    for fact in plan.facts:
        table.add_row(Text(fact.name), Text(fact.value), Text(fact.basis))
    console.print(table)
    console.print("Nothing was written.", highlight=False)


def folder_fact(outlook: Outlook, found: str = "") -> Fact:
    """The run folder: what is there, and what would happen to it.

    Args:
        outlook: of the manifest that the run would have.
        found: what it holds of this run already, in words.
    """
    return Fact("run folder", outlook.status, ", ".join(w for w in (outlook.words, found) if w))


def disk_fact(folder: str | os.PathLike, needed_bytes: float, of: str = "") -> Fact:
    """Bytes that would be written, and those that are free there.

    Args:
        folder: the run's; it need not be there yet.
        needed_bytes: about how much.
        of: what it is made of, in words.
    """
    free = shutil.disk_usage(existing(folder)).free
    words = f"about {in_units(needed_bytes)}" + (", too little room" * (free < needed_bytes))
    basis = "; ".join(word for word in (of, f"{in_units(free)} are free there") if word)
    return Fact("disk", words, basis)


def existing(folder: str | os.PathLike) -> pathlib.Path:
    """The folder itself, or the nearest one above it that is there."""
    path = pathlib.Path(os.path.abspath(folder))
    return next(above for above in (path, *path.parents) if above.is_dir())


def about(seconds: float) -> str:
    """A duration as an estimate: ``about 12 min``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"about {minutes:.0f} min" if minutes < 90 else f"about {minutes / 60:.1f} h"


def counted(n: float, noun: str) -> str:
    """``1 row``, ``12,000 rows``."""
    return f"{n:,.0f} {noun}{'s' * (n != 1)}"
