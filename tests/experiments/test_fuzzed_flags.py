"""Any command line of a sweep works, or ends with 2 and one clear line; never a traceback."""

import contextlib
import importlib
import io
import math
import sys

import jax
import pytest
from absl import flags
from absl.testing import flagsaver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import axis_flags, compile_cache, cpu_devices, launch, space_flag, sweep
from wfm_jax.results.manifest import Manifest

LONGEST_LINE = 400
NAMES = sorted(flag.name for flag in flags.FLAGS.get_key_flags_for_module(sweep))
OTHERS = ["adapt", "baselines", "bench", "ber", "evaluate", "failure_modes", "pretrain"]
OTHERS += ["generalisation", "order_study", "record", "record_sionna", "robustness", "sensitivity"]

RIGHT = {
    "pipeline": ["P-Q-KD", "none", "P-S,P-KD-P-KD", "L-KD", "Q"],
    "structure": ["2:4", "heads", "unstructured,4x4"],
    "quant_format": ["nf4", "affine", "integer"],
    "scale": ["learned", "absmax,mse"],
    "rounding": ["gptq", "nearest,awq"],
    "distribution": ["uniform,erk"],
    "group_size": ["none", "32"],
    "allocation": ["uniform"],
    "alpha": ["0.5", "0,1"],
    "temperature": ["1,2,4"],
    "learning_rate": ["1e-3,1e-4"],
    "steps": ["50", "2147483647"],
    "recovery_steps": ["10", "10000"],
    "seed": ["0,1"],
    "act_bits": ["8"],
    "weight_bits": ["4", "2,8"],
    "sparsity": ["0.5", "0,0.9"],
}
HOSTILE = ["", " ", ",", ":", "=", "-", "--", "nan", "-nan", "inf", "-inf", "1e400", "-1", "-0.0"]
HOSTILE += ["9" * 31, "-" + "9" * 31, "9" * 5000, "2147483648", "0x10", "1_000", "1e-400", "٣", "²"]
HOSTILE += ["\x00", "\n", "a\nb", "\r", "\x1b[2J", "\u2028", "\ud800", "é" * 500, '"', "'", '"P,Q']
HOSTILE += ["%s", "{}", "{0}", "[1]", "None", "null", "/", "~", "@", "@/", "@/dev/null", "x", " x "]
HOSTILE += ["..", "0..1", "of", "seed", "1 of", "a|b", "P--Q", "KD-S", "4:nan", "4:0.5:1", ":" * 99]
HOSTILE += ["1,x", "0,,1", "P-Q,none,P-X", "2,nan", "8:0.5,4", "true", "1", "4:0.75,4:0.75", "1.5"]

COUNTS, SEEDS = ["1", "3", "0", "-1", "100001", "9" * 31], [" seed 7", " seed -1", " seed x", ""]
DRAWS = ["alpha=0..1", "learning_rate=1e-4..1e-2 log", "weight_bits=2|4", "steps=1..9", "scale=mse"]
FACTORS = [f"{field}={values}" for field, right in RIGHT.items() for values in right]
FACTORS += [f"{n} of {d}, temperature=1|2{s}" for n in COUNTS for d in DRAWS for s in SEEDS]
FACTORS += ["weight_bits:sparsity=8:0.5,4:0.75", "structure:alpha=2:4:0.5,heads:1", "alpha:steps=1"]
FACTORS += ["@", "@.", "@/dev/null", "@nowhere.jsonl", "alpha:alpha=1:1", "alphas=1", "=1", "alpha"]

FLAGS = {field: flag.name for field, flag in axis_flags.FLAG_OF.items()}
SOUND = [f"--{FLAGS[f]}={values}" for f in [*RIGHT][:-2] for values in RIGHT[f]]
SOUND += ["--operating_points=4:0.75", "--model=pico", "--teacher=train", "--remat", "--steps=9"]
STRANGE = [f"--flagfile={file}" for file in ("", "/", "/bin/ls", "/nowhere", "\x00")]
STRANGE += ["--undefok=x", "--undefok=", "--x=1", "--pipeline=P", "--noremat", "--nosteps", "---"]


def changed(text, at, piece, cut):
    return text[: at % (len(text) + 1)] + piece + text[at % (len(text) + 1) + cut :]


pieces = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=5))
terms = st.lists(st.sampled_from(FACTORS), min_size=1, max_size=3).map(" x ".join)


def loose(names):
    """An argument that is hardly right."""
    bare = [f"{start}{name}" for start in ("--", "-") for name in names]
    return st.one_of(
        st.sampled_from([f"--{name}={value}" for name in names for value in HOSTILE]),
        st.builds("--{}={}".format, st.sampled_from(names), pieces),
        st.sampled_from([*bare, *(text for text in HOSTILE if len(text) < 31), *STRANGE]),
    )


of_a_sweep = st.one_of(
    st.sampled_from(SOUND),
    st.sampled_from(SOUND),
    terms.map("--space={}".format),
    st.builds(changed, terms, st.integers(0, 99), pieces, st.integers(0, 3)).map(
        "--space={}".format
    ),
    loose(NAMES),
)


def outcome(main, command_line):
    """Exit code and stderr of a main."""
    errors, sys.argv = io.StringIO(), ["sweep.py", *command_line]
    with (
        flagsaver.flagsaver(),
        contextlib.redirect_stderr(errors),
        contextlib.redirect_stdout(io.StringIO()),
        pytest.raises(SystemExit) as ended,
    ):
        launch.launch(main)
    return ended.value.code, errors.getvalue()


def holds(main, command_line):
    code, errors = outcome(main, command_line)
    if code in (None, 0):
        assert errors == ""
        return
    assert code == 2
    assert errors.endswith("\n")
    (line,) = errors.splitlines()
    assert 0 < len(line) <= LONGEST_LINE
    assert line.startswith("sweep: ")


def can_be_recorded(study, workdir, flags, **_):
    assert 0 < len(study.configurations) <= space_flag.MOST
    assert all(math.isfinite(value) for value in flags.values() if isinstance(value, float))
    stored = Manifest.from_json(Manifest(flags).to_json())
    assert stored.hash == Manifest(flags).hash


def alone(*_, **__):
    raise RuntimeError("no other process")


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch, tmp_path):
    """Everything that a main does before it opens its folder, and no more."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sweep.py"])
    monkeypatch.setattr(sweep, "run_study", can_be_recorded)
    monkeypatch.setattr(compile_cache, "use", lambda: None)  # it makes a folder
    monkeypatch.setattr(cpu_devices, "use", lambda **_: None)  # it is for the whole process
    monkeypatch.setattr(jax.distributed, "initialize", alone)


def fuzzed(main, arguments, **kept):
    """Holds a main to its law for lists of arguments."""
    kept |= {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

    @settings(**kept)
    @given(st.lists(arguments, max_size=4))
    def law(line):
        holds(main, ["--workdir=nowhere", *line])

    law()


def test_a_sweeps_command_line_works_or_is_refused_in_one_line():
    fuzzed(sweep.main, of_a_sweep, max_examples=300, derandomize=True)


@pytest.mark.slow
def test_ten_thousand_command_lines():
    fuzzed(sweep.main, of_a_sweep, max_examples=10_000)


@pytest.mark.parametrize("name", OTHERS)
def test_flags_of_other_mains_are_read_or_refused_in_one_line(name):
    main = importlib.import_module(f"experiments.{name}")
    names = sorted(flag.name for flag in flags.FLAGS.get_key_flags_for_module(main))
    fuzzed(lambda: None, loose(names), max_examples=15, derandomize=True)
