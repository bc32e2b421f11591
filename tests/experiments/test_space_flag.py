"""What --space means: terms and factors as text, beside the axes' flags."""

import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import axis_flags, launch
from wfm_jax.results.manifest import Manifest, RunFolderError, open_run
from wfm_jax.sweep import pipeline, space
from wfm_jax.sweep.configuration import distinct

FEW = ("--pipelines=Q", "--operating_points=4:0.5")


@pytest.fixture
def asked(monkeypatch):
    """What flags ask for."""
    monkeypatch.setattr(sys, "argv", ["sweep.py"])

    def parse(*arguments):
        with flagsaver.flagsaver():
            launch.parse(["sweep.py", "--workdir=nowhere", *arguments])
            return axis_flags.configurations()

    return parse


def seen(configurations, *fields):
    return [tuple(getattr(c, field) for field in fields) for c in configurations]


def test_the_axes_alone_are_a_grid_with_operating_points_slowest(asked):
    points = space.zipped(weight_bits=[8, 4, 3], sparsity=[0.5, 0.75, 0.9])
    grid = space.grid(pipeline=pipeline.DEFAULT)
    expected = space.configurations(space.cross(points, grid), steps=200)
    assert asked() == expected
    assert len(distinct(expected)) == 51


@pytest.mark.parametrize(
    ("term", "fields", "points"),
    [
        ("alpha=0, 1", ["alpha"], [(0,), (1,)]),
        ("alpha=0,1 x seed=3,4", ["alpha", "seed"], [(0, 3), (0, 4), (1, 3), (1, 4)]),
        ("alpha:seed=0:3,1:4", ["alpha", "seed"], [(0, 3), (1, 4)]),
        ("structure=2:4,heads", ["structure"], [("2:4",), ("heads",)]),
        ("student=same:grid+csi", ["student"], [("same:grid+csi",)]),
        (
            "student:alpha=same:grid:0.5,smaller:1",
            ["student", "alpha"],
            [("same:grid", 0.5), ("smaller", 1.0)],
        ),
        (
            "structure:alpha=2:4:0.5,heads:1",
            ["structure", "alpha"],
            [("2:4", 0.5), ("heads", 1.0)],
        ),
        ("group_size=none,32", ["group_size"], [(None,), (32,)]),
        ("allocation:alpha=uniform:1", ["allocation", "alpha"], [((), 1.0)]),
    ],
)
def test_grids_and_zipped_axes(asked, term, fields, points):
    assert seen(asked(*FEW, f"--space={term}"), *fields) == points


def test_drawn_points_are_those_of_the_library(asked):
    term = "5 of learning_rate=1e-4..1e-2 log, alpha=0..1, temperature=1|2|4 seed 7"
    drawn = space.sampled(
        5,
        seed=7,
        learning_rate=space.LogUniform(1e-4, 1e-2),
        alpha=space.Uniform(0, 1),
        temperature=space.Among([1.0, 2.0, 4.0]),
    )
    found = seen(asked(*FEW, f"--space={term}"), "learning_rate", "alpha", "temperature")
    assert found == [tuple(point.values()) for point in drawn]


def test_points_of_a_file(asked, tmp_path):
    file = tmp_path / "points.jsonl"
    file.write_text(
        '{"alpha": 0.5, "steps": 20, "group_size": null}\n\n'
        '{"steps": "30", "group_size": 32, "alpha": 1}\n'
    )
    found = asked(*FEW, f"--space=@{file}")
    assert seen(found, "alpha", "steps", "group_size") == [(0.5, 20, None), (1.0, 30, 32)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "it has no points"),
        ("alpha", "line 1: a JSON object"),
        ("[" * 9999, "line 1: a JSON object"),
        ('{"alpha": 1}\n{"alpha": 2}', "line 2: alpha=2: alpha must be in [0, 1]"),
        ('{"alpha": 1}\n{"steps": 2}', "line 2 names other fields"),
        ('{"alpha": true}', "line 1: alpha must be a number, a text or null"),
        ('{"steps": 1.5}', "line 1: steps=1.5: a whole number is needed"),
        ('{"alpha": NaN}', "line 1: alpha=nan"),
        ('{"alphas": 1}', "line 1: unknown field 'alphas'"),
    ],
)
def test_a_bad_line_of_a_file_is_told_by_its_number(asked, tmp_path, lines, said):
    file = tmp_path / "points.jsonl"
    file.write_text(lines)
    with pytest.raises(flags.ValidationError) as refused:
        asked(f"--space=@{file}")
    assert f"--space=@{file}: {said}" in str(refused.value)


def test_terms_add_up_and_take_from_the_axes_what_they_do_not_name(asked):
    terms = ["--space=alpha=0,0.5,1", "--space=temperature=1 x pipeline=P-KD"]
    found = asked("--operating_points=4:0.5,8:0", "--seeds=0,1,2", *terms)
    assert len(found) == 3 * len(pipeline.DEFAULT) * 2 * 3 + 2 * 3
    assert {c.temperature for c in found[:-6]} == {2.0}
    assert set(seen(found[-6:], "pipeline", "alpha", "weight_bits", "sparsity")) == {
        ("P-KD", 0.9, 4.0, 0.5),
        ("P-KD", 0.9, 8.0, 0.0),
    }


def test_a_term_with_bits_alone_has_every_sparsity_of_the_operating_points(asked):
    found = asked("--pipelines=P-Q", "--space=weight_bits=2,4")
    grid = space.grid(weight_bits=[2, 4], sparsity=[0.5, 0.75, 0.9])
    assert seen(found, "weight_bits", "sparsity") == [tuple(p.values()) for p in grid]
    both = asked("--pipelines=P-Q", "--space=weight_bits:sparsity=2:0,4:0.3")
    assert seen(both, "weight_bits", "sparsity") == [(2.0, 0.0), (4.0, 0.3)]


def test_a_run_may_gain_terms_and_lose_none(tmp_path):
    def opened(*terms):
        with flagsaver.flagsaver():
            launch.parse(["sweep.py", "--workdir=nowhere", *(f"--space={t}" for t in terms)])
            manifest = Manifest(launch.flag_values(axis_flags))
        with open_run(tmp_path / "run", manifest, growable=axis_flags.GROWABLE) as run:
            return run.status

    assert opened("alpha=0,1") == "new"
    assert opened("alpha=0,1", "seed=1") == "grown"
    assert opened("seed=1", "alpha=0,1") != "new"
    for fewer in ([], ["seed=1"], ["alpha=0", "seed=1"]):
        with pytest.raises(RunFolderError, match="--space"):
            opened(*fewer)
