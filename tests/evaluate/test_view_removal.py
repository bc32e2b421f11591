"""Models that lack views: absent views are not read, and retention is what its words say."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.evaluate import link_state, scores, view_removal, view_rows
from wfm_jax.evaluate.intervals import resample_weights
from wfm_jax.evaluate.view_information import INFORMATION, TASKS, told_by
from wfm_jax.evaluate.view_removal import Measured, check_subset, standard_subsets
from wfm_jax.model.config import VIEWS
from wfm_jax.results import view_rows as columns

ALL = ("grid", "csi", "spectrogram", "iq")


@pytest.fixture(scope="module")
def frame(drawn):
    """The frames at 15 dB."""
    return jax.tree.map(lambda x: np.asarray(x)[1], drawn.frame)


@pytest.fixture(scope="module")
def seen(pico):
    """``seen(frame, views)``: scores of the model that is given these views."""
    config, apply, params = pico
    program = jax.jit(functools.partial(scores.score, config, apply))

    def run(frame, views):
        present = np.array([[view in views for view in VIEWS]] * frame.n0.size)
        return jax.tree.map(np.asarray, program(params, frame, present))

    return run


def equal(one, other, **tolerance):
    for name, a, b in zip(one._fields, one, other, strict=True):
        np.testing.assert_allclose(a, b, **tolerance, err_msg=name)


def test_with_all_views_it_is_the_score(pico, frame, score, seen):
    full, ours = score(pico[2], frame), seen(frame, ALL)
    assert np.sum(np.abs(full.bit_errors - ours.bit_errors)) <= 5
    equal(full._replace(bit_errors=0), ours._replace(bit_errors=0), rtol=2e-3, atol=2e-3)


def test_a_removed_view_is_a_view_that_is_none(pico, frame, seen):
    config, apply, params = pico
    without = jax.jit(lambda frame: scores.score(config, apply, params, frame))
    none, ours = without(frame._replace(csi=None)), seen(frame, ("grid", "spectrogram", "iq"))
    assert np.sum(np.abs(none.bit_errors - ours.bit_errors)) <= 5
    equal(none._replace(bit_errors=0), ours._replace(bit_errors=0), rtol=2e-3, atol=2e-3)
    full = seen(frame, ALL)
    assert np.max(np.abs(full.k_error_db - ours.k_error_db)) > 0.01


@pytest.mark.parametrize("views", [("csi",), ("spectrogram",), ("csi", "spectrogram"), ("iq",)])
def test_an_absent_view_is_not_read(frame, seen, views):
    """Other frames' views where none should be read change nothing."""
    rolled = {view: np.roll(getattr(frame, view), 7, axis=0) for view in ALL if view not in views}
    equal(seen(frame, views), seen(frame._replace(**rolled), views), rtol=1e-6, atol=1e-6)


def test_without_elements_bits_are_not_guessed(frame, seen):
    """LLRs of zero: GMI 0, and every bit is taken for a zero."""
    for views in (("csi",), ("spectrogram",)):
        found = seen(frame, views)
        np.testing.assert_allclose(found.gmi_fraction, 0.0, atol=1e-6)
        assert np.sum(found.bit_errors) / np.sum(found.n_bits) == pytest.approx(0.5, abs=0.02)


def test_subsets():
    assert standard_subsets(VIEWS) == [
        ALL,
        ("csi", "spectrogram", "iq"),
        ("grid", "spectrogram", "iq"),
        ("grid", "csi", "iq"),
        ("grid", "csi", "spectrogram"),
        ("grid",),
        ("csi",),
        ("spectrogram",),
        ("iq",),
    ]
    assert standard_subsets(("iq", "grid")) == [("grid", "iq"), ("iq",), ("grid",)]
    assert standard_subsets(("iq",)) == [("iq",)]


def test_a_subset_that_the_model_does_not_read_is_refused(pico):
    assert check_subset(pico[0], ["iq", "grid"]) == ("grid", "iq")
    for wrong in (["grid", "radar"], [""], []):
        with pytest.raises(ValueError, match="views must be some of grid, csi, spectrogram, iq"):
            check_subset(pico[0], wrong)


def test_information_is_stated_for_every_view_and_task():
    assert set(INFORMATION) == set(VIEWS)
    for told in INFORMATION.values():
        assert tuple(told) == TASKS == tuple(view_rows.TASKS) == tuple(columns.TASKS)
        assert all(reason for _, reason in told.values())
    # All other views are functions of the samples: what any of them tells, they tell.
    for task in TASKS:
        assert told_by(["iq"], task).level == told_by(ALL, task).level == "yes"
    assert told_by(["spectrogram", "csi"], "k").level == "yes"
    assert told_by(["spectrogram", "csi"], "bits").level == "no"
    assert told_by(["spectrogram", "csi"], "modulation").level == "part"


@pytest.mark.parametrize(
    "views, task, message",
    [([], "bits", "at least one"), (["radar"], "bits", "'radar'"), (["iq"], "range", "'range'")],
)
def test_what_is_not_known_is_not_told(views, task, message):
    with pytest.raises(ValueError, match=message):
        told_by(views, task)


@pytest.fixture
def rows(synthetic, test_set):
    """A full model of skill 0, one without csi that lies halfway between it and the prior."""
    full, null, prior = synthetic(0.0), synthetic(-10.0), synthetic(-20.0)
    # The NMSE is told in dB: halfway is the geometric mean of the sums of errors.
    far, near = prior.scores.channel_error, full.scores.channel_error
    geometric = near * np.sqrt(far.sum(axis=1) / near.sum(axis=1))[:, None]
    halfway = [0.5 * (a + b) for a, b in zip(full.scores, prior.scores, strict=True)]
    between = full._replace(scores=scores.FrameScores(*halfway)._replace(channel_error=geometric))
    by_subset = {ALL: full, ("grid", "spectrogram", "iq"): between, ("csi",): prior}
    measured = Measured(by_subset, full, null, prior)
    weights = resample_weights(test_set.strata, 50, seed=0)
    found = view_rows.rows_of_views(measured, weights)
    return {(row["views"], row["task"]): row for row in found}


@pytest.mark.parametrize("task", TASKS)
def test_retention_is_the_way_from_the_prior_to_all_views(rows, task):
    full = rows["grid+csi+spectrogram+iq", task]
    half, none = rows["grid+spectrogram+iq", task], rows["csi", task]
    assert full["removed"] is None
    assert (full["retention"], full["verdict"]) == (1.0, "kept")
    assert half["removed"] == "csi"
    assert half["retention"] == pytest.approx(0.5, abs=1e-5)
    assert half["verdict"] == "lost"
    assert none["retention"] == pytest.approx(0.0, abs=1e-9)
    assert none["removed"] == "grid+spectrogram+iq"
    impossible = task in ("modulation", "bits")
    assert (none["information"], none["verdict"]) == (
        ("no", None) if impossible else ("yes", "lost")
    )
    over_null = (half["score"] - half["null"]) / (half["full"] - half["null"])
    assert half["retention_null"] == pytest.approx(over_null)


def test_verdicts_are_of_intervals():
    around = np.linspace(0.85, 0.95, 101)
    assert view_rows.verdict(np.r_[0.9, around]) == "open"
    assert view_rows.verdict(np.r_[0.95, around + 0.06]) == "kept"
    assert view_rows.verdict(np.r_[0.85, around - 0.06]) == "lost"
    assert view_rows.verdict(np.full(5, np.nan)) is None


def test_where_there_is_nothing_to_retain_nothing_is_said(synthetic, test_set):
    same = synthetic(0.0)
    measured = Measured({ALL: same}, same, same, same)
    found = view_rows.rows_of_views(measured, np.ones((3, test_set.n_frames)))
    assert all(np.isnan(row["retention"]) and row["verdict"] is None for row in found)


def test_the_prior_never_saw_the_frame(drawn, test_set, synthetic):
    labels = [link_state.labels(jax.tree.map(lambda x, i=i: x[i], drawn.frame)) for i in range(3)]
    like = synthetic(0.0)
    scored = like._replace(scores=view_removal.prior_scores(like.scores, labels, 4))
    weights = np.ones((1, test_set.n_frames))
    value = {name: float(task.metric(scored, weights)[0]) for name, task in view_rows.TASKS.items()}
    assert value["modulation"] == 0.25
    assert value["bits"] == 0.0
    assert value["channel"] == pytest.approx(0.0, abs=1e-9)
    assert value["los"] == pytest.approx(0.8)
    # K is uniform over 26 dB: the median is off by a quarter of them in the mean.
    assert value["k"] == pytest.approx(6.5, abs=0.2)
    assert 0.0 < value["snr"] < 8.0


def test_rows_fit_their_columns(rows, tmp_path):
    from wfm_jax.results.rows import append_rows

    append_rows(tmp_path / "views.jsonl", rows.values(), columns.COLUMNS)
    read, torn = columns.read_rows(tmp_path / "views.jsonl")
    assert torn is None
    assert len(read) == 3 * len(TASKS)
    assert [columns.subset_words(read, views) for views in columns.subsets(read)] == [
        "all views",
        "without csi",
        "csi alone",
    ]
    assert jnp.ndim(read[0]["score"]) == 0
