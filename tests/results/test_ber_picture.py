"""The picture, the tables and the rows of error-rate curves, on rows made by hand."""

import io
import json

import numpy as np
import pyarrow.parquet
import pytest
from rich.console import Console

from wfm_jax.results import ber_picture, ber_rows, ber_table


def make_rows(sizes=(4, 64), receivers=("genie", "ls"), scenarios=("tdl_d",), snrs=(0, 10, 20, 30)):
    """Curves that fall with SNR; 4-QAM has no error at 30 dB."""
    rows = []
    for scenario in scenarios:
        for size in sizes:
            for snr_db in snrs:
                for i, receiver in enumerate(receivers):
                    m = int(np.log2(size))
                    ber = 0.0 if (size, snr_db) == (4, 30) else 0.3 * 10 ** (-snr_db / 6 + m / 3)
                    ber = min(ber * (1 + i), 0.45)
                    rows.append(make_row(scenario, size, receiver, float(snr_db), ber))
    return rows


def make_row(scenario, size, receiver, snr_db, ber):
    m = int(np.log2(size))
    row = {
        "scenario": scenario, "constellation": size, "receiver": receiver, "snr_db": snr_db,
        "ebn0_db": snr_db - 3.0, "ebn0_charged_db": snr_db - 2.5, "frames": 1024, "bits": 700_000,
        "symbols": 350_000, "bit_errors": int(ber * 700_000), "symbol_errors": 4, "frame_errors": 3,
        "predicted_nmse_db": -20.0, "status": "target frame errors", "ends_curve": int(ber == 0.0),
        "wall_s": 1.25,
    }  # fmt: skip
    for name, value in (("ber", ber), ("ser", min(1.0, 2 * ber)), ("gmi", m * (1 - 2 * ber)),
                        ("fer", min(1.0, 50 * ber)), ("channel_nmse_db", -20.5)):  # fmt: skip
        row |= {name: value, f"{name}_low": 0.8 * value, f"{name}_high": 1.2 * value}
    for name in ("ber", "ser", "gmi"):
        row |= {f"{name}_theory": row[name] * 0.9 + 1e-7}
    return row | ({"ber_z": 0.7} if receiver == "genie" else {})


@pytest.fixture
def figures(monkeypatch):
    """Keeps what is drawn."""
    from matplotlib.figure import Figure

    kept, original = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (kept.append(self), original(self, *a, **k))
    )
    return kept


def texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


# ---- the picture


def test_the_picture_has_a_panel_for_each_score_and_scenario(figures, tmp_path):
    rows = make_rows(scenarios=("tdl_d", "rician"))
    ber_picture.ber_picture(rows, tmp_path / "ber.png")
    assert (tmp_path / "ber.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["ber.png"]
    (figure,) = figures
    assert [axes.get_ylabel() for axes in figure.axes] == 2 * [
        "bit error rate", "symbol error rate", "GMI (bits per symbol)",
    ]  # fmt: skip
    assert [axes.get_title(loc="left") for axes in figure.axes[::3]] == ["tdl_d", "rician"]
    assert [axes.get_yscale() for axes in figure.axes[:3]] == ["log", "log", "linear"]
    assert texts(figure) == ["4-QAM", "64-QAM", "genie", "ls", "channel known, closed form"]


def test_labels_neither_overlap_nor_leave_the_picture(figures, tmp_path):
    rows = make_rows(
        sizes=(4, 16, 64, 256, 1024), receivers=("genie", "lmmse", "lmmse_true", "ls", "data_aided")
    )
    ber_picture.ber_picture(rows, tmp_path / "ber.png")
    (figure,) = figures
    renderer = figure.canvas.get_renderer()
    legend = figure.legends[0].get_window_extent(renderer)
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    for box in [legend, *boxes]:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    assert not any(box.overlaps(legend) for box in boxes)
    note = figure.texts[0].get_window_extent(renderer)
    assert not note.overlaps(legend)


def test_points_without_an_error_are_left_out_and_the_note_says_so(figures, tmp_path):
    rows = make_rows(sizes=(4,), receivers=("genie",))
    ber_picture.ber_picture(rows, tmp_path / "ber.png")
    (figure,) = figures
    points = figure.axes[0].containers[0].lines[0].get_xdata()
    assert points.tolist() == [0.0, 10.0, 20.0]
    assert "without an error are not drawn" in figure.texts[0].get_text()
    assert "genie" in texts(figure)


def test_added_runs_are_hollow_and_named(figures, tmp_path):
    old = [row | {"run": "last_week"} for row in make_rows(receivers=("ls",))]
    ber_picture.ber_picture([*make_rows(), *old], tmp_path / "ber.png", scores=("fer",))
    (figure,) = figures
    assert "ls (last_week)" in texts(figure)
    assert len(figure.axes) == 1
    faces = {line.get_markerfacecolor() for c in figure.axes[0].containers for line in c.lines[:1]}
    assert "white" in faces


def test_the_axis_can_be_ebn0(figures, tmp_path):
    ber_picture.ber_picture(make_rows(), tmp_path / "ber.png", axis="ebn0_db")
    (figure,) = figures
    assert figure.axes[0].get_xlabel() == "Eb/N0 of uncoded bits (dB)"
    assert figure.axes[0].containers[0].lines[0].get_xdata()[0] == -3.0


def test_no_rows_are_a_picture_too(tmp_path):
    ber_picture.ber_picture([], tmp_path / "ber.png")
    assert (tmp_path / "ber.png").exists()


@pytest.mark.parametrize("wrong", [{"scores": ("bler",)}, {"axis": "esn0"}])
def test_unknown_scores_and_axes_are_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match=r"bler|esn0"):
        ber_picture.ber_picture(make_rows(), tmp_path / "ber.png", **wrong)
    assert not list(tmp_path.iterdir())


# ---- tables


def test_tables_fit_a_hundred_columns_and_cut_nothing():
    rows = make_rows(receivers=("genie", "data_aided"), sizes=(4, 1024), snrs=(-10, 0, 30))
    rows = [row | {"frames": 1_000_000, "bits": 10**9 - 1, "bit_errors": 10**8 - 1} for row in rows]
    lines = [ber_table.HEADING, *map(ber_table.point_line, rows)]
    assert max(map(len, lines)) <= 100
    console = Console(file=io.StringIO(), width=100)
    ber_table.print_read_out(rows, console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "tdl_d, 1024-QAM" in text
    assert "+0.7" in text


def test_a_line_says_what_was_reached():
    row = make_rows()[0]
    assert ber_table.point_line(row).endswith("frame errors")
    assert ber_table.point_line(row | {"status": "max frames"}).endswith("max frames")
    ended = row | {"ends_curve": 1, "frame_errors": 0}
    assert ber_table.point_line(ended).endswith("no errors, end")
    assert ber_table.point_line(row | {"ends_curve": 1}).endswith("BER, end")


# ---- rows


def test_rows_come_back_as_they_were_written(tmp_path):
    file = tmp_path / "ber.jsonl"
    assert ber_rows.read_rows(file) == ([], None)
    rows = make_rows()
    ber_rows.append_rows(file, rows[:3])
    ber_rows.append_rows(file, rows[3:])
    found, repaired = ber_rows.read_rows(file)
    assert repaired is None
    assert [{k: v for k, v in row.items() if v is not None} for row in found] == rows
    assert all(set(row) == {column.name for column in ber_rows.COLUMNS} for row in found)


def test_numbers_that_are_not_finite_are_null(tmp_path):
    ber_rows.append_rows(tmp_path / "f", [make_rows()[0] | {"channel_nmse_db": float("-inf")}])
    assert json.loads((tmp_path / "f").read_text())["channel_nmse_db"] is None


def test_a_torn_line_is_cut_off_and_a_damaged_one_is_named(tmp_path):
    file = tmp_path / "ber.jsonl"
    ber_rows.append_rows(file, make_rows()[:2])
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"scenario": "td')
    found, repaired = ber_rows.read_rows(file)
    assert len(found) == 2
    assert "torn row" in repaired
    assert file.read_bytes() == whole
    file.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(ValueError, match=r"ber\.jsonl, line 1"):
        ber_rows.read_rows(file)


@pytest.mark.parametrize("wrong", [{"frames": 1.5}, {"scenario": 3}, {"bler": 0.1}])
def test_rows_of_another_kind_are_refused_and_nothing_is_written(wrong, tmp_path):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ber_rows.append_rows(tmp_path / "f", [make_rows()[0] | wrong])
    assert not (tmp_path / "f").exists()


def test_parquet_has_every_column_and_its_type(tmp_path):
    for rows in ([], make_rows()):
        ber_rows.write_parquet(rows, tmp_path / "ber.parquet")
        table = pyarrow.parquet.read_table(tmp_path / "ber.parquet")
        assert table.column_names == [column.name for column in ber_rows.COLUMNS]
        assert table.num_rows == len(rows)
    assert str(table.schema.field("ber").type) == "double"
    assert str(table.schema.field("frames").type) == "int64"
