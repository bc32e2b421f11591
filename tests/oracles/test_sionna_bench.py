"""The benchmark's peer does the same work: its bit errors are those of the same closed form."""

import json
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

from experiments import bench
from experiments.benchmarks import machine, signal, signal_sionna, timing
from experiments.launch import launch
from wfm_jax.signal import theory

sionna = pytest.importorskip("sionna.phy", reason="Sionna is missing: run `make test-oracles`")


@pytest.mark.parametrize(
    "channel, frame, k_db", [("flat", (4,), 10 * np.log10(5)), ("ofdm", (2, 16), 8.98)]
)
def test_peer_has_the_bit_errors_of_the_same_channel(channel, frame, k_db):
    case = signal.Case(channel, 6, 20_000, frame, None)
    sionna.config.seed = 3
    bits, llr = (x.numpy().reshape(case.batch_size, -1) for x in signal_sionna.peer(case)())
    errors = ((llr > 0) != (bits > 0.5)).mean(axis=1)
    ebn0_db = -10 * np.log10(signal.N0 * case.bits_per_symbol)
    z = (errors.mean() - theory.ber_rician(6, ebn0_db, k_db)) / (errors.std() / errors.size**0.5)
    assert abs(z) < 5


def test_ratios_are_reported(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(machine, "measure", lambda: machine.Machine(1e11, 1e9, 1e10))
    monkeypatch.setattr(timing.seconds, "__defaults__", (0.0,))
    flags = ("--bits_per_symbol=4", "--batch=2", "--block_length=8", "--rounds=2")
    monkeypatch.setattr(sys, "argv", ["bench.py", f"--workdir={tmp_path}", *flags])
    with flagsaver.flagsaver(), pytest.raises(SystemExit):
        launch(bench.main)
    assert max(map(len, capsys.readouterr().out.splitlines()[:-1])) <= 100
    result = json.loads((tmp_path / "signal.json").read_text())
    assert {"sionna-no-rt", "torch"} <= set(result["versions"])
    for case in result["cases"].values():
        assert 0 < case["ratio"]["least"] <= case["ratio"]["median"] <= case["ratio"]["most"]
        assert len(case["seconds"]["sionna"]) == 2
        assert case["bit_error_rate"]["sionna"] < 0.5
