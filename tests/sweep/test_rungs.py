"""Successive halving in the engine: who is dropped has a row, and the survivors train on."""

import dataclasses

import numpy as np
import pytest

from tests.sweep import small_sweep
from tests.sweep.test_engine import Recorder, StopAfter
from wfm_jax.results import rows
from wfm_jax.sweep import engine
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.halving import Halving
from wfm_jax.train.interrupt import Stopped, StopRequest

pytestmark = pytest.mark.slow

RULE = Halving(factor=3, rungs=1)
RATES = np.geomspace(1e-6, 3e-3, 18)
ASKED = [Configuration("P-KD", steps=30, alpha=0.0, learning_rate=float(r)) for r in RATES] + [
    Configuration("KD-P", steps=30, alpha=0.5),  # competes with nobody: it still has to prune
    Configuration("none"),
]


class Rungs(Recorder):
    def left_behind(self, configuration, step, loss):
        return {
            "config_id": configuration.config_id,
            "kind": "configuration",
            "status": "dropped",
            "stopped_at": step,
            "validation_loss": loss,
        }


@pytest.fixture(scope="module")
def how(settings):
    return dataclasses.replace(settings, halving=RULE, strategy=8)


@pytest.fixture(scope="module")
def finished(problem, how, tmp_path_factory):
    folder, examiner = tmp_path_factory.mktemp("rungs"), Rungs()
    compiles = engine.run_sweep(ASKED, problem, how, examiner, folder)
    return examiner, compiles, rows.read_rows(folder / engine.ROWS)[0]


def test_one_in_three_goes_on_and_everybody_has_one_row(finished):
    examiner, _, found = finished
    assert sorted(row["config_id"] for row in found) == sorted(c.config_id for c in ASKED)
    dropped = [row for row in found if row["status"] == "dropped"]
    assert len(dropped) == 12
    assert {row["stopped_at"] for row in dropped} == {10}
    assert len(examiner.weights) == 6 + 2


def test_survivors_are_stacked_anew_with_one_compile_a_size(finished):
    assert finished[1] == {"same": 2}  # of 24 and of 8


def test_the_worst_are_dropped(finished):
    """With a start far from any optimum who learns slowest loses least: the losses say so."""
    examiner, _, found = finished
    losses = {row["config_id"]: row["validation_loss"] for row in found}
    out = [losses[c.config_id] for c in ASKED if losses[c.config_id] is not None]
    assert np.isfinite(out).all()
    fast, slow = ASKED[17].config_id, ASKED[0].config_id
    assert fast in examiner.weights
    assert slow not in examiner.weights


@pytest.mark.endurance
def test_a_stop_at_a_rung_changes_nothing(finished, problem, how, tmp_path):
    for stop_after in (3, 5):
        folder, examiner = tmp_path / str(stop_after), Rungs()
        folder.mkdir()
        with pytest.raises(Stopped), StopRequest() as stop:
            engine.run_sweep(
                ASKED, problem, how, Rungs(), folder, progress=StopAfter(stop_after), stop=stop
            )
        engine.run_sweep(ASKED, problem, how, examiner, folder)
        found = {r["config_id"]: r["status"] for r in rows.read_rows(folder / engine.ROWS)[0]}
        assert found == {r["config_id"]: r["status"] for r in finished[2]}
        for identity, flat in examiner.weights.items():
            for path, leaf in flat.items():
                np.testing.assert_array_equal(leaf, finished[0].weights[identity][path])


@pytest.mark.endurance
def test_one_after_the_other_there_is_one_program(problem, settings, tmp_path):
    how = dataclasses.replace(settings, halving=RULE, strategy="map")
    assert problem.config.link == small_sweep.LINK
    assert engine.run_sweep(ASKED, problem, how, Rungs(), tmp_path) == {"same": 1}
    status = [r["status"] for r in rows.read_rows(tmp_path / engine.ROWS)[0]]
    assert (status.count("ok"), status.count("dropped")) == (8, 12)
