"""What people read: the yardstick, the contrasts, and rows shown at every operating point."""

import io
import itertools

import numpy as np
from rich.console import Console

from wfm_jax import compress
from wfm_jax.evaluate.scores import FrameScores
from wfm_jax.results.tables import print_table
from wfm_jax.sweep import contrasts, space, yardstick
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.examiner import SCORES
from wfm_jax.sweep.references import null_of
from wfm_jax.sweep.study import at_every_point

SNRS_DB = (10.0, 15.0, 20.0, 25.0)


def write_scores(folder, name, test_set, ber, correct=1.0):
    """Scores of a receiver whose BER falls from ``ber`` by a factor of ten every 10 dB."""
    shape = (len(SNRS_DB), test_set.n_frames)
    fields = {field: np.zeros(shape, np.float32) for field in FrameScores._fields}
    fields["n_bits"] += 1e6
    falling = 10.0 ** (-(np.asarray(SNRS_DB) - SNRS_DB[0]) / 10.0)
    fields["bit_errors"] += 1e6 * ber * falling[:, None]
    fields["amc_correct"] += correct
    fields["gmi_fraction"] += 1.0 - ber
    (folder / SCORES).mkdir(exist_ok=True)
    np.savez(folder / SCORES / f"{name}.npz", snrs_db=SNRS_DB, **fields)


def test_distance_to_lmmse_is_read_from_its_own_curve(test_set, tmp_path):
    """A receiver with 10^0.1 times LMMSE's BER, falling alike, is 1 dB behind."""
    for name, ber in (("teacher", 0.1 * 10**0.1), ("ls", 0.2), ("lmmse", 0.1), ("genie", 0.05)):
        write_scores(tmp_path, name, test_set, ber)
    lines = yardstick.yardstick(tmp_path, test_set)
    assert len(lines) == len(SNRS_DB) * len(test_set.link.bits_per_symbol)
    for line in lines:
        expected = 0.0 if line.snr_db == SNRS_DB[0] else 1.0  # the curve ends at 10 dB
        assert abs(line.behind_lmmse_db - expected) < 1e-3
    text = io.StringIO()
    yardstick.print_yardstick(lines, Console(file=text, width=100))
    table = text.getvalue().splitlines()
    assert "…" not in text.getvalue()
    assert max(map(len, table)) <= 100
    assert any("+1.00" in line for line in table)


def row(pipeline, **fields):
    asked = Configuration(pipeline, sparsity=0.75, weight_bits=4, steps=10)
    canonical = asked.canonical()
    identity = {"config_id": asked.config_id, "kind": "configuration", "status": "ok"}
    return identity | canonical | {"bound": None, "group_size": None} | fields


def test_contrasts_pair_what_differs_in_the_pipeline_alone(test_set, tmp_path):
    rows = [row(p) for p in ("P-Q", "P-Q-KD", "P-Q-FT")] + [row("Q-P", status="diverged")]
    for ber, r in zip((0.2, 0.1, 0.15), rows, strict=False):
        write_scores(tmp_path, r["config_id"], test_set, ber)
    found = contrasts.contrasts(rows, tmp_path, test_set)
    gmi = {(c["a"], c["b"]): c for c in found if c["metric"] == "gmi_fraction"}
    assert set(gmi) == {("P-Q-KD", "P-Q"), ("P-Q-FT", "P-Q"), ("P-Q-KD", "P-Q-FT")}
    for (a, b), expected in zip(gmi, (0.1, 0.05, 0.05), strict=True):
        assert abs(gmi[a, b]["difference"] - expected) < 1e-6
        assert gmi[a, b]["low"] <= expected + 1e-6
    text = io.StringIO()
    contrasts.print_contrasts(found, Console(file=text, width=100))
    assert "P-Q-KD - P-Q-FT" in text.getvalue()
    assert max(map(len, text.getvalue().splitlines())) <= 100


def test_contrasts_say_recovery_and_structure(test_set, tmp_path):
    rows = [row(pipeline, structure=structure, recovery_steps=recovery, config_id=f"{i}")
            for i, (pipeline, structure, recovery) in enumerate(
                itertools.product(("P-Q", "P-Q-KD"), ("unstructured", "2:4"), (0, 5)))]  # fmt: skip
    for r in rows:
        write_scores(tmp_path, r["config_id"], test_set, 0.1)
    found = contrasts.contrasts(rows, tmp_path, test_set)[::2]
    assert [(c["a"], c["b"], c["ways"]) for c in found] == [
        ("P-Q-KD", "P-Q", ""),
        ("P-Q-KD+r", "P-Q+r", ""),
        ("P-Q-KD", "P-Q", "2:4"),
        ("P-Q-KD+r", "P-Q+r", "2:4"),
    ]
    text = io.StringIO()
    contrasts.print_contrasts([c for c in found for _ in range(2)], Console(file=text, width=100))
    assert "P-Q-KD+r - P-Q+r   4b 75% 2:4" in text.getvalue()


def test_rows_stored_once_are_shown_at_every_point():
    points = space.zipped(weight_bits=[8, 4], sparsity=[0.5, 0.75])
    asked = space.configurations(
        space.cross(points, space.grid(pipeline=["none", "P-Q"])), steps=10
    )
    reference = {"config_id": "r", "kind": "reference", "pipeline": "teacher"}
    stored = [reference] + [
        {"config_id": c.config_id, "kind": "configuration", **c.canonical()} for c in asked[:2]
    ]
    shown = at_every_point(stored, asked)
    assert [r["pipeline"] for r in shown] == ["teacher", "none", "P-Q", "none"]
    assert [(r["weight_bits"], r["sparsity"]) for r in shown[1:]] == [
        (8, 0.5),
        (8, 0.5),
        (4, 0.75),
    ]


def test_contrasts_never_pair_different_training(test_set, tmp_path):
    rows = [row("P-Q-KD", learning_rate=1e-3), row("P-Q-FT", learning_rate=1e-4), row("P-Q")]
    for r in rows:
        write_scores(tmp_path, r["config_id"], test_set, 0.1)
    pairs = {(c["a"], c["b"]) for c in contrasts.contrasts(rows, tmp_path, test_set)}
    assert pairs == {("P-Q-KD", "P-Q"), ("P-Q-FT", "P-Q")}


def test_latent_factors_are_marked_and_the_marks_explained():
    marked = row("Q-P-KD") | {"score_on": "latent", "train_from": "latent"}
    text = io.StringIO()
    print_table([row("Q-P-KD"), marked], Console(file=text, width=100))
    assert "Q-P-KD^~" in text.getvalue()
    assert "^ P scored the latent weights" in text.getvalue()


def test_the_null_model_loses_exactly_its_prunable_weights(teacher):
    null, full = (compress.flatten(p) for p in (null_of(teacher.params), teacher.params))
    for path, leaf in null.items():
        if path.startswith("block_") and leaf.ndim == 2:
            assert not np.any(leaf)
        else:
            assert leaf is full[path]
