"""The main of generalisation: a whole run on tiny models, resume, and bad input."""

import dataclasses
import json
import sys
from fractions import Fraction

import jax
import pytest
from absl.testing import flagsaver

from experiments import generalisation, record_sionna, record_sionna_flags
from experiments.launch import launch
from tests import small
from tests.experiments import small_run
from wfm_jax.evaluate import frames, probe
from wfm_jax.evaluate.many import draw_frames
from wfm_jax.results.recorded_frames import annotations_of, global_fields, labels_of
from wfm_jax.results.sigmf_file import write_recording


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a main; returns its exit code, output and errors."""

    def run(*arguments, main=generalisation):
        monkeypatch.setattr(sys, "argv", ["main.py", *arguments])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch(main.main, main.plan)
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two configurations of a tiny model, on the checkpoint's link."""
    return small_run.make(tmp_path_factory.mktemp("runs") / "sweep")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """``recording(name, link, snrs_db=...) -> path`` of labelled frames, five a constellation."""

    def write(name, link, snrs_db=(10.0, 15.0, 20.0)):
        test_set = frames.TestSet(link, seed=7, frames_per_stratum=1)
        drawn = jax.device_get(draw_frames(test_set, snrs_db).frame)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), drawn)
        path = tmp_path_factory.mktemp("recordings") / f"{name}.sigmf-meta"
        write_recording(
            path,
            flat.iq.reshape(-1),
            link.sample_rate_hz,
            fields=global_fields(link, 1.0) | {"core:description": "a hall"},
            annotations=annotations_of(link, labels_of(link, flat), stretch=Fraction(1)),
        )
        return path

    return write


@pytest.mark.endurance
def test_a_run_resumes_and_grows(run, checkpoint, sweep, recording, tmp_path):
    folder = tmp_path / "run"
    path = recording("hall", small.LINK)
    few = (f"--checkpoint={checkpoint}", f"--workdir={folder}", "--place_frames=20")
    of_front = (*few, f"--front_of={sweep}")
    code, out, error = run(*of_front, "--places=")
    assert code == 0, error
    first = (folder / "generalisation.jsonl").read_text()
    assert "as_trained (home): 80 frames" in out
    assert (folder / "generalisation.png").stat().st_size > 10_000

    code, out, error = run(*of_front, "--places=", f"--recordings={path}", "--dry_run")
    assert code == 0, error
    text = " ".join(out.split())
    assert "run folder grown" in text
    assert "packed 2 models at 1 place; each on 60 frames" in text
    code, out, error = run(*of_front, "--places=", f"--recordings={path}")
    assert code == 0, error
    text = (folder / "generalisation.jsonl").read_text()
    assert text.startswith(first)
    rows = [json.loads(line) for line in text.splitlines()]
    assert [*dict.fromkeys(row["place"] for row in rows)] == ["as_trained", "hall"]
    assert [*dict.fromkeys(row["model"] for row in rows)][1:] == [
        f"{(sweep / 'files' / f'{name}.wfm').stat().st_size / 1e3:.1f} kB Q {point}"
        for name, point in (("int4", "4b"), ("int8", "8b/A8"))
    ]
    assert (folder / "summary.txt").read_text() in out
    assert "a hall: 20 frames" in out

    code, out, error = run(*of_front, "--places=", f"--recordings={path}", "--dry_run")
    assert "nothing is missing" in out
    code, _, error = run(*few, f"--packed={sweep / 'files' / 'int4.wfm'}", "--places=")
    assert code == 2
    assert "--packed" in error


def test_a_plan_counts_models_places_and_programs(run, checkpoint, sweep, monkeypatch, tmp_path):
    pace = probe.Pace(compile_s=2.0, pass_s=1e-3, flops_per_s=1e9, n_frames=8)
    monkeypatch.setattr(probe, "measure_pace", lambda *_: pace)
    asked = (f"--checkpoint={checkpoint}", f"--front_of={sweep}", "--places=low_k,sparse_pilots")
    code, out, error = run(*asked, f"--workdir={tmp_path / 'run'}", "--dry_run")
    assert code == 0, error
    text = " ".join(out.split())
    assert "run folder new" in text
    # 4 constellations x 200 frames, at 3 places: the teacher at nine SNRs, models at three.
    assert "teacher 1 model at 3 places, over SNR; each on 21,600 frames" in text
    assert "packed 2 models at 3 places; each on 7,200 frames" in text
    assert "compiling 12 programs" in text  # draw, teacher, with and without ranges
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["--places=low_k"], ["one of --packed and --front_of"]),
        (["--packed={int4}", "--front_of={sweep}"], ["one of --packed and --front_of"]),
        (["--packed=/nowhere.wfm"], ["--packed", "no such file: /nowhere.wfm"]),
        (["--packed={rows}"], ["--packed", "results.jsonl"]),
        (["--packed={sweep}"], ["--packed", "directory"]),
        (["--front_of=/nowhere"], ["--front_of=/nowhere", "no sweep"]),
        (["--front_of={sweep}", "--front_keeps=0.999"], ["--front_of", "0.999", "0.99"]),
        (["--front_of={sweep}", "--front_models=0"], ["front_models", "0"]),
        (["--packed={int4}", "--places=moon"], ["--places=moon", "long_delays", "nuremberg"]),
        (["--packed={int4}", "--place_frames=30"], ["--place_frames=30", "multiple of 20"]),
        (["--packed={int4}", "--place_seed=-1"], ["place_seed", "-1"]),
        (["--packed={int4}", "--recordings=/no.sigmf-meta"], ["--recordings", "no such file"]),
        (["--packed={int4}", "--recordings=song.wav"], ["--recordings", "song.wav"]),
        (["--packed={int4}", "--checkpoint=/nonexistent/model"], ["/nonexistent/model"]),
    ],
)
def test_a_bad_flag_is_named_with_what_is_allowed(
    run, checkpoint, sweep, tmp_path, arguments, parts
):
    known = {"sweep": sweep, "rows": sweep / "results.jsonl", "int4": sweep / "files" / "int4.wfm"}
    asked = [argument.format(**known) for argument in arguments]
    here = (f"--checkpoint={checkpoint}", f"--workdir={tmp_path / 'run'}", "--places=")
    code, _, error = run(*here, *asked)
    assert code == 2
    (line,) = error.strip().splitlines()
    assert len(line) <= 400
    assert all(part in line for part in parts), line
    assert not (tmp_path / "run").exists()


def test_files_and_frames_of_other_constellations_are_named(
    run, checkpoint, sweep, recording, tmp_path
):
    other = recording("other", dataclasses.replace(small.LINK, bits_per_symbol=(2, 4)))
    asked = [
        "--places=",
        f"--workdir={tmp_path / 'run'}",
        f"--packed={sweep / 'files' / 'int4.wfm'}",
    ]
    code, _, error = run(*asked, f"--checkpoint={checkpoint}", f"--recordings={other}")
    assert code == 2
    assert "--recordings" in error
    assert "(2, 4) bits a symbol, the teacher's (2, 4, 6, 8)" in error
    path = recording("uneven", small.LINK, snrs_db=(10.0, 20.0))
    code, _, error = run(*asked, f"--checkpoint={checkpoint}", f"--recordings={path}")
    assert code == 2
    assert "a nominal SNR of 15 dB are needed too" in error


def test_two_recordings_of_one_name_are_refused(run, checkpoint, sweep, recording, tmp_path):
    paths = ",".join(str(recording("hall", small.LINK)) for _ in range(2))
    asked = [
        "--places=",
        f"--workdir={tmp_path / 'run'}",
        f"--packed={sweep / 'files' / 'int4.wfm'}",
    ]
    code, _, error = run(*asked, f"--checkpoint={checkpoint}", f"--recordings={paths}")
    assert code == 2
    assert "--recordings" in error
    assert "two are called hall" in error


def test_without_sionna_there_is_a_line_that_says_where_it_comes_from(run, monkeypatch, tmp_path):
    monkeypatch.setattr(record_sionna_flags, "is_installed", lambda: False)
    code, _, error = run(f"--workdir={tmp_path / 'run'}", main=record_sionna)
    assert code == 2
    (line,) = error.strip().splitlines()
    assert "make test-oracles" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "flag, parts",
    [
        ("--sionna_frames=0", ["sionna_frames", "0"]),
        ("--sionna_snrs_db=20,10", ["--sionna_snrs_db=20,10", "rising"]),
        ("--sionna_snrs_db=", ["--sionna_snrs_db=", "one at least"]),
        ("--sionna_snrs_db=10,x", ["--sionna_snrs_db=10,x", "x"]),
        ("--sionna_snrs_db=10,nan", ["--sionna_snrs_db=10,nan", "-50 to 100"]),
        ("--sionna_delay_spread_ns=300", ["--sionna_delay_spread_ns", "39.9 ns", "300 ns"]),
        ("--sionna_delay_spread_ns=0", ["--sionna_delay_spread_ns", "positive"]),
        ("--sionna_speed_m_s=-1", ["sionna_speed_m_s", "-1"]),
        ("--sionna_carrier_hz=0", ["sionna_carrier_hz", "0"]),
        ("--sionna_seed=-1", ["sionna_seed", "-1"]),
    ],
)
def test_bad_flags_of_frames_of_sionna(run, monkeypatch, tmp_path, flag, parts):
    monkeypatch.setattr(record_sionna_flags, "is_installed", lambda: True)
    code, _, error = run(flag, f"--workdir={tmp_path / 'run'}", main=record_sionna)
    assert code == 2
    (line,) = error.strip().splitlines()
    assert all(part in line for part in parts), line
    assert not (tmp_path / "run").exists()


def test_a_plan_of_frames_of_sionna_needs_none(run, monkeypatch, tmp_path):
    monkeypatch.setattr(record_sionna_flags, "is_installed", lambda: True)
    code, out, _ = run("--dry_run", f"--workdir={tmp_path / 'run'}", main=record_sionna)
    assert code == 0
    assert "4,800 frames" in out
    assert not (tmp_path / "run").exists()
