"""The table and the picture of packed models at places, on rows made by hand."""

import io
import itertools

import pytest
from rich.console import Console

from wfm_jax.results import rows as result_rows
from wfm_jax.results.generalisation_picture import generalisation_picture
from wfm_jax.results.generalisation_rows import COLUMNS, HOME, LOSSES, SCORES, SNR_LOSS, TEACHER
from wfm_jax.results.generalisation_table import print_generalisation
from wfm_jax.results.naming import DASH

WORDS = {HOME: HOME, "moon": "a hall on the moon", "tdl": "Sionna TDL-D, 30 ns"}
MODELS = {"a" * 16: ("9.9 kB P-Q-KD 2b/90%", 9_900), "b" * 16: ("74.7 kB Q", 74_700)}


def ends(column, value, half):
    return {column: value, f"{column}_low": value - half, f"{column}_high": value + half}


@pytest.fixture
def rows():
    """The smaller file loses a tenth of the larger one; on the moon both lose more than at home,
    with the other simulator there is one LOS label only."""
    found = []
    for (place, words), name in itertools.product(WORDS.items(), LOSSES):
        if place == "tdl" and name == "los_accuracy":
            continue
        shared = {"place": place, "words": words, "metric": name, "frames": 800,
                  "test_frames_hash": "f" * 16, "teacher_hash": "t" * 16}  # fmt: skip
        if name in SCORES:
            row = shared | {"model": TEACHER, "model_hash": "t" * 16} | ends("value", 0.5, 0.1)
            found.append(row | ({} if place == HOME else ends("place_loss", 0.105, 0.02)))
        for i, (model_hash, (label, size)) in enumerate(MODELS.items()):
            row = {"model": label, "model_hash": model_hash, "size_bytes": size}
            row |= ends("loss", 0.01 * 0.1**i, 0.0025)
            if place != HOME:
                row |= ends("excess", 0.01 if place == "moon" else -0.01, 0.005)
            found.append(shared | row)
    return [result_rows.complete_row(row, COLUMNS) for row in found]


def printed(rows):
    console = Console(file=io.StringIO(), width=100)
    print_generalisation(rows, console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    return text


def test_the_table(rows):
    text = printed(rows)
    assert text.startswith(f"{HOME} (home): 800 frames")
    assert "costs it" not in text.split("moon")[0]
    lines = [line.split() for line in text.split("a hall on the moon: 800 frames")[1].splitlines()]
    costs = next(line for line in lines if line[:1] == ["costs"])
    # A tenth of an accuracy is ten points.
    assert costs[2:] == ["+10.5±2.0", "+10.5±2.0", *["+0.10±.02"] * 3, "+10.5±2.0", DASH]
    smaller = next(line for line in lines if line[:1] == ["9.9"])
    assert smaller[-7:] == ["+1.00±.25!", "+1.00±.25!", *["+0.01±.00!"] * 3, "+1.00±.25!",
                            "+0.01±.00!"]  # fmt: skip
    other = next(line for line in text.split("Sionna")[1].splitlines() if "74.7" in line)
    assert other.split()[-7:][5] == DASH
    assert "!" not in other


def test_losses_of_any_size_fit(rows):
    for row in rows:
        if row["size_bytes"]:
            row |= ends("loss", -1.0, 0.999)
    text = printed(rows)
    assert "-100±100!" in text
    assert "-1.00±1.0!" in text


def test_the_picture(rows, monkeypatch, tmp_path):
    from matplotlib.figure import Figure

    kept, original = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (kept.append(self), original(self, *a, **k))
    )
    generalisation_picture(rows, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    panels = kept[0].axes
    assert len(panels) == 8
    assert len({axes.get_title(loc="left") for axes in panels[:7]}) == 7
    ticks = [label.get_text() for label in panels[0].get_yticklabels()]
    assert ticks == [f"{HOME} (home)", "a hall on the moon", "Sionna TDL-D, 30 ns"]
    # GMI: the teacher's bars of 10.5 points, and marks of 1 and .1 points.
    assert [round(bar.get_width(), 6) for bar in panels[0].patches] == [0.0, 10.5, 10.5]
    marks = [line.get_xdata() for line in panels[0].lines if line.get_marker() in "os"]
    assert [round(x, 6) for x in marks[0]] == [1.0] * 3
    assert [round(x, 6) for x in marks[1]] == [0.1] * 3
    legend = [text.get_text() for text in panels[7].get_legend().get_texts()]
    assert legend == [*(label for label, _ in MODELS.values()), "the teacher, by the place"]


def test_a_picture_of_one_place_and_few_metrics(rows, tmp_path):
    few = [row for row in rows if row["place"] == HOME and row["metric"] in ("k_mae_db", SNR_LOSS)]
    generalisation_picture(few, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5_000
