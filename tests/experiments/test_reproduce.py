"""A row's command, parsed by the sweep's own flags, asks for that row and for no other."""

import json
import pathlib
import shlex

import pytest
from absl import flags
from absl.testing import flagsaver
from hypothesis import assume, given
from hypothesis import strategies as st

from experiments import axis_flags, reproduce, sweep, sweep_flags, teacher_flags
from tests import made_runs
from wfm_jax.results.rows import complete_row
from wfm_jax.sweep import pipeline
from wfm_jax.sweep.allowed import BITS, CHOICES
from wfm_jax.sweep.configuration import Configuration, distinct

MORE = ("P-KD-P-KD", "P-S-KD", "L-Q", "KD-KD")
STORED = pathlib.Path(__file__).parents[2] / "experiments" / "results"


def parsed(command):
    """The configurations that a command line asks for, and its other flags by name."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "experiments.sweep"]
    with flagsaver.flagsaver():
        flags.FLAGS(words[2:])
        others = {name: flags.FLAGS[name].value for name in ("teacher", "workdir", "batch_size")}
        others["teacher_steps"] = teacher_flags.teacher_settings().steps
        others["frames"] = sweep_flags.test_set(teacher_flags.model().link).frames_per_stratum
        return distinct(axis_flags.configurations()), others


def row_of(configuration):
    labels = {"config_id": configuration.config_id, "kind": "configuration", "status": "ok"}
    return complete_row(configuration.canonical() | labels)


@st.composite
def configurations(draw):
    """Any configuration but one of mixed precision."""
    fields = {name: draw(st.sampled_from(allowed)) for name, allowed in CHOICES.items()}
    fields["student"] = draw(st.sampled_from(("same", "smaller", "same:grid+csi", "smaller:grid")))
    fields |= {name: draw(st.sampled_from(BITS)) for name in ("weight_bits", "act_bits")}
    fields |= {
        "pipeline": draw(st.sampled_from((*pipeline.DEFAULT, *MORE))),
        "sparsity": draw(st.floats(0.0, 1.0, exclude_max=True)),
        "temperature": draw(st.floats(1e-3, 1e3)),
        "alpha": draw(st.floats(0.0, 1.0) | st.sampled_from((0.0, 1.0))),
        "learning_rate": draw(st.floats(1e-9, 10.0)),
        "steps": draw(st.integers(100, 10**6)),
        "recovery_steps": draw(st.integers(0, 100)),
        "seed": draw(st.integers(0, 2**31 - 1)),
        "group_size": draw(st.none() | st.integers(2, 512)),
        "rank_share": draw(st.floats(0.01, 1.0)),
        "feature_weight": draw(st.floats(0.0, 10.0)),
    }  # fmt: skip
    try:
        return Configuration(**fields)
    except ValueError:  # settings that do not go together
        assume(False)


@given(configurations())
def test_the_command_of_a_row_asks_for_this_row_alone(configuration):
    row = row_of(configuration)
    found = reproduce.commands([row], made_runs.FLAGS)
    (asked,), others = parsed(f"{found.shared} {found.own[0]}")
    assert asked.config_id == row["config_id"]
    assert asked.canonical() == configuration.canonical()
    assert list(found.remarks) == [""]
    assert (others["teacher"], others["batch_size"]) == ("pretrained", 16)


def test_the_whole_command_asks_for_the_whole_run():
    run = json.loads((STORED / "laptop" / "manifest.json").read_text())["flags"]
    found = reproduce.commands([], run)
    asked, others = parsed(found.whole)
    assert len(asked) == 102
    assert others["teacher"] == "pretrained"
    assert others["workdir"] == reproduce.WORKDIR


def test_rows_of_the_stored_run_have_commands_with_their_settings():
    """They are of an older version: their ids are others, what was asked is the same."""
    lines = (STORED / "laptop" / "results.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    found = reproduce.commands(rows, {})
    for row, own in list(zip(rows, found.own, strict=True))[::7]:
        (asked,), _ = parsed(f"{found.shared} {own}")
        if row["kind"] == "configuration":
            canonical = asked.canonical()
            for name in ("pipeline", "sparsity", "weight_bits", "student", "alpha", "steps"):
                assert canonical[name] == row[name]


def test_a_run_that_trained_its_teacher_trains_it_again():
    of_run = {"teacher": "auto", "teacher_steps": 77, "frames_per_stratum": 9}
    found = reproduce.commands([row_of(Configuration("KD"))], of_run)
    _, others = parsed(f"{found.shared} {found.own[0]}")
    assert (others["teacher"], others["teacher_steps"], others["frames"]) == ("train", 77, 9)


def test_a_teacher_that_was_given_is_given_and_not_trained():
    of_run = {"teacher": "runs/my teacher", "teacher_steps": 77, "teacher_hash": "x"}
    found = reproduce.commands([row_of(Configuration("KD"))], of_run)
    _, others = parsed(f"{found.shared} {found.own[0]}")
    assert others["teacher"] == "runs/my teacher"
    assert others["teacher_steps"] == flags.FLAGS["teacher_steps"].default


def test_flags_that_change_no_row_or_are_unknown_are_left_out():
    of_run = {"teacher": "train", "strategy": "vmap", "devices": 2, "halving": "3:2", "gone": 1}
    assert reproduce.commands([], of_run).shared.split()[4:] == ["--teacher=train"]


def test_mixed_precision_is_given_by_its_file(tmp_path):
    file = tmp_path / "allocation.jsonl"
    bits = {"a/kernel": 4, "b/kernel": 2}
    line = {"budget": "3 bits", "configuration": "measured", "bits": json.dumps(bits)}
    file.write_text(json.dumps(line) + "\n")
    given_as = f"{file}:1:measured"
    row = row_of(Configuration("Q", allocation=tuple(bits.items())))
    found = reproduce.commands([row], {"allocations": ["uniform", given_as]})
    (asked,), _ = parsed(f"{found.shared} {found.own[0]}")
    assert asked.config_id == row["config_id"]
    without = reproduce.commands([row], {})
    assert list(without.own) == [""]
    assert "--allocations" in without.remarks[0]


@pytest.mark.parametrize(
    "damage",
    [
        {"pipeline": None},
        {"pipeline": made_runs.HOSTILE},
        {"weight_bits": 9.0},
        {"scale": "rms"},
        {"allocation": "{"},
    ],
)
def test_a_row_that_is_none_of_this_version_has_no_command_and_says_so(damage):
    found = reproduce.commands([row_of(Configuration("P-Q")) | damage], {})
    assert list(found.own) == [""]
    assert found.remarks[0].startswith("No command is known")


def test_hostile_flags_are_one_word_each():
    of_run = {"teacher": "$(reboot); `x` 'y'", "teacher_hash": "x"}
    shared = reproduce.commands([], of_run).shared
    assert shlex.split(shared)[-1] == "--teacher=$(reboot); `x` 'y'"


def test_the_flags_are_those_of_the_sweep():
    assert sweep.main is not None
    assert set(axis_flags.FLAG_OF) == set(Configuration("P").columns())
