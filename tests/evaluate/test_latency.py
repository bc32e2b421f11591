"""Times in turns, and memory of a file at work."""

import time

import numpy as np
import pytest

from tests import small
from tests.export import quantized
from wfm_jax.evaluate import latency
from wfm_jax.evaluate.peak_memory import onnx_peak_bytes
from wfm_jax.export.onnx_model import feed, save_onnx
from wfm_jax.model import ModelConfig

TINY = ModelConfig(link=small.LINK, d_model=16, heads=(2,), head_dim=8, mlp_widths=(32,))


def test_calls_take_turns():
    said = []
    calls = {name: (lambda name=name: said.append(name)) for name in "ab"}
    times = latency.time_in_turns(calls, n_calls=30)
    assert said == ["a"] * 3 + ["b"] * 3 + ["a", "a", "b", "b"] * 30
    assert {name: len(of) for name, of in times.items()} == {"a": 30, "b": 30}
    assert all(np.all(of >= 0) for of in times.values())


def test_what_takes_too_long_is_called_less_often():
    times = latency.time_in_turns({"a": lambda: time.sleep(2e-3)}, n_calls=1000, longest_s=0.02)
    assert 20 <= len(times["a"]) < 100
    assert latency.quantiles(times["a"]).p50_ms >= 2.0


def test_quantiles_and_ratios_of_turns():
    slow, fast = np.arange(1.0, 102.0), np.arange(1.0, 102.0) / 4
    found = latency.quantiles(slow)
    assert found == latency.Latency(51.0, 96.0, 101)
    assert latency.times_faster(slow, fast) == pytest.approx(4.0)


def test_memory_of_a_file_is_more_than_the_file(tmp_path):
    """It holds the weights, and a larger batch needs more."""
    _, model = quantized.compressed(TINY)
    size = save_onnx(tmp_path / "m.onnx", model)
    few, many = (
        onnx_peak_bytes(tmp_path / "m.onnx", feed(quantized.inputs_of(TINY, n))) for n in (1, 512)
    )
    assert size < few < many


def test_a_file_that_does_not_run_is_named(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(RuntimeError, match=r"m\.onnx: its memory could not be measured"):
        onnx_peak_bytes(tmp_path / "m.onnx", {"x": np.zeros(1)})
