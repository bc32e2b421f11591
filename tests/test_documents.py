"""README and docs say what is so: their Python runs, their commands parse, their links lead."""

import copy
import importlib
import re

import pytest
from absl import flags

from tests import documents

FOLDER_NAMES = [page.relative_to(documents.ROOT).as_posix() for page in documents.PAGES]
HELD_TO_MORE = {"README.md", "docs/pipelines.md", "docs/own_model.md", "docs/own_transform.md"}
"""Pages that tests of their own run, here and in ``tests/docs``."""
SHELL = {"python", "make", "cd", "git", "pip", ".", "PYTHONPATH=."}


def read(name):
    return (documents.ROOT / name).read_text(encoding="utf-8")


def of_kind(slow):
    """Pages with Python on them, or with slow Python."""
    return [
        name
        for name in FOLDER_NAMES
        if any(not slow or "slow" in b.words for b in documents.python_blocks(read(name)))
    ]


def run_page(name, tmp_path, monkeypatch, *, slow=False):
    """Runs a page's blocks in order, in one namespace, in a folder that shows the results."""
    (tmp_path / "experiments").symlink_to(documents.ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__page__"}
    for block in documents.python_blocks(read(name)):
        if slow or "slow" not in block.words:
            # Blank lines before it make a traceback name the page's own line.
            code = compile("\n" * (block.line - 1) + block.text, name, "exec")
            exec(code, names)
    return names


@pytest.mark.parametrize("name", sorted({*of_kind(slow=False)} - HELD_TO_MORE))
def test_a_page_runs_as_it_is_written(name, tmp_path, monkeypatch):
    run_page(name, tmp_path, monkeypatch)


@pytest.mark.endurance
@pytest.mark.parametrize("name", sorted({*of_kind(slow=True)} - HELD_TO_MORE))
def test_a_page_with_what_takes_minutes_runs_too(name, tmp_path, monkeypatch):
    run_page(name, tmp_path, monkeypatch, slow=True)


def test_the_readme_example_compresses_scores_and_stores(tmp_path, monkeypatch, capsys):
    names = run_page("README.md", tmp_path, monkeypatch)
    (block,) = documents.python_blocks(read("README.md"))
    assert sum(bool(line.strip()) for line in block.text.splitlines()) == 20
    before, after = names["gmi"]
    assert before > after > 0.9 * before
    assert (tmp_path / "nano.wfm").stat().st_size == names["size"]
    stored = names["load_model"].load_model(tmp_path / "nano.wfm").params
    assert set(stored) == set(names["compress"].flatten(names["teacher"].params))
    told = r"GMI fraction (0\.\d{3}) -> (0\.\d{3}), (\d+\.\d) kB"
    printed = [float(n) for n in re.fullmatch(told, capsys.readouterr().out.strip()).groups()]
    in_prose = [float(n) for n in re.search(told, read("README.md")).groups()]
    # Other machines and versions round products otherwise.
    assert printed == pytest.approx(in_prose, rel=5e-3)


def test_the_page_of_pipelines_computes_what_its_prose_says(tmp_path, monkeypatch):
    names = run_page("docs/pipelines.md", tmp_path, monkeypatch)
    prose = read("docs/pipelines.md")
    assert f"= {len(names['configurations'])} configurations" in prose
    smallest = f"is {names['smallest']['pipeline']} at {names['smallest']['weight_bits']:g} bits"
    assert smallest in " ".join(prose.split())
    assert len(names["pipeline"].orders()) == 16


@pytest.mark.parametrize("name", FOLDER_NAMES)
def test_commands_are_of_programs_that_exist_and_take_their_flags(name):
    for command in documents.commands(read(name)):
        if command[:2] == ["python", "-m"] and command[2].startswith("experiments."):
            check_flags(command[2], command[3:])
        elif command[:3] == ["python", "-m", "pytest"]:
            paths = [word for word in command[3:] if "/" in word]
            assert all((documents.ROOT / path.split("::")[0]).exists() for path in paths), command
        elif command[0] == "make":
            targets = [word for word in command[1:] if "=" not in word]
            assert set(targets) <= make_targets(), command
        else:
            assert command[0] in SHELL, command


def make_targets():
    makefile = (documents.ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^(\w[\w-]*):", makefile, re.MULTILINE))


def check_flags(main, arguments):
    """The main takes these flags with these values; its own flags, not those of another main."""
    module = importlib.import_module(main)
    known = copy.deepcopy(flags.FLAGS)
    known.unparse_flags()
    names = {argument.lstrip("-").split("=")[0] for argument in arguments}
    own = {flag.name for flag in known.get_key_flags_for_module(module)}
    assert all(argument.startswith("--") for argument in arguments), (main, arguments)
    assert {name.removeprefix("no") if name not in own else name for name in names} <= own | {
        "flagfile",
        "help",
    }, (main, names - own)
    if "--help" in arguments:
        return
    needed = [] if "workdir" in names else ["--workdir=DIR"]
    known([main, *needed, *arguments])


def test_the_parser_of_commands_sees_what_a_shell_would():
    typed = '```\na --b=1 \\\n    --c  # why\n\nd --e="f\n   g"\n```'
    text = f"{typed}\nand `python -m experiments.ber --h`."
    assert documents.commands(text) == [
        ["a", "--b=1", "--c"],
        ["d", "--e=f\n   g"],
        ["python", "-m", "experiments.ber", "--h"],
    ]


@pytest.mark.parametrize("wrong", ["--no_such_flag=1", "--steps", "--batch_size=many"])
def test_a_command_with_a_wrong_flag_would_be_found(wrong):
    with pytest.raises((AssertionError, flags.Error)):
        check_flags("experiments.sweep", [wrong])


@pytest.mark.parametrize("name", FOLDER_NAMES)
def test_links_lead_somewhere(name):
    folder = (documents.ROOT / name).parent
    for path, anchor in documents.links(read(name)):
        target = folder / path if path else documents.ROOT / name
        assert target.exists(), path
        if anchor:
            assert anchor in documents.anchors(target.read_text(encoding="utf-8")), (path, anchor)


def test_every_page_of_the_docs_is_on_the_front_page():
    linked = {path for path, _ in documents.links(read("README.md"))}
    assert set(FOLDER_NAMES) - {"README.md"} <= linked


def test_the_readme_fits_its_columns_and_its_pages():
    """Tables and code of 100 columns; no longer than what one reads in a sitting."""
    lines = read("README.md").splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 220
    assert {("make", "sweep"), ("make", "test")} <= {
        tuple(command) for command in documents.commands(read("README.md"))
    }


@pytest.mark.parametrize("name", FOLDER_NAMES)
def test_prose_and_python_fit_100_columns(name):
    """Rows of tables, pictures and shell commands may be longer."""
    text = read(name)
    prose = documents.without_blocks(text).splitlines()
    python = [line for block in documents.python_blocks(text) for line in block.text.splitlines()]
    for line in [line for line in prose if not line.startswith(("|", "!["))] + python:
        assert len(line) <= 100, line
