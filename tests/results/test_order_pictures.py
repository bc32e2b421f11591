"""The pictures of an order study: drawn, whole, and readable from one seed to none."""

import numpy as np
import pytest

from tests.results.made_order_study import make_study
from wfm_jax.results import order_curves_picture
from wfm_jax.results.naming import configurations
from wfm_jax.results.order_contrasts import CONTRASTS, PRIMARY
from wfm_jax.results.order_curves_picture import curves_picture
from wfm_jax.results.order_pictures import forest_picture, size_picture
from wfm_jax.results.order_points import points
from wfm_jax.results.order_rows import StudyRows
from wfm_jax.results.order_study import answers

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved, as Matplotlib has them."""
    saved = []
    figure = pytest.importorskip("matplotlib.figure").Figure
    plain = figure.savefig
    monkeypatch.setattr(
        figure, "savefig", lambda self, *a, **k: (saved.append(self), plain(self, *a, **k))
    )
    return saved


def draw(rows, folder):
    of = points(StudyRows(rows, configurations(rows), {}), PRIMARY)
    found = answers(of, CONTRASTS)
    forest_picture(found, folder / "forest.png")
    size_picture(found, folder / "sizes.png")
    curves_picture(of, folder / "curves.png")
    return found


def texts(figure):
    """Texts that are shown, with their boxes in pixels."""
    renderer = figure.canvas.get_renderer()
    found = []
    for axes in figure.axes:
        own = [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        for text in own:
            if text.get_text() and text.get_visible():
                found.append((text.get_text(), text.get_window_extent(renderer)))
    return found


def test_all_of_it_is_drawn_and_no_text_is_cut_or_on_another(tmp_path, figures):
    effects = {"P-Q-FT": -0.9, "KD-P-Q": -3.0, ("P-Q-FT", "scratch"): -9.0}
    found = draw(make_study(effects), tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "curves.png", "forest.png", "sizes.png"]  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    forest, sizes, curves = figures
    assert len([axes for axes in sizes.axes if axes.axison]) == len(CONTRASTS)
    assert len(curves.axes) == 4
    shown = "\n".join(text for text, _ in texts(forest))
    for answer in found:
        assert f"{answer.difference:+.2f}" in shown
        assert f"{answer.contrast.a_name}  over  {answer.contrast.b_name}" in shown
    for figure in figures:
        boxes = texts(figure)
        width, height = figure.bbox.size
        for i, (text, box) in enumerate(boxes):
            assert box.x0 >= 0, text
            assert box.x1 <= width, text
            assert box.y0 >= 0, text
            assert box.y1 <= height, text
            for other, its in boxes[:i]:
                assert not box.padded(-2).overlaps(its.padded(-2)), (text, other)


@pytest.mark.parametrize("seeds", [1, 3])
def test_few_seeds_have_points_without_intervals(tmp_path, figures, seeds):
    draw(make_study(seeds=seeds, teachers=1), tmp_path)
    forest = figures[0]
    labels = forest.legends[0].get_texts()
    assert not any("at once" in label.get_text() for label in labels)
    (axes,) = forest.axes
    marked = [line for line in axes.lines if line.get_marker() == "D" and len(line.get_xdata())]
    assert len(marked) == len(CONTRASTS)


def test_nothing_to_compare_is_a_picture_that_says_so(tmp_path, figures):
    draw(make_study(seeds=2, pipelines=("none", "Q"), factors=()), tmp_path)
    said = [text for figure in figures for text, _ in texts(figure)]
    assert said.count("not run") == len(CONTRASTS)
    assert "no contrast was run" in said
    assert "no curves" in said


def test_the_axis_holds_every_interval(tmp_path, figures):
    found = draw(make_study({"KD-P-Q": -60.0, "KD-Q-P": -60.0}), tmp_path)
    (axes,) = figures[0].axes
    low, high = axes.get_xlim()
    ends = np.array([answer.together for answer in found])
    assert low < ends.min()
    assert ends.max() < high


def test_bands_are_of_seeds_about_their_own_teacher():
    own = np.random.default_rng(0).normal(size=(5, 3))
    group = np.array([0, 1, 0, 1, 1])
    offset = np.array([[50.0], [-7.0]])[group]
    found = order_curves_picture._less_teachers(own + offset, ["b", "a", "b", "a", "a"])
    np.testing.assert_allclose(found.mean(axis=0), (own + offset).mean(axis=0))
    for of in (0, 1):
        inside = own[group == of]
        expected = inside - inside.mean(axis=0)
        at = found[group == of]
        np.testing.assert_allclose(at - at.mean(axis=0), expected, atol=1e-12)
        np.testing.assert_allclose(at.mean(axis=0), found.mean(axis=0))
