"""Tables and pictures of conditions and of missing views, on rows made by hand."""

import io
import itertools

import numpy as np
import pytest
from rich.console import Console

from wfm_jax.results import condition_table, view_table
from wfm_jax.results.condition_picture import condition_picture
from wfm_jax.results.condition_rows import RECEIVERS
from wfm_jax.results.view_picture import view_picture
from wfm_jax.results.view_rows import TASKS

WORDS = {"baseline": "the link itself", "carrier": "carrier off by 1%", "k_high": "K 20...33 dB"}
SUBSETS = {"grid+csi+iq": None, "csi": "grid+iq"}


@pytest.fixture
def conditions():
    """The model loses 0.5 dB to the carrier, LMMSE 7; with a high K nothing is wrong."""
    losses = {"baseline": 0.0, "carrier": 0.5, "k_high": None}
    rows = []
    for name, receiver, snr_db, size in itertools.product(
        WORDS, RECEIVERS, (10.0, 20.0), (None, 16, 64)
    ):
        loss = losses[name]
        if loss and receiver == "lmmse":
            loss = 7.0
        row = {
            "condition": name, "words": WORDS[name], "receiver": receiver, "snr_db": snr_db,
            "constellation": size, "frames": 100, "nmse_db": -25.04, "amc_accuracy": 0.9996,
        }  # fmt: skip
        if size:
            row |= {"loss_db": loss, "ahead_db": 0.25}
            row |= {f"{column}_{end}": None if row[column] is None else row[column] + step
                    for column in ("loss_db", "ahead_db")
                    for end, step in (("low", -0.1), ("high", 0.1))}  # fmt: skip
        rows.append(row)
    return rows


@pytest.fixture
def views():
    """Without the grid half of all is kept; bits cannot be."""
    rows = []
    for subset, task in itertools.product(SUBSETS, TASKS):
        level = "no" if subset == "csi" and task in ("bits", "modulation") else "yes"
        kept = 0.0 if level == "no" else 1.0 if SUBSETS[subset] is None else 0.5
        verdict = None if level == "no" else "kept" if kept == 1.0 else "lost"
        rows.append({
            "views": subset, "removed": SUBSETS[subset], "task": task, "information": level,
            "reason": "why not", "score": 0.5, "full": 1.0, "prior": 0.0, "null": -0.1,
            "retention": None if task == "los" else kept, "verdict": verdict,
            "retention_null": 0.25,
        })  # fmt: skip
    return rows


@pytest.fixture
def figures(monkeypatch):
    """Keeps what is drawn."""
    from matplotlib.figure import Figure

    kept, original = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (kept.append(self), original(self, *a, **k))
    )
    return kept


def printed(show, rows, **options):
    console = Console(file=io.StringIO(), width=100)
    show(rows, console, **options)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    return text


def test_the_table_of_conditions(conditions):
    text = printed(condition_table.print_conditions, conditions, beside=3.0)
    for title in ("10 dB, 64-QAM", "10 dB, 16-QAM", "20 dB, 64-QAM", "20 dB, 16-QAM"):
        assert title in text
    line = next(line for line in text.splitlines() if line.startswith("carrier"))
    assert line.split()[4:] == [
        "+0.50", "-25.0", "100", "+7.00", "-25.0", "100", "+0.50", "-25.0", "100", "+0.50",
        "+0.25±.10",
    ]  # fmt: skip
    unread = next(line for line in text.splitlines() if line.startswith("K 20"))
    assert unread.split()[3] == condition_table.DASH


def test_wide_intervals_still_fit(conditions):
    for row in conditions:
        if row["constellation"]:
            row |= {"ahead_db": -1.25, "ahead_db_low": -5.0, "ahead_db_high": 2.0, "loss_db": -10.5}
    text = printed(condition_table.print_conditions, conditions, beside=3.0)
    assert "-1.25±3.5" in text


def test_the_picture_of_conditions(conditions, figures, tmp_path):
    condition_picture(conditions, tmp_path / "conditions.png")
    assert (tmp_path / "conditions.png").stat().st_size > 10_000
    panels = figures[0].axes
    assert [axes.get_title(loc="left") for axes in panels] == ["10 dB, 64-QAM", "20 dB, 64-QAM"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == list(WORDS.values())
    # 7 dB are beyond the axis: an arrow at its end, with the number.
    assert [text.get_text() for text in panels[0].texts] == ["+7"]
    drawn = sum(np.isfinite(line.get_ydata()).sum() for line in panels[0].lines)
    assert drawn >= 2 * len(RECEIVERS)


def test_the_tables_of_views(views):
    text = printed(view_table.print_views, views)
    titles = ("Can it be done at all?", "Scores", "Retention", "Retention over the null")
    assert sorted(titles, key=text.index) == list(titles)
    assert "csi: modulation, bits: no: why not" in text
    line = [line for line in text.splitlines() if line.startswith("csi alone")]
    dash = view_table.DASH
    assert line[0].split()[2:] == ["no", "no", "yes", "yes", "yes", "yes", "yes"]
    assert line[2].split()[2:] == [dash, dash, "0.500!", "0.500!", "0.500!", dash, "0.500!"]
    assert line[3].split()[2:] == [dash, dash, *["0.250"] * 5]


def test_the_picture_of_views(views, figures, tmp_path):
    view_picture(views, tmp_path / "views.png")
    assert (tmp_path / "views.png").stat().st_size > 10_000
    axes = figures[0].axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("no") == len(axes.patches) == 2
    assert texts.count(view_table.DASH) == 2
    assert texts.count("0.50!") == 4
    assert texts.count("1.00") == 6
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all views", "csi alone"]
