"""Error-rate curves from the shell: what they leave, stops, resumes, and bad flags."""

import json
import os
import signal
import subprocess
import sys

import pyarrow.parquet
import pytest
from absl.testing import flagsaver

from experiments import ber
from experiments.launch import launch
from tests import compile_cache

FLAGS = (
    "--scenarios=rician",
    "--modulations=4,16",
    "--receivers=genie,ls",
    "--snr_db=0,10,20",
    "--n_symbols=4",
    "--pilot_symbols=0",
    "--n_subcarriers=12",
    "--fft_size=16",
    "--cp_samples=2",
    "--batch_frames=50",
    "--target_frame_errors=100",
    "--max_frames=400",
)


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """Many tests run the same program."""
    with compile_cache.kept_in(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the main in this process; returns its exit code, output and errors."""

    def run(workdir, *arguments, flags=FLAGS):
        monkeypatch.setattr(sys, "argv", ["ber.py", f"--workdir={workdir}", *flags, *arguments])
        code = 0
        with flagsaver.flagsaver():
            try:
                launch(ber.main)
            except SystemExit as ended:
                code = ended.code
        said = capsys.readouterr()
        return code or 0, said.out, said.err

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the undisturbed run of this module lies."""
    return tmp_path_factory.mktemp("runs") / "undisturbed"


@pytest.fixture
def finished(folder, call):
    """The folder of a run that nothing disturbed."""
    if not folder.exists():
        code, _, error = call(folder)
        assert code == 0, error
    return folder


def rows(folder):
    return [json.loads(line) for line in (folder / "ber.jsonl").read_text().splitlines()]


def results(folder):
    return sorted(
        json.dumps({k: v for k, v in row.items() if k != "wall_s"}) for row in rows(folder)
    )


def test_a_run_leaves_rows_parquet_picture_and_read_out(finished):
    names = {path.name for path in finished.iterdir()} - {".lock"}
    assert names == {"manifest.json", "ber.jsonl", "ber.parquet", "ber.png", "summary.txt"}
    assert len(rows(finished)) == 2 * 2 * 3
    table = pyarrow.parquet.read_table(finished / "ber.parquet").to_pylist()
    assert table == sorted(table, key=lambda r: (r["constellation"], r["snr_db"]))
    for row in table:
        if row["receiver"] == "genie":
            assert abs(row["ber_z"] or 0.0) < 5.0
    summary = (finished / "summary.txt").read_text()
    assert "rician, 16-QAM" in summary
    assert max(map(len, summary.splitlines())) <= 100


def test_the_same_command_again_measures_nothing(finished, call):
    before = (finished / "ber.jsonl").read_bytes()
    code, out, _ = call(finished)
    assert code == 0
    assert "12 rows are finished" in out
    assert "compiling" not in out
    assert (finished / "ber.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("signum", "code"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 75)],
)
def test_stopped_and_resumed_it_ends_as_if_undisturbed(
    finished, call, tmp_path, monkeypatch, signum, code
):
    """A signal after the third point, a torn row, and on."""
    from wfm_jax.results import ber_rows

    append, calls = ber_rows.append_rows, []

    def stopping(*arguments):
        append(*arguments)
        calls.append(arguments)
        if len(calls) == 3:
            os.kill(os.getpid(), signum)

    monkeypatch.setattr(ber_rows, "append_rows", stopping)
    ended, _, error = call(tmp_path / "run")
    assert ended == code
    assert "run it again" in error
    assert len(rows(tmp_path / "run")) == 6
    with (tmp_path / "run" / "ber.jsonl").open("ab") as file:
        file.write(b'{"scenario":')
    ended, out, _ = call(tmp_path / "run")
    assert ended == 0
    assert "torn row" in out
    assert results(tmp_path / "run") == results(finished)


def test_other_flags_are_refused_and_named_but_axes_may_grow(finished, call, tmp_path):
    code, _, error = call(finished, "--max_frames=500")
    assert code == 2
    assert "--max_frames: 400 -> 500" in error
    code, _, error = call(finished, "--receivers=genie")
    assert code == 2
    assert "--receivers" in error
    code, out, _ = call(finished, "--panels=ber,fer")
    assert (code, "compiling" in out) == (0, False)


def test_curves_of_another_run_are_drawn_beside(finished, call):
    before = (finished / "ber.png").read_bytes()
    code, out, error = call(finished, f"--add={finished}")
    assert code == 0, error
    assert "compiling" not in out
    assert (finished / "ber.png").read_bytes() != before
    code, _, error = call(finished, "--add=/nowhere")
    assert code == 2
    assert "/nowhere" in error


def test_a_short_prefix_is_told_in_one_line(call, tmp_path):
    changed = ("--scenarios=tdl_d", "--snr_db=10", "--max_frames=50", "--receivers=genie")
    code, _, error = call(tmp_path / "run", *changed)
    assert code == 0
    (line,) = error.strip().splitlines()
    assert line.startswith("warning: tdl_d: cp_samples=2 is shorter")


@pytest.mark.parametrize("name", ["tdl_d", "tdl_e", "factory_hall", "inf_dl", "nuremberg"])
def test_the_default_link_holds_every_scenario(name):
    from experiments import ber_flags

    flagsaver_flags = {"scenarios": [name]}
    ber.flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(**flagsaver_flags):
        config = ber_flags.study().links[name]
    assert config.n_taps - 1 <= config.cp_samples


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("--modulations=4,8", ["--modulations=8", "4, 16, 64, 256, 1024"]),
        ("--modulations=", ["--modulations", "empty list"]),
        ("--modulations=x", ["--modulations=x"]),
        ("--scenarios=hall", ["--scenarios=hall", "factory_hall"]),
        ("--receivers=mmse", ["--receivers=mmse", "lmmse"]),
        ("--panels=bler", ["--panels=bler", "fer"]),
        ("--snr_db=30:0:2", ["--snr_db=30:0:2", "first:last:step"]),
        ("--snr_db=0:30", ["--snr_db=0:30", "first:last:step"]),
        ("--snr_db=0:30:0", ["--snr_db=0:30:0"]),
        ("--snr_db=", ["--snr_db"]),
        ("--snr_db=a", ["--snr_db=a"]),
        ("--snr_db=nan", ["--snr_db=nan"]),
        ("--ebn0_db=0:10:2", ["--ebn0_db", "--snr_db"]),
        ("--charge_overhead", ["--charge_overhead", "--ebn0_db"]),
        ("--target_frame_errors=0", ["target_frame_errors"]),
        ("--max_frames=0", ["max_frames"]),
        ("--batch_frames=-1", ["batch_frames"]),
        ("--seed=-1", ["seed"]),
        ("--target_ber=1", ["target_ber"]),
        ("--demapping=soft", ["demapping", "maxlog"]),
        ("--over_time=never", ["over_time", "interpolate"]),
        ("--k_db=nan", ["--k_db"]),
        ("--scenarios=factory_hall --k_db=7", ["--k_db", "factory_hall"]),
        ("--scenarios=inf_sl --delay_spread_ns=50", ["--delay_spread_ns", "inf_sl"]),
        ("--delay_spread_ns=-5", ["--delay_spread_ns=-5"]),
        ("--speed_m_s=-1", ["--speed_m_s=-1"]),
        ("--pilot_symbols=9", ["pilot_symbols", "9"]),
        ("--pilot_symbols=a", ["--pilot_symbols", "a"]),
        ("--pilot_spacing=5", ["pilot_spacing", "5"]),
        ("--fft_size=8", ["fft_size", "8"]),
        ("--cp_samples=99", ["cp_samples", "99"]),
        ("--add=/nowhere", ["/nowhere"]),
        ("curve", ["'curve'"]),
    ],
)
def test_a_bad_flag_is_one_line_that_names_it(call, tmp_path, argument, parts):
    code, _, error = call(tmp_path / "run", *argument.split(" "))
    assert code == 2
    (line,) = error.strip().splitlines()
    assert all(part in line for part in parts), line
    assert not (tmp_path / "run").exists()


def test_help_says_what_it_does():
    command = [sys.executable, "-m", "experiments.ber", "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "python -m experiments.ber" in ended.stdout
    assert "--snr_db" in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 100
