"""What public names say of themselves, as far as a program can tell.

Public is every module of the package, and every function, class, method and property in it whose
name has no underscore. Whether the words are true is for people and doctests.
"""

import ast
import functools
import re

import pytest

from tests.documents import ROOT

PACKAGE = ROOT / "wfm_jax"
MODULES = sorted(PACKAGE.rglob("*.py"))
LIBRARY = ("signal", "compress", "model")  # the rooms that research code imports
SHAPES = re.compile(r"\[|\bscalars?\b|\bshapes?\b|\bvector\b|\bmatrix\b|\bbroadcast", re.IGNORECASE)
ELSEWHERE = re.compile(r"[Aa]rg(ument)?s( and errors)?:? (as of|of|see) (:\w+:)?`")
SOURCES = re.compile(r"arXiv|IEEE|T[RS] 3\d\.|\b(19|20)\d\d\b|[Ss]ection \d|ggml|IEC|QuaDRiGa")

MECHANICS = {
    "compress": ["awq_transform", "blocks", "checks", "entering", "gather", "gptq_transform",
                 "half", "masks", "observe", "paths", "quantize", "transform", "vectors"],
    "signal": ["blocks", "channel", "checks", "constellations", "csi_csv", "frame_sync", "link",
               "link_fields", "mixed_qam", "noise", "ofdm", "offsets", "propagation", "replay",
               "scenarios", "segments", "unseen", "waterfall"],
}  # fmt: skip
"""Files that hold no published method; all others of these rooms name where theirs comes from."""


@functools.cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path):
    return path.relative_to(ROOT).as_posix()


def room(path):
    return path.relative_to(PACKAGE).parts[0]


def is_public(node, *kinds):
    return isinstance(node, kinds) and not node.name.startswith("_")


def classes(path):
    return [node for node in tree(path).body if is_public(node, ast.ClassDef)]


def functions(path):
    """Public functions, and methods and properties of public classes: name, node."""
    for node in tree(path).body:
        if is_public(node, ast.FunctionDef):
            yield node.name, node
    for owner in classes(path):
        for node in owner.body:
            if is_public(node, ast.FunctionDef):
                yield f"{owner.name}.{node.name}", node


@functools.cache
def types():
    """Names of the package's own classes, whose docstrings say what they are."""
    return {owner.name for path in MODULES for owner in classes(path)}


def arguments(function):
    """What a caller gives: by name, whether the type alone says what it is."""
    of, given = function.args, {}
    for arg in (*of.posonlyargs, *of.args, *of.kwonlyargs):
        parts = ast.walk(arg.annotation) if arg.annotation else ()
        words = {part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "")
                 for part in parts}  # fmt: skip
        given[arg.arg] = arg.arg == "key" or bool(words & types())
    return {name: told for name, told in given.items() if name not in ("self", "cls")}


def is_named(name, text):
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def raised(function):
    """Names of the errors that the function's own statements raise, not those of inner ones."""
    found, waiting = set(), list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found.add(ast.unparse(node.exc.func).rsplit(".", 1)[-1])
        waiting += ast.iter_child_nodes(node)
    return found


@functools.cache
def of_protocols():
    """What members of a protocol say: who has such a member need not say it again."""
    return {
        member.name
        for path in MODULES
        for owner in classes(path)
        if any("Protocol" in ast.unparse(base) for base in owner.bases)
        for member in owner.body
        if is_public(member, ast.FunctionDef) and ast.get_docstring(member)
    }


def undocumented(path):
    module = ast.get_docstring(tree(path)) or ""
    if not module:
        yield "the module itself"
    yield from (owner.name for owner in classes(path) if not ast.get_docstring(owner))
    for name, node in functions(path):
        told = node.name in of_protocols() or f"``{node.name}(" in module
        if not ast.get_docstring(node) and not ("." in name and told):
            yield name


def with_unnamed_arguments(path):
    """Of functions with several arguments, those that neither docstring nor type explains."""
    fewest = 3 if room(path) in LIBRARY else 4
    for name, node in functions(path):
        text, own = ast.get_docstring(node), arguments(node)
        if not text or len(own) < fewest or ELSEWHERE.search(text):
            continue
        if lost := [name for name, told in own.items() if not told and not is_named(name, text)]:
            yield f"{name}: {', '.join(lost)}"


def with_unnamed_fields(path):
    for owner in classes(path):
        plain = any(ast.unparse(base) == "NamedTuple" for base in owner.bases)
        if not plain and not any("dataclass" in ast.unparse(d) for d in owner.decorator_list):
            continue
        fields = [
            node.target.id
            for node in owner.body
            if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation)
        ]
        text = ast.get_docstring(owner) or ""
        if lost := [f for f in fields if not f.startswith("_") and not is_named(f, text)]:
            yield f"{owner.name}: {', '.join(lost)}"


def with_silent_errors(path):
    for name, node in functions(path):
        text, errors = ast.get_docstring(node), raised(node)
        told = text and ("aises" in text or ELSEWHERE.search(text))
        if text and errors and not told and not any(is_named(error, text) for error in errors):
            yield f"{name}: {', '.join(sorted(errors))}"


def without_shapes(path):
    for name, node in functions(path):
        text, answer = ast.get_docstring(node), ast.unparse(node.returns) if node.returns else ""
        arrays = re.search(r"\bjax\.Array\b|\bndarray\b", answer)
        if text and arrays and not SHAPES.search(text):
            yield f"{name} -> {answer}"


IN_ALL_ROOMS = (undocumented, with_unnamed_arguments, with_silent_errors)


@pytest.mark.parametrize("fault", IN_ALL_ROOMS, ids=lambda fault: fault.__name__)
def test_public_names_say_what_they_take_and_raise(fault):
    """A docstring for each; its arguments, where there are many, named; its own errors told."""
    found = [f"{place(path)}: {what}" for path in MODULES for what in fault(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("fault", [with_unnamed_fields, without_shapes], ids=lambda f: f.__name__)
def test_the_rooms_that_research_code_imports_give_fields_and_shapes(fault):
    paths = [path for path in MODULES if room(path) in LIBRARY]
    found = [f"{place(path)}: {what}" for path in paths for what in fault(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", MECHANICS)
def test_methods_name_their_source(name):
    """And what is listed as mere mechanics names none, so that the list stays short."""
    modules = [path for path in (PACKAGE / name).glob("*.py") if path.stem != "__init__"]
    without = {path.stem for path in modules if not SOURCES.search(path.read_text("utf-8"))}
    assert without == set(MECHANICS[name])


BAD = '''
"""A module."""

class Bare:
    def silent(self):
        pass

class Pair(NamedTuple):
    """Two of them: left."""
    left: int
    right: int

def many(a, b, c, d) -> jax.Array:
    """Takes a, b and c."""
    raise ValueError("no")

def inner():
    """Makes a function."""
    def made():
        raise ValueError("later")
    return made
'''


def test_the_faults_would_be_found(monkeypatch):
    path = PACKAGE / "signal" / "bad.py"
    monkeypatch.setitem(globals(), "tree", lambda path: ast.parse(BAD.strip()))
    assert list(undocumented(path)) == ["Bare", "Bare.silent"]
    assert list(with_unnamed_arguments(path)) == ["many: d"]
    assert list(with_unnamed_fields(path)) == ["Pair: right"]
    assert list(with_silent_errors(path)) == ["many: ValueError"]
    assert list(without_shapes(path)) == ["many -> jax.Array"]
