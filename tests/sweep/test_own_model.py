"""Anybody's model in the engine: its rows, its files, its stops, and what it does not provide."""

import dataclasses
import signal

import jax
import numpy as np
import pytest

from tests.sweep import anybody
from wfm_jax import compress
from wfm_jax.export.packed import load_packed
from wfm_jax.results.manifest import RunFolderError
from wfm_jax.results.progress import Silent
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.examples import load_example_scores
from wfm_jax.sweep.halving import Halving
from wfm_jax.sweep.own_model import SweepSettings, sweep_problem
from wfm_jax.train.interrupt import Stopped

SETTINGS = SweepSettings(chunk_steps=10)
POINT = {"sparsity": 0.5, "weight_bits": 4, "steps": 40, "learning_rate": 1e-2}
ASKED = [Configuration(p, **POINT) for p in ("none", "P-Q", "P-Q-KD", "P-Q-FT", "Q-P-KD")] + [
    Configuration("P-FT", **(POINT | {"learning_rate": 1e38})),
    Configuration("FT", **POINT, init="scratch"),
]


@pytest.fixture(scope="module")
def problem():
    return anybody.problem()


@pytest.fixture(scope="module")
def run(problem, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, sweep_problem(problem, ASKED, folder, SETTINGS)


def row_of(rows, configuration):
    return next(row for row in rows if row["config_id"] == configuration.config_id)


def test_every_configuration_has_a_row_with_the_score_of_its_file(problem, run):
    """Size, weights and score are those of the packed file on disk, example by example."""
    folder, rows = run
    assert [row["pipeline"] for row in rows[:2]] == ["teacher", "null"]
    assert {row["config_id"] for row in rows[2:]} == {c.config_id for c in ASKED}
    for row in rows[2:]:
        if row["status"] == "ok":
            file = folder / "files" / f"{row['config_id']}.wfm"
            assert file.stat().st_size == row["size_bytes"]
            params = compress.unflatten(problem.params, load_packed(file))
            scores = np.float64(anybody.score(params))
            np.testing.assert_array_equal(load_example_scores(folder, row["config_id"]), scores)
            assert row["example_score"] == scores.mean()


def test_what_is_compressed(run):
    _, rows = run
    row = row_of(rows, ASKED[2])
    assert row["sparsity_achieved"] == 0.5
    assert row["mean_bits"] == 4.0
    assert row["params_total"] == 2 * 24 + 24 + 24 * 4 + 4
    assert row["flops"] == 2 * (2 * 24 + 24 * 4)
    assert row["bit_ops"] == 0.5 * 4 * 32 * (2 * 24 + 24 * 4)


def test_intervals_are_those_of_a_share_of_independent_examples(run):
    folder, rows = run
    teacher = rows[0]
    p = teacher["example_score"]
    assert 0.8 < p < 1.0
    assert p == load_example_scores(folder, "teacher").mean()
    expected = 1.96 * np.sqrt(p * (1 - p) / (anybody.N_TEST - 1))
    assert teacher["example_score_ci95"] == pytest.approx(expected, rel=0.15)


def test_retention_is_between_null_and_teacher(run):
    _, rows = run
    teacher, null = rows[:2]
    assert (teacher["retention"], null["retention"]) == (1.0, 0.0)
    for row in rows[2:]:
        if row["status"] == "ok":
            gain = teacher["example_score"] - null["example_score"]
            kept = (row["example_score"] - null["example_score"]) / gain
            assert row["retention"] == pytest.approx(kept)
    untrained, distilled = (row_of(rows, c)["retention"] for c in ASKED[1:3])
    assert distilled > untrained + 0.03


def test_a_diverged_one_is_marked_and_its_neighbours_are_not(run):
    _, rows = run
    status = {row["config_id"]: row["status"] for row in rows[2:]}
    assert status.pop(ASKED[5].config_id) == "diverged"
    assert set(status.values()) == {"ok"}


def test_people_read_one_score(run):
    text = (run[0] / "summary.txt").read_text()
    assert "score" in text
    assert "AMC" not in text
    assert "smallest file" in text or "No configuration keeps" in text


class StopAfter(Silent):
    def __init__(self, chunks):
        self.left = chunks

    def advance(self, units, note="", *, left_s=None):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


def test_a_stopped_sweep_goes_on_to_the_same_rows(problem, run, tmp_path):
    with pytest.raises(Stopped):
        sweep_problem(problem, ASKED, tmp_path, SETTINGS, progress=StopAfter(4))
    rows = sweep_problem(problem, ASKED, tmp_path, SETTINGS)
    timed = ("wall_s",)
    for row in rows:
        expected = next(r for r in run[1] if r["config_id"] == row["config_id"])
        assert {k: v for k, v in row.items() if k not in timed} == {
            k: v for k, v in expected.items() if k not in timed
        }
        if row["kind"] == "configuration" and row["status"] == "ok":
            name = f"files/{row['config_id']}.wfm"
            assert (tmp_path / name).read_bytes() == (run[0] / name).read_bytes()


def test_another_model_does_not_go_on_in_the_folder(problem, run):
    other = problem._replace(params=jax.tree.map(lambda w: 1.01 * w, problem.params))
    with pytest.raises(RunFolderError, match="teacher_hash"):
        sweep_problem(other, ASKED[:1], run[0], SETTINGS)


def test_configurations_may_be_added_to_a_finished_run(problem, run):
    more = Configuration("P", sparsity=0.25)
    rows = sweep_problem(problem, [*ASKED, more], run[0], SETTINGS)
    assert len(rows) == len(run[1]) + 1
    assert row_of(rows, more)["sparsity_achieved"] == 0.25


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"student": "smaller"}, "student must be same for a problem without smaller"),
        ({"act_bits": 8}, "act_bits must be 16 or 32 for a model whose inside is not known, got 8"),
        ({"structure": "neurons"}, "structure must have no heads and neurons .* got 'neurons'"),
        ({"relation_weight": 1.0}, "weights of hidden layers must be 0 .*relations=1.0"),
        ({"pipeline": "L-Q"}, "pipeline must have no S and no L .* got 'L-Q'"),
        ({"structure": "2:4"}, r"NM.* does not divide the 2 inputs of first/w"),
        ({"group_size": 16}, "group_size must divide .* got 16 for the 2 inputs of first/w"),
        ({"allocation": (("third/w", 4),)}, "allocation names what the model lacks: third/w"),
    ],
)
def test_what_a_problem_does_not_provide_is_refused_in_a_line(problem, tmp_path, asked, words):
    configuration = Configuration(**({"pipeline": "P-Q-KD"} | asked))
    with pytest.raises(ValueError, match=words) as refused:
        sweep_problem(problem, [configuration], tmp_path / "run", SETTINGS)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_kernels_must_be_matrices(problem, tmp_path):
    with pytest.raises(ValueError, match=r"prunable must match leaves of two axes .* first/b"):
        sweep_problem(problem._replace(prunable="first/*"), ASKED[:1], tmp_path, SETTINGS)


def test_scratch_needs_fresh(problem, tmp_path):
    asked = [Configuration("FT", init="scratch")]
    with pytest.raises(ValueError, match="init must be teacher for a problem without fresh"):
        sweep_problem(problem._replace(fresh=None), asked, tmp_path, SETTINGS)


def test_the_worst_drop_out_on_the_way(problem, tmp_path):
    rates = (1e-6, 1e-2)
    asked = [Configuration("P-Q-FT", **(POINT | {"learning_rate": rate})) for rate in rates]
    how = dataclasses.replace(SETTINGS, halving=Halving(factor=2, rungs=1))
    rows = sweep_problem(problem, asked, tmp_path, how)
    slow, fast = (row_of(rows, c) for c in asked)
    assert (slow["status"], slow["stopped_at"], fast["status"]) == ("dropped", 20, "ok")
    assert np.isfinite(slow["validation_loss"])


def test_a_smaller_student_is_a_problem_of_its_own(problem, tmp_path):
    small = problem._replace(params=anybody.fresh(jax.random.key(5), width=12))
    asked = [Configuration("KD", student="smaller", steps=20)]
    rows = sweep_problem(problem._replace(smaller=lambda: small), asked, tmp_path, SETTINGS)
    row = row_of(rows, asked[0])
    assert (row["status"], row["params_total"]) == ("ok", 2 * 12 + 12 + 12 * 4 + 4)
    assert row["flops"] == 2 * (2 * 12 + 12 * 4)
