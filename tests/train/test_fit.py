"""A training's loop on a problem of three weights: steps by hand, resumed bit for bit, its log."""

import dataclasses
import functools
import json
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import compile_cache
from wfm_jax.results import checkpoint
from wfm_jax.results.progress import Silent
from wfm_jax.train.fit import Fit, TrainingDivergedError, fit, make_chunk, new_training
from wfm_jax.train.interrupt import Stopped, StopRequest
from wfm_jax.train.optimizer import adam, learning_rate_at

HOW = Fit("lines", steps=25, learning_rate=0.1, chunk_steps=10, save_every_s=1e9)
TRUTH = np.array([1.0, -2.0, 0.5], np.float32)


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """Many tests run the same program."""
    with compile_cache.kept_in(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def stream():
    return jax.random.key(3)


def loss_of(params, key):
    """Squared error of a linear model on eight random points, and a little decay."""
    x = jax.random.normal(key, (8, 3))
    square = jnp.mean(jnp.square(x @ (params["line"]["w"] - TRUTH)))
    decay = 1e-3 * jnp.sum(jnp.square(params["line"]["w"]))
    return square + decay, {"square": square, "decay": decay}


def start():
    return new_training({"line": {"w": jnp.zeros(3)}})


class Steps(Silent):
    """Notes what it is told, and sends a signal after some steps."""

    def __init__(self, send=None, after=0):
        self.begun, self.done, self.send, self.after = [], 0, send, after

    def start(self, title, total, done=0):
        self.begun.append((title, total, done))

    def advance(self, units, note="", *, left_s=None):
        self.done += units
        if self.done == self.after:
            signal.raise_signal(self.send)


@pytest.fixture(scope="module")
def train(stream):
    """``train(folder, ...)``: from the start, or from the checkpoint in the folder."""

    def run(folder, how=HOW, loss_of=loss_of, *, identity="lines", progress=None, stop=None):
        return fit(
            how,
            loss_of,
            start(),
            stream,
            folder / "state",
            identity=identity,
            log=folder / "log" / "losses.jsonl",
            progress=progress or Silent(),
            stop=stop or StopRequest(),
        )

    return run


def logged(folder):
    return [json.loads(line) for line in (folder / "log/losses.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def by_hand(stream):
    """``by_hand(how, n)``: parameters after n steps, and the losses of each, batch by batch."""
    gradient = jax.jit(jax.grad(loss_of, has_aux=True))

    @jax.jit
    def step(params, state, grads, rate):
        updates, state = adam(rate).update(grads, state, params)
        return optax.apply_updates(params, updates), state

    def run(how, n_steps):
        params, state, _ = start()
        losses = []
        for t in range(n_steps):
            key = jax.random.fold_in(stream, t)
            keys = [key] if how.accumulate == 1 else jax.random.split(key, how.accumulate)
            found = [gradient(params, key) for key in keys]
            grads, parts = jax.tree.map(lambda *each: sum(each) / len(each), *found)
            rate = learning_rate_at(t, how.steps, how.learning_rate)
            params, state = step(params, state, grads, rate)
            losses.append(parts)
        return params, losses

    return run


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_step_takes_the_mean_gradient_of_its_batches(stream, by_hand, accumulate):
    """Each batch from a key of its own, one step of Adam at the schedule's rate; the losses told
    are means over batches and steps. A second chunk goes on with the stream and the schedule."""
    how = dataclasses.replace(HOW, accumulate=accumulate)
    chunk = make_chunk(how, loss_of, stream)
    training, losses = chunk(start(), 3)
    expected, each = by_hand(how, 6)
    assert int(training.step) == 3
    for name, value in losses.items():
        of_steps = [parts[name] for parts in each[:3]]
        np.testing.assert_allclose(value, np.mean(of_steps), rtol=1e-4)
    again, _ = chunk(training, 3)
    chex.assert_trees_all_close(again.params, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(expected["line"]["w"]).max() > 0.01


@pytest.fixture(scope="module")
def unbroken(train, tmp_path_factory):
    """The folder of an uninterrupted training, its end, and what it told."""
    folder, progress = tmp_path_factory.mktemp("unbroken"), Steps()
    return folder, train(folder, progress=progress), progress


def test_the_log_tells_the_mean_losses_of_each_chunk(unbroken, by_hand):
    """Ten steps a line, the last five in one; the loss falls."""
    folder, done, progress = unbroken
    assert int(done.step) == 25
    assert progress.begun == [("lines", 25, 0)]
    assert progress.done == 25
    rows = logged(folder)
    assert [row["step"] for row in rows] == [10, 20, 25]
    assert {row["training"] for row in rows} == {"lines"}
    _, each = by_hand(HOW, 25)
    for name in ("square", "decay"):
        values = np.array([float(parts[name]) for parts in each])
        means = [values[:10].mean(), values[10:20].mean(), values[20:].mean()]
        np.testing.assert_allclose([row[name] for row in rows], means, atol=2e-5)
    assert rows[-1]["square"] < 0.5 * rows[0]["square"]


@pytest.mark.parametrize("signum, after", [(signal.SIGINT, 10), (signal.SIGTERM, 20), (15, 25)])
def test_a_stopped_training_goes_on_bit_for_bit(train, unbroken, tmp_path, signum, after):
    """Also one that was asked to stop when it had done its last step."""
    with StopRequest() as stop, pytest.raises(Stopped):
        train(tmp_path, progress=Steps(signum, after), stop=stop)
    assert [row["step"] for row in logged(tmp_path)] == [n for n in (10, 20, 25) if n <= after]
    progress = Steps()
    resumed = train(tmp_path, progress=progress)
    assert progress.begun == [("lines", 25, after)]
    assert progress.done == 25 - after
    chex.assert_trees_all_equal(resumed, unbroken[1])
    assert logged(tmp_path) == logged(unbroken[0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_the_training(train, tmp_path, value):
    """Named by the chunk it fell into, and written down; what was saved before it stays."""

    def breaks(params, key):
        loss, parts = loss_of(params, key)
        far = jnp.abs(params["line"]["w"][1]) > 1.0
        return loss, parts | {"square": jnp.where(far, value, parts["square"])}

    how = dataclasses.replace(HOW, save_every_s=0.0)
    with pytest.raises(
        TrainingDivergedError, match=r"lines: .* before step 20: lower the learning rate"
    ):
        train(tmp_path, how, breaks)
    assert [np.isfinite(row["square"]) for row in logged(tmp_path)] == [True, False]
    saved = checkpoint.restore(tmp_path / "state", start(), config_hash="lines")
    assert int(saved.step) == 10


def test_a_checkpoint_of_another_training_is_refused(train, tmp_path):
    train(tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match="belongs to configuration"):
        train(tmp_path, identity="curves")


@pytest.mark.parametrize("every_s, saves", [(0.0, [10, 20, 25]), (1e9, [25])])
def test_checkpoints_are_as_frequent_as_asked(train, monkeypatch, tmp_path, every_s, saves):
    """The finished state is saved in any case."""
    found = []

    def note(save, path, training, **kwargs):
        found.append(int(training.step))
        return save(path, training, **kwargs)

    monkeypatch.setattr(checkpoint, "save", functools.partial(note, checkpoint.save))
    finished = train(tmp_path, dataclasses.replace(HOW, save_every_s=every_s))
    assert found == saves
    progress = Steps()
    chex.assert_trees_all_equal(train(tmp_path, progress=progress), finished)
    assert progress.done == 0
