"""Rows, table and picture of adaptations."""

import io

import pytest
from rich.console import Console

from wfm_jax.results import adapt_rows
from wfm_jax.results.adapt_picture import adapt_picture
from wfm_jax.results.adapt_table import WIDTH, print_read_out

SIZES = {"probe": (10483, 0.055, 0.5), "lora": (6912, 0.036, 0.95), "full": (189683, 1.0, 1.0)}


def row(target, method, score, n_labelled=1000):
    trained, share, recovered = SIZES[method]
    gain = recovered * 0.01 * n_labelled**0.4
    return adapt_rows.complete_row(
        {
            "target": target,
            "n_labelled": n_labelled,
            "method": method,
            "score": score,
            "larger_is_better": 1,
            "trained": trained,
            "trained_share": share,
            "seeds": 3,
            "before": 0.7,
            "after": 0.7 + gain,
            "gain": gain,
            "gain_low": gain - 0.01,
            "gain_high": gain + 0.01,
        }
        | {"recovered": recovered, "recovered_low": 0.9, "recovered_high": 1.1}
    )


def text(rows):
    file = io.StringIO()
    print_read_out(rows, Console(file=file, width=WIDTH))
    return file.getvalue()


@pytest.fixture
def rows():
    return [
        row(target, method, score, n)
        for target in ("nuremberg", "long_delays")
        for n in (100, 1000)
        for method in SIZES
        for score in ("gmi_fraction", "amc_accuracy")
    ]


def test_the_table_fits_and_has_a_block_for_each_target_and_number(rows):
    lines = text(rows).splitlines()
    assert max(map(len, lines)) <= WIDTH
    for target in ("nuremberg", "long_delays"):
        for n in (100, 1000):
            assert f"{target}: 3 labelled sets of {n} frames" in text(rows)
    assert sum(line.startswith("lora") for line in lines) == 4


def test_a_line_says_what_its_row_holds(rows):
    lines = text(rows).splitlines()
    start = next(
        i for i, line in enumerate(lines) if line.startswith("long_delays: 3 labelled sets of 1000")
    )
    line = next(line for line in lines[start:] if line.startswith("lora"))
    assert line.split()[:5] == ["lora", "6912", "3.6", "0.700", "0.851"]
    assert "…" not in text(rows)
    assert line.split()[5:11] == ["+0.151", "+0.141", "+0.161", "95", "90", "110"]


def test_what_is_not_known_is_a_dash(rows):
    unknown = [r | {"recovered": None, "recovered_low": None, "recovered_high": None} for r in rows]
    line = next(line for line in text(unknown).splitlines() if line.startswith("lora"))
    assert line.split()[8:11] == ["–"] * 3  # noqa: RUF001


def test_rows_come_back_from_their_file(rows, tmp_path):
    adapt_rows.append_rows(tmp_path / "adapt.jsonl", rows[:5])
    adapt_rows.append_rows(tmp_path / "adapt.jsonl", rows[5:])
    assert adapt_rows.read_rows(tmp_path / "adapt.jsonl") == (rows, None)


@pytest.mark.parametrize("n", [0, 6, 24])
def test_a_picture_is_a_png_of_any_number_of_rows(rows, tmp_path, n):
    adapt_picture(rows[:n], tmp_path / "adapt.png")
    assert (tmp_path / "adapt.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["adapt.png"]
