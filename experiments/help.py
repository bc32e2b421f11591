"""What ``--help`` prints: what a main does, examples, its flags by topic with their defaults."""

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from absl import flags

ASKED = ("--help", "-help", "-h", "--h", "-?", "--helpshort")
WIDEST = 100
_COLUMN, _LONGEST = 27, 45  # of what a flag is for; and of a flag with its default
_ANY = 2**31 - 1  # an upper bound that says nothing
_LATER = ("experiments.compile_cache", "experiments.distributed_flags")
_OF_ALL = "experiments.launch"
_ENUM = re.compile(r"^<[^>]*>: ")  # absl tells the choices so
_REPEATED = re.compile(r";\s+repeat this option to specify a list of values$")


def help_text(module: ModuleType, width: int = WIDEST) -> str:
    """The help of a main.

    Args:
        module: the main.
        width: columns of the screen; at most 100 are used.
    """
    width = min(width, WIDEST)
    paragraphs = (module.__doc__ or "").strip("\n").split("\n\n")
    lines = [line for text in paragraphs for line in ("", *_paragraph(text, width))]
    lines += ["", "Flags with their defaults; a list is written a,b,..."]
    for title, of in _topics(module):
        lines += ["", f"{title}:"]
        for flag in of:
            lines += _flag(flag, width)
    return "\n".join(lines[1:]) + "\n"


def allowed(flag: flags.Flag) -> str:
    """What a flag may be, as far as its parser knows: ``whole, 1 or more``."""
    parser: Any = flag.parser
    if values := getattr(parser, "enum_values", None):
        return f"one of {', '.join(values)}"
    if isinstance(parser, flags.ListParser):
        return "list"
    if flag.boolean or flag.flag_type() not in ("int", "float"):
        return ""
    kind = "whole" if flag.flag_type() == "int" else "number"
    low, high = parser.lower_bound, parser.upper_bound
    if low is None:
        return kind
    unbounded = high is None or high >= _ANY
    return f"{kind}, {low:g} or more" if unbounded else f"{kind}, {low:g} to {high:g}"


def default(flag: flags.Flag) -> str:
    """A default as it would be typed; empty where there is none, or the flag is a switch."""
    if flag.boolean or flag.default_as_str is None:
        return ""
    text = str(ast.literal_eval(flag.default_as_str))
    return text.removeprefix("[").removesuffix("]")


def _paragraph(text: str, width: int) -> list[str]:
    """Prose is filled anew; what is indented keeps its lines, commands with a backslash where they
    must be broken."""
    if not text.startswith("  "):
        return textwrap.wrap(text, width)
    lines = []
    for line in text.replace("\\\n", "").splitlines():
        words = " ".join(line.split()) if "python -m" in line else line.strip()
        command = words.startswith("python -m")
        found = textwrap.wrap(
            words,
            width - 2 * command,
            initial_indent="  ",
            subsequent_indent="      ",
            break_on_hyphens=False,
            break_long_words=False,
        )
        lines += [f"{part} \\" if command else part for part in found[:-1]] + found[-1:]
    return lines


def _topics(module: ModuleType) -> Iterator[tuple[str, list[flags.Flag]]]:
    """The run folder, the main's own flags and those of its flag modules; then what is rarely
    given."""
    of: dict[str, list[flags.Flag]] = {}
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        where = flags.FLAGS.find_module_defining_flag(flag.name) or ""
        of.setdefault(where, []).append(flag)
    own = sys.argv[0] if module.__name__ == "__main__" else module.__name__
    names = [name for name in of if name not in (_OF_ALL, own, *_LATER)]
    for name in (_OF_ALL, own, *names, *_LATER):
        if name in of:
            yield _title(name), of[name]


def _title(name: str) -> str:
    """What a module of flags is of, by its docstring."""
    if name == _OF_ALL:
        return "The run"
    doc = (sys.modules[name].__doc__ or "").strip() if name in sys.modules else ""
    first = re.split(r"[.:,]", doc)[0]
    title = re.sub(r"^(Flags|The flag) of ", "", first)
    return title[0].upper() + title[1:] if title != first or name in _LATER else "This program"


def _flag(flag: flags.Flag, width: int) -> list[str]:
    """``--name=default   what it is for (what is allowed)``; a long default comes last."""
    name = f"  --[no]{flag.name}" if flag.boolean else f"  --{flag.name}="
    words = _REPEATED.sub("", _ENUM.sub("", flag.help or ""))
    notes = [allowed(flag), "required" if _is_required(flag) else ""]
    notes.append("on by default" if flag.boolean and flag.default else "")
    if noted := "; ".join(filter(None, notes)):
        words = f"{words} ({noted})"
    usual = default(flag)
    fits = len(name + usual) < _LONGEST
    lines = words.splitlines()
    if not fits:
        lines.append(f"Default: {usual}")
    head, indent = f"{name + usual if fits else name:{_COLUMN - 2}}  ", " " * _COLUMN
    found = _wrapped(f"{head}{lines[0]}", width, indent)
    return found + [part for line in lines[1:] for part in _wrapped(indent + line, width, indent)]


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    """Lines of a text that is indented already; what has no blank to be broken at is broken behind
    a comma."""
    lines = textwrap.wrap(
        text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    found = []
    for line in lines:
        while len(line) > width:
            at = line.rfind(",", len(indent), width) + 1 or width
            found.append(line[:at])
            line = indent + line[at:]
        found.append(line)
    return found


def _is_required(flag: flags.Flag) -> bool:
    return flag.default is None and any("than None" in v.message for v in flag.validators)
