"""The claims about the laptop run and the pretrained model: minutes, marked slow.

Looks at the model that comes with the package beside the classical receivers, runs the three
pipelines of the recovery claim from it, and trains another for a twelfth of its steps.
"""

import functools

import jax
import numpy as np
import pytest

from wfm_jax.evaluate import frames
from wfm_jax.evaluate.many import draw_frames, make_scorer
from wfm_jax.model import build, preset
from wfm_jax.sweep import contrasts
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.measure import load_scores
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.sweep.study import Study, run_study
from wfm_jax.sweep.yardstick import yardstick
from wfm_jax.train.teacher import TeacherSettings, train_teacher

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
        teacher="pretrained",
        settings=SweepSettings(strategy="map" if jax.default_backend() == "cpu" else "vmap"),
        test_set=test_set,
    )
    folder = tmp_path_factory.mktemp("laptop") / "run"
    return folder, test_set, run_study(study, folder, {})


def test_the_pretrained_model_beats_ls_at_every_snr(run):
    for line in yardstick(run[0], run[1]):
        teacher, ls, _, _ = line.ber
        assert teacher < ls, line


def test_the_pretrained_model_is_at_most_0_3_db_behind_ensemble_lmmse(run):
    lines = [line for line in yardstick(run[0], run[1]) if 5.0 <= line.snr_db <= 25.0]
    assert {line.bits_per_symbol for line in lines} == {2, 4, 6, 8}
    for line in lines:
        assert line.behind_lmmse_db <= 0.3, line


def test_the_pretrained_model_classifies_within_3_points_of_the_likelihood(run):
    for line in yardstick(run[0], run[1]):
        model, likelihood = line.amc_accuracy
        if line.snr_db >= 10.0:
            assert model >= likelihood - 0.03, line


def test_the_pretrained_models_channel_is_within_half_a_db_of_lmmse(run):
    folder, test_set, _ = run
    model, lmmse = (load_scores(folder, name, test_set).scores for name in ("teacher", "lmmse"))
    snrs_db = np.asarray(load_scores(folder, "teacher", test_set).snrs_db)
    ratio = model.channel_error.sum(axis=1) / lmmse.channel_error.sum(axis=1)
    assert np.all(10.0 * np.log10(ratio[snrs_db <= 20.0]) <= 0.5)


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


def test_a_short_training_learns_every_task(tmp_path):
    """2,000 steps: modulation above 90 %, GMI within .03 of where LMMSE is, link state ahead of the
    best constant answer (K 6.5 dB, SNR 5 dB at 20 dB)."""
    model = preset("nano")
    teacher = train_teacher(model, TeacherSettings(steps=2000, masked_steps=0), tmp_path)
    test_frames = draw_frames(frames.TestSet(model.link, seed=1), (20.0,))
    apply = build(model, jax.random.key(0))[0]
    scores = make_scorer(model, apply, test_frames)(teacher.params).at(20.0)
    mean = functools.partial(np.mean, dtype=np.float64)
    assert mean(scores.amc_correct) > 0.9
    assert mean(scores.gmi_fraction) > 0.845
    assert scores.k_error_db.sum() / scores.has_k.sum() < 4.0
    assert mean(scores.snr_error_db) < 2.0
