"""The pages that people read, taken apart: fenced blocks, commands, links, anchors."""

import pathlib
import re
import shlex
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"python\s+-m\s+experiments\.\w+[^`]*")


class Block(NamedTuple):
    """A fenced block: the words behind its fence, its text, and the line it begins at."""

    words: tuple[str, ...]
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [
        Block(tuple(match[1].split()), match[2], text.count("\n", 0, match.start()) + 2)
        for match in _FENCE.finditer(text)
    ]


def python_blocks(text: str) -> list[Block]:
    """The blocks that run, in order; ``slow`` is among the words of those that take minutes."""
    return [block for block in blocks(text) if block.words[:1] == ("python",)]


def shell_blocks(text: str) -> list[Block]:
    """The blocks of commands: those without a language, and those of a shell."""
    return [block for block in blocks(text) if block.words[:1] in ((), ("sh",), ("bash",))]


def without_blocks(text: str) -> str:
    """The prose and the tables."""
    return _FENCE.sub("", text)


def commands(text: str) -> list[list[str]]:
    """What the page tells to type, each as its words: lines of shell blocks, and the commands of
    this project's mains between backticks in the prose."""
    typed = [words for block in shell_blocks(text) for words in _lines(block.text)]
    inline = re.findall(r"`([^`]+)`", without_blocks(text))
    mentioned = [shlex.split(found) for found in inline if _COMMAND.fullmatch(found)]
    return typed + mentioned


def anchors(text: str) -> set[str]:
    """Where links into the page may point: its headings as the web shows them."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(text), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def links(text: str) -> list[tuple[str, str]]:
    """Links and pictures inside the project: a relative path, and an anchor or ``""``."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_blocks(text))
    here = [target for target in targets if "://" not in target]
    return [(path, anchor) for path, _, anchor in (target.partition("#") for target in here)]


def _lines(text: str) -> list[list[str]]:
    """Commands of a shell block: backslashes and quotes carry on, comments are left out."""
    found, pending = [], ""
    for line in text.replace("\\\n", " ").splitlines():
        pending = f"{pending}\n{line}" if pending else line
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quote that the next line closes
            continue
        pending = ""
        if words:
            found.append(words)
    if pending:
        raise ValueError(f"a command that does not end: {pending!r}")
    return found
