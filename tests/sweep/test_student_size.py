"""Distillation against fine-tuning over student sizes: what runs, and how it is compared."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from tests import evaluated, small
from wfm_jax.evaluate import frames
from wfm_jax.evaluate.metrics import AMC_SNRS_DB
from wfm_jax.results.failure_rows import QUALITY_SCORES, SIZE_COLUMNS
from wfm_jax.results.rows import complete_row
from wfm_jax.sweep import contrasts, student_size
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.student_size import Arm, StudentSizes

TEST_SET = frames.TestSet(small.LINK, seed=5, frames_per_stratum=4)
ARMS = (Arm(40), Arm(40, alpha=0.5), Arm(80), Arm(80, init="scratch"))
STUDY = StudentSizes(sparsities=(0.5, 0.75), arms=ARMS, seeds=(0, 1, 2))
SKILLS = {"P-S": -6.0, "P-S-FT": 0.0, "P-S-KD": 2.0}


def test_fine_tuning_runs_once_for_every_start_and_number_of_steps():
    found = STUDY.configurations()
    assert len({one.config_id for one in found}) == len(found) == 2 * 3 * (1 + 3 + 4)
    for one in found:
        assert (one.structure, one.distribution) == ("heads+neurons", "uniform")
    kept = {one.canonical()["pipeline"]: one for one in found}
    assert set(kept) == set(SKILLS)


def test_kd_and_ft_differ_in_nothing_else():
    one, other = (
        dataclasses.asdict(STUDY.configuration(pipeline, ARMS[1], 0.5, 2))
        for pipeline in (student_size.KD, student_size.FT)
    )
    assert [name for name in one if one[name] != other[name]] == ["pipeline"]


@pytest.fixture
def folder(tmp_path):
    """Of a sweep: scores of receivers made by hand; each seed has frames of its own luck."""
    (tmp_path / "scores").mkdir()

    def save(name, scored):
        fields = scored.scores._asdict()
        np.savez(tmp_path / "scores" / f"{name}.npz", snrs_db=scored.snrs_db, **fields)

    for one in STUDY.configurations():
        skill = SKILLS[one.pipeline] * (1 if one.sparsity == 0.5 else -1)
        save(one.config_id, evaluated.receiver(TEST_SET, AMC_SNRS_DB, skill, seed=one.seed))
    snrs_db = (0.0, *AMC_SNRS_DB, 30.0)
    save("teacher", evaluated.receiver(TEST_SET, snrs_db, 4.0))
    save("null", evaluated.receiver(TEST_SET, snrs_db, -20.0))
    return tmp_path


def stored(configurations, status="ok"):
    return [
        {
            "config_id": one.config_id,
            "status": status,
            "params_total": 1000,
            "size_bytes": 4000,
            "test_frames_hash": "frames",
            "teacher_hash": "teacher",
        }
        for one in configurations
    ]


def test_differences_are_means_over_seeds(folder):
    found = student_size.rows_of_sizes(STUDY, stored(STUDY.configurations()), folder, TEST_SET)
    rows = [complete_row(row, SIZE_COLUMNS) for row in found]
    assert [(row["arm"], row["sparsity"]) for row in rows] == [
        (arm.words, sparsity) for arm in ARMS for sparsity in (0.5, 0.75)
    ]
    for row in rows:
        better = row["sparsity"] == 0.5
        assert (row["retention_untrained"] is None) == (row["init"] == "scratch")
        for name in QUALITY_SCORES:
            if row[f"{name}_kd"] is None:
                continue
            difference = row[f"{name}_kd"] - row[f"{name}_ft"]
            assert row[f"{name}_change"] == pytest.approx(difference, abs=1e-9)
        assert (row["gmi_fraction_change_low"] > 0.0) == better
        assert (row["gmi_fraction_change_high"] < 0.0) == (not better)
    assert {row["seeds"] for row in rows} == {3}


def test_equal_models_differ_by_nothing(folder):
    """KD and FT of the same scores: no difference, and no doubt about it."""
    for seed in STUDY.seeds:
        one, other = (
            STUDY.configuration(pipeline, ARMS[0], 0.5, seed).config_id
            for pipeline in (student_size.KD, student_size.FT)
        )
        scores = folder / "scores"
        (scores / f"{one}.npz").write_bytes((scores / f"{other}.npz").read_bytes())
    rows = student_size.rows_of_sizes(STUDY, stored(STUDY.configurations()), folder, TEST_SET)
    ends = [rows[0][f"gmi_fraction_change{end}"] for end in ("", "_low", "_high")]
    assert ends == [0.0, 0.0, 0.0]


def test_a_size_that_diverged_is_left_out(folder):
    lost = STUDY.configuration(student_size.KD, ARMS[0], 0.75, 1)
    rest = [one for one in STUDY.configurations() if one.config_id != lost.config_id]
    rows = student_size.rows_of_sizes(
        STUDY, [*stored(rest), *stored([lost], "diverged")], folder, TEST_SET
    )
    assert len(rows) == 7
    assert (rows[0]["arm"], rows[1]["arm"]) == (ARMS[0].words, ARMS[1].words)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"sparsities": ()}, "sparsities"),
        ({"sparsities": (0.5, 0.3)}, "rising"),
        ({"sparsities": (1.0,)}, "sparsity"),
        ({"arms": ()}, "arms"),
        ({"arms": (Arm(alpha=2.0),)}, "alpha"),
        ({"seeds": ()}, "seeds"),
    ],
)
def test_bad_ladders_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(STUDY, **change)


def test_the_pipelines_are_those_of_a_sweep():
    for pipeline in SKILLS:
        assert Configuration(pipeline, structure="heads+neurons").pipeline == pipeline


def test_a_sweep_tells_of_the_pair_too():
    """There is no number of bits in it."""
    contrast = {
        **{"a": "P-S-KD", "b": "P-S-FT", "sparsity": 0.85, "weight_bits": None},
        **{"student": "same", "seed": 0, "ways": "", "difference": 0.02, "low": 0.01, "high": 0.03},
    }
    console = Console(file=io.StringIO(), width=100)
    contrasts.print_contrasts([contrast, contrast], console)
    line = console.file.getvalue().splitlines()[-1]
    assert line.split()[:6] == ["P-S-KD", "-", "P-S-FT", "85%", "same", "0"]
