"""A sweep foretold: its rounds, its groups, its work and what its folder would become."""

import pytest

from tests.sweep import small_sweep
from wfm_jax.evaluate import frames, probe
from wfm_jax.results.manifest import Manifest, open_run
from wfm_jax.results.status import Board, Status
from wfm_jax.results.status_file import NAME
from wfm_jax.sweep import study as studies
from wfm_jax.sweep import study_plan
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.group import Group
from wfm_jax.sweep.references import CURVE_SNRS_DB, MODEL_SNRS_DB
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.sweep.study import Study
from wfm_jax.train.model_files import save_teacher

PACE = probe.Pace(compile_s=2.0, pass_s=1e-3, flops_per_s=1e9, n_frames=4)
POINT = {"sparsity": 0.5, "weight_bits": 4, "steps": 20}
ASKED = [Configuration(p, **POINT) for p in ("none", "P-KD", "P-FT", "KD-P-FT", "Q")]


@pytest.fixture
def study(tmp_path):
    path, teacher = tmp_path / "teacher.safetensors", small_sweep.teacher()
    save_teacher(path, teacher.config, teacher.params, {})
    settings = SweepSettings(batch_size=4, chunk_steps=5)
    test_set = frames.TestSet(teacher.config.link, seed=1, frames_per_stratum=2)
    return Study(ASKED, teacher.config, str(path), settings, test_set)


@pytest.fixture
def facts(study, tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "measure_pace", lambda *_: PACE)

    def found(**changed):
        plan = study_plan.plan_study(study, tmp_path / "run", {"pipelines": ["P"]}, **changed)
        return {fact.name: fact for fact in plan.facts}

    return found


def problem_of(study):
    return studies.problem_of(study, small_sweep.teacher())


def played(configurations):
    """Rounds by playing them: everybody trains its next stage, the longest decides."""
    left = [[n for n in c.stage_steps() if n] for c in configurations]
    found = []
    while any(left):
        found.append(max(stages[0] for stages in left if stages))
        left = [stages[1:] for stages in left]
    return found


@pytest.mark.parametrize("asked", [ASKED[:1], ASKED, ASKED[1:3], ASKED[3:]])
def test_rounds_are_those_of_a_cohort_that_is_played(asked):
    assert study_plan.rounds(asked) == played(asked)


def test_a_groups_outline_is_the_groups_own(study):
    (outline,) = study_plan.outlines(ASKED, set(), problem_of(study), study.settings)
    group = Group("same", problem_of(study), ASKED, study.settings)
    assert (outline.width, outline.cohort_bytes) == (group.width, group.cohort_bytes)


def test_the_load_is_counted_in_forward_passes_of_the_teacher(study, tmp_path):
    """Three train 20 steps each of 4 frames at three passes, in rounds of 20 and 10 steps that the
    teacher answers; five are scored at every SNR, twice a frame, and two references."""
    groups = list(study_plan.outlines(ASKED, set(), problem_of(study), study.settings))
    load = study_plan.load_of(study, groups, study.model, tmp_path)
    n = 2 * study.test_set.n_frames
    trained, answered = 3 * 20 * 4 * 3, (20 + 10) * 4
    scored = 5 * n * len(MODEL_SNRS_DB) + 2 * n * len(CURVE_SNRS_DB)
    assert load.passes == pytest.approx(trained + answered + scored)
    assert load.compiles == study_plan.GROUP_COMPILES + study_plan.REFERENCES_COMPILES


def test_facts_of_a_new_folder(facts, tmp_path):
    found = facts()
    assert found["run folder"].value == "new"
    assert found["configurations"].value == "5"
    assert found["training"].value == "60 configuration-steps"
    assert found["time"].basis.startswith("an estimate")
    assert "1 cohort of width 8" in found["group same"].basis
    assert not (tmp_path / "run").exists()


def test_paces_of_the_folders_own_run_are_believed(study, facts, tmp_path):
    from wfm_jax.sweep.study import manifest_of, teacher_of

    manifest = manifest_of(study, teacher_of(study), {"pipelines": ["P"]}, ())
    with open_run(tmp_path / "run", manifest):
        pass
    board = Board(5, paces_s={"train": 0.5, "finish": 2.0, "compile": 3.0})
    (tmp_path / "run" / NAME).write_text(Status(board=board).to_json())
    found = facts()
    assert found["run folder"].value == "resumed"
    seconds = 60 * 0.5 + 5 * 2.0 + study_plan.GROUP_PROGRAMS * 3.0
    assert found["time"].value == f"about {seconds:.0f} s"
    assert "what this folder's run has shown" in found["time"].basis


def test_a_folder_of_another_run(facts, tmp_path):
    with open_run(tmp_path / "run", Manifest({"pipelines": ["Q"], "model": "pico"})):
        pass
    found = facts()["run folder"]
    assert found.value == "refused"
    assert "--model" in found.basis
    assert facts(overwrite=True)["run folder"].value == "replaced"


def test_rebuilt_models_are_a_group_of_their_own(study):
    cut = {"structure": "heads+neurons", "distribution": "uniform", "weight_bits": 32}
    asked = [*ASKED, Configuration("P-S-FT", sparsity=0.5, steps=10, **cut)]
    names = [of.name for of in study_plan.outlines(asked, set(), problem_of(study), study.settings)]
    assert names == ["same", "same, rebuilt first"]
