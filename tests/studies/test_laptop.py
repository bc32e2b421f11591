"""The claims about the laptop run, from a teacher trained here: several minutes, marked slow.

Trains the nano teacher as `make sweep` does, looks at it beside the classical receivers, and runs
the three pipelines of the recovery claim.
"""

import jax
import pytest

from wfm_jax.evaluate import frames
from wfm_jax.model import preset
from wfm_jax.sweep import contrasts
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.group import SweepSettings
from wfm_jax.sweep.study import Study, run_study
from wfm_jax.sweep.yardstick import yardstick
from wfm_jax.train.teacher import TeacherSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PIPELINES = ("P-Q", "P-Q-KD", "P-Q-FT")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    model = preset("nano")
    test_set = frames.TestSet(model.link, seed=1)
    study = Study(
        configurations=[
            Configuration(p, sparsity=0.75, weight_bits=4, steps=200) for p in PIPELINES
        ],
        model=model,
        teacher=TeacherSettings(),
        settings=SweepSettings(strategy="map" if jax.default_backend() == "cpu" else "vmap"),
        test_set=test_set,
    )
    folder = tmp_path_factory.mktemp("laptop") / "run"
    return folder, test_set, run_study(study, folder, {})


def test_the_teacher_beats_ls_at_every_snr_up_to_64_qam(run):
    for line in yardstick(run[0], run[1]):
        teacher, ls, _, _ = line.ber
        if line.bits_per_symbol <= 6:
            assert teacher < ls, line


def test_the_teacher_is_at_most_1_5_db_behind_ensemble_lmmse(run):
    for line in yardstick(run[0], run[1]):
        if line.bits_per_symbol in (4, 6):
            assert line.behind_lmmse_db <= 1.5, line


def test_the_teacher_classifies_above_85_percent_at_20_db(run):
    lines = yardstick(run[0], run[1])
    (accuracy,) = {line.amc_accuracy[0] for line in lines if line.snr_db == 20.0}
    assert accuracy > 0.85


@pytest.mark.parametrize("pipeline", ["P-Q-KD", "P-Q-FT"])
def test_training_recovers_what_pruning_and_quantization_lost(run, pipeline):
    """At 4 bits / 75 %, AMC and GMI, beyond the paired interval."""
    folder, test_set, rows = run
    found = [
        c
        for c in contrasts.contrasts(rows, folder, test_set)
        if (c["a"], c["b"]) == (pipeline, "P-Q")
    ]
    assert {c["metric"] for c in found} == {"amc_accuracy", "gmi_fraction"}
    for contrast in found:
        assert contrast["low"] > 0.0, contrast
