"""--help of every main: it fits the screen, teaches, and says of each flag what it may be."""

import re
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import help as helps
from experiments import launch as launch_module
from experiments.launch import launch
from tests.experiments import mains

WIDTHS = (80, 100)
LONGEST = 140  # lines at 100 columns: two screens and a bit, of the main with most flags


@pytest.fixture(params=mains.NAMES)
def main(request):
    return mains.main(request.param)


def key_flags(main):
    return flags.FLAGS.get_key_flags_for_module(main)


def test_all_mains_are_known():
    assert {"sweep", "bench", "export", "watch", "pretrain", "ber"} <= set(mains.NAMES)
    assert len(mains.NAMES) >= 13


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_the_screen(main, width):
    lines = helps.help_text(main, width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= LONGEST * (100 / width) ** 1.5


def test_a_wide_screen_is_not_filled(main):
    assert helps.help_text(main, 300) == helps.help_text(main, 100)


def test_it_begins_with_a_sentence_and_examples(main):
    text = helps.help_text(main)
    first, *_ = text.split("\n\n")
    assert re.fullmatch(r"[A-Z].{20,}[.]", " ".join(first.split()))
    name = main.__name__.rsplit(".", 1)[-1]
    assert f"\n  python -m experiments.{name}" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_every_flag_is_there_with_its_default(main, width):
    text = helps.help_text(main, width)
    plain = re.sub(r"\s+", "", text)
    for flag in key_flags(main):
        usual = helps.default(flag)
        name = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}="
        assert name in text
        shown = re.sub(r"\s+", "", usual)
        assert f"{name}{shown}" in plain or f"Default:{shown}" in plain, flag.name
        if flag.boolean and flag.default:
            assert "on by default" in text


def test_every_flag_says_what_it_is_for_and_what_it_may_be(main):
    """By its parser's limits, or where these are none in its text."""
    for flag in key_flags(main):
        words = flag.help or ""
        assert len(words) >= 10, flag.name
        assert words.rstrip().endswith((".", ". ", "values")) or "\n" in words, flag.name
        of_parser = flag.boolean or helps.allowed(flag) not in ("", "list")
        assert of_parser or len(words.split()) >= 3, flag.name


def test_units_of_a_flags_name_are_those_of_its_text(main):
    units = {"_db": "dB", "_hz": "Hz", "_ns": "ns", "_m_s": "m/s", "_s": "econds"}
    for flag in key_flags(main):
        unit = next((unit for end, unit in units.items() if flag.name.endswith(end)), None)
        if unit:
            assert unit in (flag.help or ""), flag.name


def test_a_flag_that_must_be_given_says_so(main):
    _, text = helps.help_text(main).split("Flags with their defaults")
    folder, _ = text.split("--workdir=")[1].split("--", 1)
    assert folder.rstrip().endswith("(required)")


def test_one_that_has_a_default_need_not_be_given():
    with flagsaver.flagsaver():
        flags.set_default(launch_module.WORKDIR, "runs/bench")
        assert "required" not in helps.help_text(mains.main("bench"))


@pytest.mark.parametrize("asked", helps.ASKED)
def test_asked_for_it_is_printed_and_the_exit_code_is_0(asked, monkeypatch, capsys):
    from experiments import ber

    monkeypatch.setattr(sys, "argv", ["ber.py", asked])
    monkeypatch.setenv("COLUMNS", "80")
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        launch(ber.main, ber.plan)
    assert ended.value.code == 0
    assert capsys.readouterr().out == helps.help_text(ber, 80)
