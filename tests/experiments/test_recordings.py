"""Recordings from the shell: two commands from frames to answers, and bad input."""

import dataclasses
import json
import sys

import jax
import numpy as np
import pyarrow.parquet
import pytest
from absl.testing import flagsaver

from experiments import evaluate, record
from experiments.launch import launch
from tests import small
from wfm_jax.model import param_shapes, preset
from wfm_jax.results.sigmf_file import open_recording, write_recording
from wfm_jax.train.model_files import save_teacher

FILES = {
    "manifest.json", "segments.jsonl", "segments.parquet", "scores.jsonl", "summary.txt",
    "recording.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A pico model of random parameters, of a link whose frames take milliseconds."""
    path = tmp_path_factory.mktemp("models") / "pico.safetensors"
    link = dataclasses.replace(small.LINK, bits_per_symbol=(2, 4))
    config = preset("pico", link)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), param_shapes(config))
    save_teacher(path, config, small.moved(zeros, 0.1), {"steps": 0})
    return path


@pytest.fixture
def call(monkeypatch, capsys, checkpoint):
    """Runs a main in this process; returns its exit code, output and errors."""

    def run(main, *arguments):
        monkeypatch.setattr(sys, "argv", ["main.py", f"--checkpoint={checkpoint}", *arguments])
        code = 0
        with flagsaver.flagsaver():
            try:
                launch(main.main)
            except SystemExit as ended:
                code = ended.code
        said = capsys.readouterr()
        return code or 0, said.out, said.err

    return run


@pytest.fixture
def plain(tmp_path):
    """A recording of noise, by nobody of ours."""
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=2000) + 1j * rng.normal(size=2000)).astype(np.complex64)
    path = tmp_path / "plain.sigmf-meta"
    write_recording(path, samples, small.LINK.sample_rate_hz)
    return path


def test_two_commands_from_frames_to_scores(call, tmp_path):
    run = tmp_path / "recording"
    code, out, error = call(record, "--frames=20", "--frame_datatype=ci16_le", f"--workdir={run}")
    assert code == 0, error
    assert f"20 frames, {20 * 96 * 4} bytes of ci16_le" in out
    assert {path.name for path in run.iterdir()} - {".lock"} == {
        "manifest.json", "frames.sigmf-meta", "frames.sigmf-data",
    }  # fmt: skip
    path, heard = run / "frames.sigmf-meta", tmp_path / "heard"
    assert open_recording(path).n_samples == 20 * 96
    code, out, error = call(evaluate, f"--recording={path}", f"--workdir={heard}")
    assert code == 0, error
    assert {path.name for path in heard.iterdir()} - {".lock"} == FILES
    rows = [json.loads(line) for line in (heard / "segments.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 20
    assert pyarrow.parquet.read_table(heard / "segments.parquet").to_pylist() == rows
    assert len((heard / "scores.jsonl").read_text().splitlines()) == 2 * 7
    summary = (heard / "summary.txt").read_text()
    assert summary.strip() in out
    assert "Scores of 20 labelled frames" in summary
    assert max(map(len, summary.splitlines())) <= 100
    flags = json.loads((heard / "manifest.json").read_text())["flags"]
    assert flags["recording"] == str(path)
    assert "snrs_db" not in flags


def test_recordings_of_others_are_answered_without_scores(call, plain, tmp_path):
    heard = tmp_path / "heard"
    code, out, error = call(
        evaluate, f"--recording={plain}", f"--workdir={heard}", "--recording_hop=500"
    )
    assert code == 0, error
    assert "Segments, from iq alone" in out
    assert "Scores" not in out
    assert len((heard / "segments.jsonl").read_text().splitlines()) == 4
    assert (heard / "scores.jsonl").read_text() == ""


def bad(call, main, *arguments, parts):
    code, _, error = call(main, *arguments)
    assert code == 2
    (line,) = error.strip().splitlines()
    assert len(line) <= 400
    for part in parts:
        assert part in line, line


def test_bad_recordings_are_a_line_and_end_with_two(call, plain, tmp_path):
    """Whatever is wrong, before anything is left."""
    run = f"--workdir={tmp_path / 'run'}"
    text, data = plain.read_text(), plain.with_suffix(".sigmf-data").read_bytes()
    no_hash = json.loads(text)
    del no_hash["global"]["core:sha512"]

    def broken(meta, samples, *parts):
        plain.write_text(meta)
        plain.with_suffix(".sigmf-data").write_bytes(samples)
        bad(call, evaluate, f"--recording={plain}", run, parts=("plain.sigmf", *parts))

    def with_field(name, value):
        return json.dumps(no_hash | {"global": no_hash["global"] | {name: value}})

    plain_meta = json.dumps(no_hash)
    broken("{", data, "not JSON")
    broken(text, data[:-8], "core:sha512")
    broken(plain_meta, data[:-3], "15997 bytes", "cf32_le")
    broken(plain_meta, data[:400], "50 samples", "fewer than the 96")
    broken(plain_meta, bytes(len(data)), "all of its samples are zero")
    broken(plain_meta, data[:80] + b"\xff" * 8 + data[88:], "sample 10 is not finite")
    broken(with_field("core:datatype", "rf32_le"), data, "core:datatype", "'rf32_le'")
    broken(with_field("core:sample_rate", 1e3), data, "core:sample_rate", "1000 Hz")
    broken(with_field("core:sample_rate", 1e11), data, "core:sample_rate", "1e+11 Hz")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flag, parts",
    [
        ("--recording=/nowhere.sigmf-meta", ["/nowhere.sigmf-meta"]),
        ("--recording=", [".sigmf-meta"]),
        ("--recording=song.wav", ["song.wav", ".sigmf-meta"]),
        ("--recording_hop=0", ["recording_hop", "0"]),
        ("--recording_segments=0", ["recording_segments", "0"]),
        ("--recording_gate_db=-1", ["recording_gate_db", "-1"]),
        ("--recording_cut=somewhere", ["recording_cut", "somewhere"]),
        ("--recording_views=csi", ["recording_views", "csi"]),
        ("--recording_cut=annotations", ["annotations: there are none"]),
    ],
)
def test_bad_flags_of_an_evaluation(call, plain, tmp_path, flag, parts):
    run = f"--workdir={tmp_path / 'run'}"
    bad(call, evaluate, f"--recording={plain}", flag, run, parts=parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flag, parts",
    [
        ("--frames=0", ["frames", "0"]),
        ("--frame_seed=-1", ["frame_seed", "-1"]),
        ("--frame_datatype=rf32_le", ["frame_datatype", "rf32_le"]),
        ("--frame_scenario=moon", ["frame_scenario", "moon"]),
        ("--frame_rate_hz=11e6", ["--frame_rate_hz=11000000.0", "no whole number"]),
        ("--frame_rate_hz=1", ["--frame_rate_hz=1.0"]),
        ("--frame_snr_db=30,0", ["--frame_snr_db=30,0", "two rising numbers"]),
        ("--frame_snr_db=10", ["--frame_snr_db=10", "two rising numbers"]),
    ],
)
def test_bad_flags_of_a_recording(call, tmp_path, flag, parts):
    bad(call, record, flag, f"--workdir={tmp_path / 'run'}", parts=parts)
    assert not (tmp_path / "run").exists()


def test_a_scenario_that_is_longer_than_the_prefix_is_told(call, tmp_path):
    arguments = ("--frame_scenario=nuremberg", "--frame_snr_db=0,9", "--frame_rate_hz=11e6")
    code, _, error = call(record, *arguments, f"--workdir={tmp_path / 'run'}")
    assert code == 2
    warning, refusal = error.strip().splitlines()
    assert warning.startswith("warning: cp_samples=8 is shorter than the channel")
    assert "--frame_rate_hz" in refusal
