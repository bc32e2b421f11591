"""The picture is drawn whatever the rows lack, and its labels can be read."""

import itertools
import os

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from wfm_jax.results.labels import place_labels
from wfm_jax.results.plots import pareto_picture

PNG = b"\x89PNG\r\n"


def test_a_study_becomes_a_png(study, tmp_path):
    path = tmp_path / "pareto.png"
    pareto_picture(study, path)
    assert path.read_bytes().startswith(PNG)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("lacking", [["snr_loss_db"], ["retention"], ["retention", "snr_loss_db"]])
def test_scores_may_be_missing(study, tmp_path, lacking):
    path = tmp_path / "pareto.png"
    pareto_picture([{**row, **dict.fromkeys(lacking)} for row in study], path)
    assert path.read_bytes().startswith(PNG)


@pytest.mark.parametrize("count", [0, 1, 6])
def test_few_rows(study, tmp_path, count):
    pareto_picture(study[:count], tmp_path / "pareto.png")
    pareto_picture(study[-1:], tmp_path / "pareto.png")  # diverged


def test_scores_off_the_scale(study, tmp_path):
    extreme = {"retention": -40.0, "snr_loss_db": 90.0, "retention_ci95": 10.0}
    better = {"retention": 1.3, "snr_loss_db": -0.5}
    rows = [*study, {**study[20], **extreme}, {**study[20], **better}]
    pareto_picture(rows, tmp_path / "pareto.png")


def test_a_failed_save_leaves_the_old_picture(study, tmp_path, monkeypatch):
    path = tmp_path / "pareto.png"
    path.write_bytes(b"old")

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        pareto_picture(study[:9], path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_labels_do_not_overlap():
    figure = Figure(figsize=(6, 5))
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    x, y = np.random.default_rng(0).random((2, 25))
    axes.plot(x, y, "o")
    canvas.draw()
    line = np.column_stack([x, y])
    labels = place_labels(axes, x, y, [f"label {i}" for i in range(25)], avoid=[line[:2]])
    canvas.draw()
    assert len(labels) >= 20
    boxes = [Text.get_window_extent(label, canvas.get_renderer()) for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
