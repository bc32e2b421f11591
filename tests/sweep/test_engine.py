"""The engine: one compile a group, together as alone, stops and resumes without a trace."""

import dataclasses
import signal

import jax
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.results import rows
from wfm_jax.results.progress import Silent
from wfm_jax.sweep import engine
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.train.interrupt import Stopped, StopRequest

GROUP = engine.Group
POINT = {"sparsity": 0.5, "weight_bits": 32, "steps": 20}
ASKED = [
    Configuration(p, **POINT) for p in ("none", "P-KD", "P-FT", "KD-P", "P-KD-Q", "KD-P-FT")
] + [Configuration("P-KD", **POINT, student="smaller")]


def folder(parent, name):
    (parent / name).mkdir()
    return parent / name


class Recorder:
    """Stands in for the examiner: keeps the weights it is handed, writes the row's identity."""

    pace_s = 0.0

    def __init__(self):
        self.weights = {}

    def references(self, known):
        return []

    def examine(self, problem, configuration, deployed, wall_s):
        self.weights[configuration.config_id] = compress.flatten(deployed.params)
        return {
            "config_id": configuration.config_id,
            "kind": "configuration",
            "pipeline": configuration.pipeline,
            "status": "ok" if int(deployed.diverged_at) < 0 else "diverged",
        }


class StopAfter(Silent):
    """Raises a signal after so many chunks."""

    def __init__(self, chunks, signum=signal.SIGTERM):
        self.left, self.signum = chunks, signum

    def advance(self, units, note="", *, left_s=None):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(self.signum)


@pytest.fixture(scope="module")
def shared_groups(problem, settings):
    """Groups kept across sweeps of this module, so that each compiles once."""
    made = {}

    def group(name, problem_, configurations, settings_):
        if name not in made:
            padded = [*configurations] * 8
            made[name] = GROUP(name, problem, padded[:8], settings)
        return made[name]

    return group


@pytest.fixture
def sweep(problem, settings, shared_groups, monkeypatch):
    """Runs a sweep in a folder with the shared groups; returns the recorder and the compiles."""
    monkeypatch.setattr(engine, "Group", shared_groups)

    def run(asked, workdir, **kwargs):
        recorder = Recorder()
        compiles = engine.run_sweep(asked, problem, settings, recorder, workdir, **kwargs)
        return recorder.weights, compiles

    return run


@pytest.fixture(scope="module")
def undisturbed(problem, settings, shared_groups, tmp_path_factory):
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "Group", shared_groups)
        workdir = tmp_path_factory.mktemp("undisturbed")
        compiles = engine.run_sweep(ASKED, problem, settings, recorder, workdir)
    return recorder.weights, compiles, workdir


def test_one_compile_a_static_group_whatever_the_number_of_configurations(
    undisturbed, sweep, tmp_path
):
    assert undisturbed[1] == {"same": 1, "smaller": 1}
    # Fewer configurations, other numbers: still the same program.
    others = [Configuration("P-KD", sparsity=s, weight_bits=32, steps=7) for s in (0.1, 0.9)]
    assert sweep(others, tmp_path)[1] == {"same": 1}


def test_seeds_train_on_their_own_data_with_the_same_program(sweep, tmp_path):
    seeds = [Configuration("P-FT", sparsity=0.5, steps=5, seed=s) for s in (0, 1, 2)]
    weights, compiles = sweep(seeds, tmp_path)
    assert compiles == {"same": 1}
    one, two, _ = (weights[c.config_id] for c in seeds)
    assert any(not np.array_equal(one[path], two[path]) for path in one)


def test_width_holds_the_configurations_of_one_seed(problem, settings):
    def width(asked):
        return GROUP("same", problem, asked, settings).width

    of_one_seed = [Configuration("P", sparsity=s / 100) for s in range(9)]
    of_three = [dataclasses.replace(c, seed=s) for c in of_one_seed for s in (0, 1, 2)]
    assert width(of_one_seed) == width(of_three) == 16
    assert width(of_one_seed[:1]) == 8


def _compiles(caplog):
    return sum("Finished XLA compilation of jit(chunk)" in r.getMessage() for r in caplog.records)


def test_every_configuration_has_one_row(undisturbed):
    found, repaired = rows.read_rows(undisturbed[2] / engine.ROWS)
    assert repaired is None
    assert sorted(row["config_id"] for row in found) == sorted(c.config_id for c in ASKED)
    assert not (undisturbed[2] / engine.COHORT).exists()


def test_trained_together_equals_trained_alone(undisturbed, sweep, tmp_path):
    """Twenty steps without quantization: to 1e-4 in every weight."""
    alone = Configuration("P-KD", **POINT)
    weights, _ = sweep([alone], tmp_path)
    for path, leaf in weights[alone.config_id].items():
        np.testing.assert_allclose(leaf, undisturbed[0][alone.config_id][path], atol=1e-4)


@pytest.mark.parametrize(
    ("chunks", "signum"),
    [(1, signal.SIGINT), (3, signal.SIGTERM), (5, signal.SIGINT), (9, signal.SIGTERM)],
)
def test_a_stopped_sweep_goes_on_to_the_same_weights(
    undisturbed, sweep, tmp_path, caplog, chunks, signum
):
    """Bit for bit, and with the program that is there: XLA's own log shows no other."""
    with pytest.raises(Stopped) as stopped, StopRequest() as stop:
        sweep(ASKED, tmp_path, progress=StopAfter(chunks, signum), stop=stop)
    assert stopped.value.exit_code == {signal.SIGINT: 130, signal.SIGTERM: 75}[signum]
    with jax.log_compiles(True):
        weights, _ = sweep(ASKED, tmp_path)
    assert _compiles(caplog) == 0
    found, _ = rows.read_rows(tmp_path / engine.ROWS)
    assert sorted(row["config_id"] for row in found) == sorted(c.config_id for c in ASKED)
    for identity, flat in weights.items():
        for path, leaf in flat.items():
            np.testing.assert_array_equal(leaf, undisturbed[0][identity][path])


class Listener(Silent):
    def __init__(self):
        self.said, self.boards = [], []

    def show(self, board):
        self.boards.append(board)

    def say(self, text):
        self.said.append(text)


def test_a_damaged_checkpoint_is_told_and_the_one_before_goes_on(undisturbed, sweep, tmp_path):
    with pytest.raises(Stopped), StopRequest() as stop:
        sweep(ASKED, tmp_path, progress=StopAfter(3), stop=stop)
    newest = max((tmp_path / engine.COHORT).iterdir(), key=lambda folder: int(folder.name))
    (newest / "sidecar.json").write_bytes(b"half of")
    listener = Listener()
    weights, _ = sweep(ASKED, tmp_path, progress=listener)
    (line,) = (line for line in listener.said if "damaged" in line)
    assert str(newest) in line
    assert "going on from the one before" in line
    for identity, flat in weights.items():
        for path, leaf in flat.items():
            np.testing.assert_array_equal(leaf, undisturbed[0][identity][path])


def test_a_cohort_without_any_good_checkpoint_begins_again(undisturbed, sweep, tmp_path):
    with pytest.raises(Stopped), StopRequest() as stop:
        sweep(ASKED, tmp_path, progress=StopAfter(3), stop=stop)
    for sidecar in (tmp_path / engine.COHORT).rglob("sidecar.json"):
        sidecar.unlink()
    listener = Listener()
    weights, _ = sweep(ASKED, tmp_path, progress=listener)
    assert any("begins again" in line for line in listener.said)
    assert list(tmp_path.glob("cohort.damaged*"))
    for identity, flat in weights.items():
        for path, leaf in flat.items():
            np.testing.assert_array_equal(leaf, undisturbed[0][identity][path])


@pytest.mark.endurance
def test_a_sweep_that_grew_takes_its_stopped_cohort_along(
    undisturbed, problem, settings, sweep, tmp_path, caplog, monkeypatch
):
    """Into a wider program, which is the one that all the others run in."""
    with pytest.raises(Stopped), StopRequest() as stop:
        sweep(ASKED, tmp_path, progress=StopAfter(3), stop=stop)
    monkeypatch.setattr(engine, "Group", GROUP)
    more = [Configuration("P-KD", **POINT, temperature=1 + i / 8) for i in range(12)]
    recorder = Recorder()
    with jax.log_compiles(True):
        compiles = engine.run_sweep([*ASKED, *more], problem, settings, recorder, tmp_path)
    assert compiles == {"same": 1, "smaller": 1}
    assert _compiles(caplog) >= 1  # the other group's is compiled in a thread of its own
    assert set(recorder.weights) == {c.config_id for c in [*ASKED, *more]}
    for identity, flat in undisturbed[0].items():
        for path, leaf in flat.items():
            np.testing.assert_allclose(leaf, recorder.weights[identity][path], atol=1e-4)


def test_a_full_disk_is_found_before_anything_is_trained(sweep, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr("wfm_jax.sweep.cohort_run.checkpoint.save", full)
    monkeypatch.setattr(GROUP, "train", lambda *_: pytest.fail("it was trained"))
    with pytest.raises(OSError, match="No space left"):
        sweep(ASKED, tmp_path)


def test_a_torn_last_row_is_cut_off_and_only_that_row_runs_again(undisturbed, sweep, tmp_path):
    text = (undisturbed[2] / engine.ROWS).read_bytes()
    (tmp_path / engine.ROWS).write_bytes(text[:-20])
    listener = Listener()
    weights, _ = sweep(ASKED, tmp_path, progress=listener)
    assert any("torn row" in line for line in listener.said)
    assert len(weights) == 1
    found, _ = rows.read_rows(tmp_path / engine.ROWS)
    assert len(found) == len(ASKED)


def test_nothing_runs_when_nothing_is_missing(undisturbed, sweep):
    weights, compiles = sweep(ASKED, undisturbed[2])
    assert weights == {}
    assert compiles == {}


def test_a_diverged_configuration_leaves_its_neighbours_bit_identical(sweep, tmp_path):
    """Fine-tuning at an absurd rate goes to NaN; the others do as beside a healthy one."""
    good = Configuration("P-KD", **POINT)
    healthy = Configuration("P-FT", **POINT)
    sick = dataclasses.replace(healthy, learning_rate=1e38)
    listener = Listener()
    beside_sick, _ = sweep([good, sick], folder(tmp_path, "sick"), progress=listener)
    beside_healthy, _ = sweep([good, healthy], folder(tmp_path, "healthy"))
    status = {
        row["config_id"]: row["status"]
        for row in rows.read_rows(tmp_path / "sick" / engine.ROWS)[0]
    }
    assert status == {good.config_id: "ok", sick.config_id: "diverged"}
    for path, leaf in beside_sick[good.config_id].items():
        np.testing.assert_array_equal(leaf, beside_healthy[good.config_id][path])
    _check_boards(listener.boards, good, sick)


def _check_boards(boards, good, sick):
    """What was to be seen of it: every stage in turn, and who diverged before there was its row."""
    seen = list(dict.fromkeys(board.parts[0].stage for board in boards))
    way = ["waiting", "pruning and quantizing", "compiling", "training", "measuring", "finished"]
    assert seen == [stage for stage in way if stage in seen]
    assert set(seen) | {"compiling"} == set(way)  # it may be compiled already
    assert [board.standing.rows for board in boards] == sorted(b.standing.rows for b in boards)
    early = next(board for board in boards if board.standing.diverged)
    assert early.standing.rows == 0
    (lost,) = early.standing.diverged
    assert lost.config_id == sick.config_id
    assert 0 <= lost.step < good.steps
    last = boards[-1]
    assert last.is_finished
    assert last.standing.diverged == (lost,)
    (part,) = last.parts
    assert (part.rows, part.total, part.finish_left) == (2, 2, 0.0)
    trained = [board.parts[0].train_left for board in boards]
    assert trained == sorted(trained, reverse=True)
    assert (trained[0], trained[-1]) == (2 * good.steps, 0.0)
