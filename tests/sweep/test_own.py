"""Scores and formats that are not ours, in the engine beside ours."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.sweep import anybody
from tests.sweep.test_own_model import SETTINGS, StopAfter, row_of
from wfm_jax import compress
from wfm_jax.export.grids import Uniform
from wfm_jax.export.packed import load_packed
from wfm_jax.sweep.configuration import Configuration, from_columns
from wfm_jax.sweep.own import Format
from wfm_jax.sweep.own_model import sweep_problem
from wfm_jax.train.interrupt import Stopped

POINT = {"sparsity": 0.5, "steps": 20, "learning_rate": 1e-2}


def as_magnitude(w, stats, key):
    return jnp.abs(w)


def of_data(w, stats, key):
    """Wanda, written once more."""
    return compress.wanda(w, stats, key)


def fit(w):
    return compress.round_up_scale(jnp.max(jnp.abs(w), axis=0, keepdims=True) / 7)


def snap(w, scale):
    return jnp.clip(jnp.round(w / jnp.where(scale == 0, 1, scale)), -7, 7) * scale


as_integer = Format("as_integer", 4, fit, snap, stored=lambda scale: Uniform(4, scale))
unwritten = Format("unwritten", 4, fit, snap)
THEIRS = {"score": as_magnitude, "quant_format": as_integer}
OURS = {"scale": "absmax", "score": "magnitude"}
ASKED = [Configuration("P-Q-FT", weight_bits=4, **POINT, **how) for how in (OURS, THEIRS)] + [
    Configuration("P-Q", weight_bits=4, **POINT, quant_format=unwritten),
    Configuration("P", **POINT, score="wanda"),
    Configuration("P", **POINT, score=of_data),
]


@pytest.fixture(scope="module")
def problem():
    return anybody.problem()


@pytest.fixture(scope="module")
def run(problem, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return folder, sweep_problem(problem, ASKED, folder, SETTINGS)


def weights(run, configuration):
    return load_packed(run[0] / "files" / f"{configuration.config_id}.wfm")


@pytest.mark.parametrize("pair", [(0, 1), (3, 4)], ids=["integers", "wanda"])
def test_what_is_written_like_ours_gives_what_ours_gives(run, pair):
    """After pruning, quantization and training, in every weight; sizes too."""
    ours, theirs = (ASKED[i] for i in pair)
    one, other = weights(run, ours), weights(run, theirs)
    for path, leaf in one.items():
        np.testing.assert_allclose(leaf, other[path], atol=1e-6, err_msg=path)
    sizes = [row_of(run[1], c)["size_bytes"] for c in (ours, theirs)]
    assert abs(sizes[0] - sizes[1]) <= 4


def test_rows_know_them_by_name(run):
    row = row_of(run[1], ASKED[1])
    assert (row["score"], row["quant_format"]) == ("as_magnitude", "as_integer")
    assert row["mean_bits"] == 4.0


def test_a_format_that_says_no_how_is_stored_in_float32(run):
    row, written = row_of(run[1], ASKED[2]), row_of(run[1], ASKED[1])
    assert row["mean_bits"] == 32.0
    assert row["size_bytes"] > written["size_bytes"] + 100
    kernel = weights(run, ASKED[2])["last/w"]
    assert all(np.unique(column).size <= 15 for column in kernel.T)


def test_a_stopped_sweep_finds_them_again(problem, run, tmp_path):
    with pytest.raises(Stopped):
        sweep_problem(problem, ASKED, tmp_path, SETTINGS, progress=StopAfter(2))
    sweep_problem(problem, ASKED, tmp_path, SETTINGS)
    for configuration in ASKED:
        one, other = weights(run, configuration), weights((tmp_path, None), configuration)
        for path, leaf in one.items():
            np.testing.assert_array_equal(leaf, other[path])


def test_columns_come_back_with_who_knows_them():
    assert from_columns(ASKED[1].columns(), ASKED) == ASKED[1]
    with pytest.raises(ValueError, match=r"quant_format must be a Format or one of .* got"):
        from_columns(ASKED[1].columns())


def test_names_are_what_tells_them_apart():
    def as_magnitude(w, stats, key):
        return w

    again = Configuration("P", score=as_magnitude)
    assert again.config_id == Configuration("P", score=THEIRS["score"]).config_id
    assert again.config_id != Configuration("P").config_id


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"score": lambda w, stats, key: w}, "score of one's own needs a name .* got '<lambda>'"),
        ({"score": 3}, "score must be a name or one's own, got int"),
        ({"score": compress.magnitude}, "score of one's own is called magnitude, as one of ours"),
        ({"quant_format": as_magnitude}, "quant_format must be a name or one's own, got function"),
        ({"quant_format": Format("a b", 4, fit, snap)}, "quant_format .* needs a name .* 'a b'"),
        (
            {"quant_format": Format("wide", 9, fit, snap)},
            "bits of quant_format wide must be 2 to 8",
        ),
        ({"quant_format": as_integer, "weight_bits": 8}, "weight_bits must be 4 for .* as_integer"),
        ({"quant_format": as_integer, "rounding": "gptq"}, "rounding must be nearest for .*as_int"),
    ],
)
def test_what_cannot_be_asked_for_is_said(how, words):
    with pytest.raises(ValueError, match=words):
        Configuration("P-Q", **({"weight_bits": 4} | how))


def moved(w, scale):
    return snap(w, scale) + scale


BAD = {
    "zeros": (Format("bad", 4, fit, moved), "snap must leave zeros zero"),
    "again": (Format("bad", 4, fit, lambda w, s: 0.5 * w), "snap must leave what it snapped where"),
    "shape": (Format("bad", 4, fit, lambda w, s: w[:1]), r"snap must give float32\[2, 24\], got"),
    "fails": (Format("bad", 4, fit, lambda w, s: w @ s), "quant_format bad fails on first/w: "),
    "grid": (
        Format("bad", 4, fit, snap, stored=lambda scale: Uniform(4, 2 * scale)),
        "its weights are not on the grid of stored",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_format_that_breaks_its_promise_is_refused_before_anything_runs(problem, tmp_path, name):
    own, words = BAD[name]
    asked = [Configuration("Q", weight_bits=4, quant_format=own)]
    with pytest.raises(ValueError, match=words) as refused:
        sweep_problem(problem, asked, tmp_path / "run", SETTINGS)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_two_of_one_name_are_refused(problem, tmp_path):
    other = as_integer._replace(fit=lambda w: 2 * fit(w))
    how = {"weight_bits": 4, **POINT}
    asked = [Configuration("Q", **how, quant_format=own) for own in (as_integer, other)]
    asked[1] = asked[1].replace(pipeline="Q-FT")
    with pytest.raises(ValueError, match="two different settings are called as_integer"):
        sweep_problem(problem, asked, tmp_path, SETTINGS)


def test_a_score_of_another_shape_is_refused(problem, tmp_path):
    def per_input(w, stats, key):
        return jnp.sum(jnp.abs(w), axis=1)

    asked = [Configuration("P", score=per_input)]
    with pytest.raises(
        ValueError, match=r"score per_input must give .* of first/w, \(2, 24\), got"
    ):
        sweep_problem(problem, asked, tmp_path, SETTINGS)
