"""The small baselines from the shell: what they print and leave, and bad flags."""

import sys

import pytest
from absl.testing import flagsaver

from experiments import baselines
from experiments.launch import launch
from wfm_jax.signal.link import LinkConfig
from wfm_jax.train.classifier import ClassifierSettings


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the main in this process; returns its exit code, output and errors."""

    def run(workdir, *arguments):
        monkeypatch.setattr(sys, "argv", ["baselines.py", f"--workdir={workdir}", *arguments])
        code = 0
        with flagsaver.flagsaver():
            try:
                launch(baselines.main)
            except SystemExit as ended:
                code = ended.code
        said = capsys.readouterr()
        return code or 0, said.out, said.err

    return run


def test_a_run_prints_its_table_and_refuses_other_flags(call, tmp_path, monkeypatch):
    """The flags reach the training, its rows the screen; nothing is trained here."""
    asked = []

    def made_up(test_set, snrs_db, settings, folder, **_):
        asked.append((test_set, settings))
        row = {"receiver": "likelihood_lmmse", "params": None, "accuracy": 0.5, "ci95": 0.01}
        return [row | {"snr_db": snr_db} for snr_db in snrs_db]

    monkeypatch.setattr(baselines, "baselines_in_folder", made_up)
    flags = ("--baseline_steps=7", "--baseline_batch_size=4", "--baseline_learning_rate=0.1")
    code, out, error = call(tmp_path / "run", *flags)
    assert code == 0, error
    ((test_set, settings),) = asked
    assert settings == ClassifierSettings(steps=7, batch_size=4, learning_rate=0.1)
    assert (test_set.link, test_set.seed) == (LinkConfig(), 1)
    assert f"on {test_set.n_frames} frames" in out
    lines = out.splitlines()
    assert ["30", "50.0", "±", "1.0"] in [line.split() for line in lines]
    assert max(map(len, lines)) <= 100
    code, _, error = call(tmp_path / "run", *flags, "--baseline_seed=1")
    assert code == 2
    assert "--baseline_seed: 0 -> 1" in error


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("--baseline_steps=0", "baseline_steps"),
        ("--baseline_batch_size=-1", "baseline_batch_size"),
        ("--baseline_learning_rate=0", "baseline_learning_rate"),
        ("--baseline_learning_rate=nan", "learning_rate"),
        ("--baseline_seed=-1", "baseline_seed"),
        ("mlp", "'mlp'"),
    ],
)
def test_a_bad_flag_is_one_line_that_names_it(call, tmp_path, argument, part):
    code, _, error = call(tmp_path / "run", argument)
    assert code == 2
    (line,) = error.strip().splitlines()
    assert part in line
    assert not (tmp_path / "run").exists()
