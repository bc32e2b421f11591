"""What people read of a recording: tables of 100 columns, and a picture."""

import io

import numpy as np
import pytest
from rich.console import Console

from wfm_jax.results.recording_picture import Spectrogram, recording_picture
from wfm_jax.results.recording_rows import SCORE_COLUMNS, SEGMENT_COLUMNS
from wfm_jax.results.recording_table import (
    MOST,
    WIDTH,
    print_scores,
    print_segments,
    print_summary,
    views_of,
    views_words,
)
from wfm_jax.results.rows import complete_row

ALL = "grid+csi+spectrogram+iq"
LABELS = {"true_modulation": 256, "true_snr_db": -12.3, "true_k_db": -10.1, "true_los": 1,
          "true_delay_spread_ns": 1234.5}  # fmt: skip
PREFIX = {"carrier_offset_hz": -123456.7, "coherence": 0.987}


def segments(n, views=("iq", ALL), **more):
    """Rows whose numbers are as long as they get."""
    rng = np.random.default_rng(0)
    return [
        complete_row(
            {"views": name, "segment": i, "start_s": 987.65 + 1e-3 * i, "power_dbfs": -100.1,
             "modulation": 2 ** rng.choice([2, 4, 6, 8]), "modulation_probability": 1.0,
             "snr_db": -12.3 + i, "k_db": -10.1, "los_probability": rng.uniform(),
             "delay_spread_ns": 1234.5, **more},
            SEGMENT_COLUMNS,
        )
        for name in views
        for i in range(n)
    ]  # fmt: skip


def scores(**changes):
    tasks = {"modulation": "amc_accuracy", "bits": "gmi_fraction", "channel": "nmse_db",
             "snr": "snr_mae_db", "k": "k_mae_db", "los": "los_accuracy",
             "delay_spread": "delay_spread_mae_ns"}  # fmt: skip
    rows = []
    for views in ("iq", ALL):
        for task, metric in tasks.items():
            guess = 0.0 if task in ("modulation", "bits", "los") else 1.0
            row = {"views": views, "task": task, "metric": metric, "score": 0.5, "score_low": 0.4,
                   "score_high": 0.6, "guess": guess, "frames": 200}  # fmt: skip
            rows.append(complete_row(row | changes.get(task, {}), SCORE_COLUMNS))
    return rows


def text_of(show, rows):
    console = Console(file=io.StringIO(), width=WIDTH)
    show(rows, console)
    return console.file.getvalue()


@pytest.mark.parametrize("more", [{}, LABELS, PREFIX], ids=["plain", "labels", "prefix"])
@pytest.mark.parametrize("show", [print_segments, print_summary])
def test_tables_fit_a_hundred_columns_and_nothing_is_cut(show, more):
    text = text_of(show, segments(5, **more))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "…" not in text
    if more is LABELS and show is print_segments:
        assert "| 256  -12.3  -10.1  yes    1234" in text


def test_many_segments_are_counted():
    text = text_of(print_segments, segments(MOST + 7))
    assert f"The first {MOST} of {MOST + 7}" in text
    assert f"{MOST - 1:2d}  " in text
    assert f"\n{MOST}  " not in text


def test_a_k_without_a_line_of_sight_is_not_shown():
    rows = [row | {"los_probability": 0.4, "k_db": 7.7} for row in segments(3)]
    assert "7.7" not in text_of(print_segments, rows)
    rows = [row | {"los_probability": 0.6, "k_db": 7.7} for row in segments(3)]
    assert "7.7" in text_of(print_segments, rows)


def test_scores_and_what_is_a_guess():
    changes = {"snr": {"score_high": 1.2}, "los": {"score_low": -0.1}}
    text = text_of(print_scores, scores(**changes))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "200 labelled frames" in text
    for views in ("iq alone", "all views"):
        assert f"From {views} no better than the best constant: SNR, line of sight." in text
    assert "no better" not in text_of(print_scores, scores())
    assert text_of(print_scores, []) == ""


def test_views_have_words():
    assert views_of(segments(1)) == ["iq", ALL]
    assert [views_words(views) for views in ("iq", ALL, "grid+iq")] == [
        "iq alone", "all views", "grid + iq",
    ]  # fmt: skip


@pytest.mark.parametrize("more", [{}, LABELS], ids=["plain", "labels"])
@pytest.mark.parametrize("end_s", [3e-5, 4e-3, 2.0])
def test_pictures_are_drawn(tmp_path, more, end_s):
    rows = segments(4, views=("iq",) if not more else ("iq", ALL), **more)
    shown = Spectrogram(np.zeros((64, 10), np.float32), 20e6, end_s)
    recording_picture(rows, shown, "a.sigmf-meta", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
