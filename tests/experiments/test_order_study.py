"""The main of the order study, and the presets of the sweeps that it reads."""

import json
import pathlib
import re
import sys

import pytest
from absl.testing import flagsaver

from experiments import axis_flags, launch, order_study, sweep
from tests.results.made_order_study import configuration, make_study
from wfm_jax.results import order_contrasts
from wfm_jax.results.order_contrasts import CONTRASTS
from wfm_jax.results.rows import append_rows, complete_row, read_rows
from wfm_jax.sweep.configuration import distinct
from wfm_jax.sweep.plan import work_of

FILES = {
    *("verdict.txt", "exploratory.txt", "order_contrasts.jsonl", "rows.parquet"),
    *("contrasts.png", "contrasts_over_size.png", "orders.png"),
}
PRESETS = pathlib.Path(sweep.__file__).parent / "presets"


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the main; its exit code, what it said, and what it complained of."""

    def of(*arguments):
        monkeypatch.setattr(sys, "argv", ["order_study.py", *map(str, arguments)])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
            launch.launch(order_study.main)
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return of


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Two runs, a teacher each."""
    folder = tmp_path_factory.mktemp("order")
    made = make_study({"P-Q-FT": -1.0}, seeds=9, teachers=2, students=("same",))
    for teacher in ("teacher0", "teacher1"):
        (folder / teacher).mkdir()
        own = [row for row in made if row["teacher_hash"] == teacher]
        append_rows(folder / teacher / "results.jsonl", own)
    return folder


def test_rows_to_verdict_and_again_from_what_it_left(run, rows, tmp_path):
    given = [f"--rows={rows / name}" for name in ("teacher0", "teacher1")]
    code, out, _ = run(*given, f"--workdir={tmp_path / 'one'}", "--shuffles=2")
    assert code == 0
    assert {path.name for path in (tmp_path / "one").iterdir()} == FILES
    assert "4 (P-Q-KD over P-Q-FT)" in out
    assert "of 2 runs established something" in " ".join(out.split())
    assert len(out.splitlines()) < 110
    code, _, _ = run(f"--rows={tmp_path / 'one'}", f"--workdir={tmp_path / 'two'}", "--shuffles=2")
    assert code == 0
    for name in FILES - {path for path in FILES if path.endswith(".png")} - {"rows.parquet"}:
        assert (tmp_path / "one" / name).read_text() == (tmp_path / "two" / name).read_text(), name
    numbers = (tmp_path / "one" / "order_contrasts.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in numbers]
    declared = [line for line in lines if not line["exploratory"]]
    assert [line["a"] for line in declared] == [contrast.a_name for contrast in CONTRASTS]
    (tuned,) = [line for line in declared if line["b"] == "P-Q-FT"]
    assert tuned["verdict"] == "established"
    assert sum(tuned["differences"]) / 9 == pytest.approx(tuned["difference"])


def test_bad_input_is_one_line(run, rows, tmp_path):
    foreign = tmp_path / "foreign.jsonl"
    found, _ = read_rows(rows / "teacher0" / "results.jsonl")
    append_rows(foreign, [found[-1] | {"test_frames_hash": "others"}])
    workdir = f"--workdir={tmp_path / 'out'}"
    for arguments, parts in (
        ((), ("--rows must be given",)),
        ((f"--rows={tmp_path / 'nowhere'}",), ("nowhere",)),
        ((f"--rows={rows}",), ("results.jsonl",)),
        ((f"--rows={rows / 'teacher0'}", f"--rows={foreign}"), ("foreign", "test_frames_hash")),
        ((f"--rows={rows / 'teacher0'}", "--shuffles=-1"), ("--shuffles",)),
        ((f"--rows={rows / 'teacher0'}", f"--workdir={foreign}"), ("foreign.jsonl",)),
    ):
        code, _, error = run(workdir, *arguments)
        assert code == 2, arguments
        assert error.startswith("order_study: ")
        assert len(error.splitlines()) == 1
        assert all(part in error for part in parts), error
    assert not (tmp_path / "out").exists()


def test_rows_that_must_be_the_same_and_differ_end_with_2_and_a_verdict(run, rows, tmp_path):
    found, _ = read_rows(rows / "teacher0" / "results.jsonl")
    more = {"seed": 0, "recovery_steps": 0, "teacher_hash": "teacher0", "score_on": "latent"}
    latent = complete_row(configuration("Q-P", 4, 0.75, 50.0, **more))
    append_rows(tmp_path / "broken.jsonl", [*found, latent])
    code, _, error = run(f"--rows={tmp_path / 'broken.jsonl'}", f"--workdir={tmp_path / 'out'}")
    assert code == 2
    assert "must be the same" in error
    assert "DIFFER" in (tmp_path / "out" / "verdict.txt").read_text()


def asked(preset, *arguments):
    with flagsaver.flagsaver():
        launch.parse(["sweep", f"--flagfile={PRESETS / preset}", "--workdir=x", *arguments])
        return distinct(axis_flags.configurations())


@pytest.mark.parametrize(
    ("preset", "seeds"),
    [
        ("order_study.flags", ("0,1,2,3", "4,5,6", "7,8,9")),
        ("order_study_cpu.flags", ("0,1,2,3", "4,5,6", "7,8,9")),
        ("order_study_micro.flags", (None,)),
        ("article.flags", (None,)),
        ("smallest.flags", (None,)),
        ("frontier.flags", (None,)),
    ],
)
def test_presets_cost_what_they_say(preset, seeds):
    said = re.sub(r"\s+#?\s*", " ", (PRESETS / preset).read_text().partition("\n--")[0])
    steps = 0
    for own in seeds:
        configurations = asked(preset, *([f"--seeds={own}"] if own else []))
        steps += work_of(configurations).train
        assert f"{len(configurations):,}" in said
        assert f"{work_of(configurations).train:,.0f}" in said
    assert f"{steps:,.0f} configuration-steps" in said


@pytest.mark.parametrize(
    ("preset", "answered"),
    [
        ("order_study.flags", {*range(1, len(CONTRASTS) + 1)}),
        ("order_study_cpu.flags", {*range(1, len(CONTRASTS) + 1)}),
        ("order_study_micro.flags", {1, 2, 4}),
    ],
)
def test_presets_ask_for_the_arms_of_the_contrasts_that_they_answer(preset, answered):
    found = {
        (c.pipeline, c.student, c.init, c.score_on, c.recovery_steps > 0, c.weight_bits)
        for c in asked(preset, "--seeds=0")
        if c.seed == 0 and c.train_from == "snapped" and c.structure == "unstructured"
    }
    having = {
        i
        for i, contrast in enumerate(CONTRASTS, start=1)
        if all(
            (pipeline, arm.student, arm.init, arm.score_on, arm.recovery, bits) in found
            for arm in (contrast.a, contrast.b)
            for pipeline in arm.pipelines
            for bits in (8, 4, 3, 2)
        )
    }
    assert having == answered
    alone = {pipeline for pipeline, *_ in found} & {"P", "Q"}
    assert alone == ({"P", "Q"} if 6 in answered else set())
    assert order_contrasts.LEVEL == 0.05
