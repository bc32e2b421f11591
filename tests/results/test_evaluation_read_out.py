"""The read-out and the verdict of an evaluation, on rows made by hand."""

import io

import pytest
from rich.console import Console

from wfm_jax.results import evaluation_rows as files
from wfm_jax.results import evaluation_table, evaluation_verdict

SNRS_DB = (0.0, 5.0, 10.0, 20.0, 30.0)
K_BINS = ("-6...7 dB", "rayleigh")


def row(receiver, metric, snr_db, value, *, m=None, k_bin=None, ci95=0.05):
    return files.complete_row(
        {"receiver": receiver, "metric": metric, "snr_db": snr_db, "value": value, "ci95": ci95,
         "bits_per_symbol": m, "k_bin": k_bin, "low": value - ci95, "high": value + ci95,
         "frames": 100}
    )  # fmt: skip


def make_rows(behind=0.1, below=0.01, nmse=0.2):
    """A model that is so much behind at every point, of two constellations and two K bins."""
    rows = []
    for snr_db in SNRS_DB:
        for m in (2, 4):
            for receiver in ("model", "lmmse", "genie"):
                ber = 0.3 * 10.0 ** (-snr_db / 10.0)
                rows.append(row(receiver, "ber", snr_db, ber, m=m))
                rows.append(row(receiver, "ber_claimed", snr_db, 0.8 * ber, m=m))
            rows.append(row("model", "behind_lmmse_db", snr_db, behind, m=m))
            rows.append(row("model", "behind_lmmse_true_db", snr_db, behind + 1.0, m=m))
            rows.append(row("model", "behind_genie_db", snr_db, behind + 1.5, m=m))
        rows.append(row("model", "amc_minus_likelihood", snr_db, -below))
        rows.append(row("model", "nmse_over_lmmse_db", snr_db, nmse))
        for k_bin in (None, *K_BINS):
            for receiver in ("model", "lmmse", "genie"):
                rows.append(row(receiver, "amc_accuracy", snr_db, 0.9, k_bin=k_bin))
                rows.append(row(receiver, "nmse_db", snr_db, -10.0 - snr_db, k_bin=k_bin))
            rows.append(row("model", "snr_mae_db", snr_db, 1.25, k_bin=k_bin))
        rows.append(row("constant", "snr_mae_db", snr_db, 7.5))
    return rows


@pytest.fixture(scope="module")
def text():
    console = Console(file=io.StringIO(), width=evaluation_table.WIDTH)
    evaluation_table.print_read_out(make_rows(), console)
    return console.file.getvalue()


def test_it_fits_a_hundred_columns_and_tells_every_snr(text):
    assert max(map(len, text.splitlines())) <= 100
    for snr_db in SNRS_DB:
        assert text.count(f"\n{snr_db:3g} ") == 4
    assert "…" not in text


def test_cells_are_the_rows(text):
    assert "+0.10 ±0.05" in text
    assert "+1.60" in text
    assert "-1.0 (-6.0, +4.0)" in text  # points
    assert "+0.20 (+0.15, +0.25)" in text
    assert "1.25 (7.50)" in text
    assert "1.25 " in text.split("Over the K-factor, at 20 dB")[1]


def test_what_is_missing_is_a_dash(text):
    link_state = text.split("Link state")[1]
    assert "– (–)" in link_state  # noqa: RUF001


def test_observed_over_promised(text):
    """0.3 over 0.8 times that."""
    assert text.split("promise")[1].count("1.25") >= 4 * len(SNRS_DB)


@pytest.mark.parametrize(
    "behind, below, nmse, answers",
    [
        (0.1, 0.01, 0.2, ["yes", "yes", "yes"]),
        (0.4, 0.01, 0.2, ["no, not at 6 of 6 points", "yes", "yes"]),
        (0.1, 0.04, 0.2, ["yes", "no, not at 3 of 3 points", "yes"]),
        (0.1, 0.01, 0.7, ["yes", "yes", "no, not at 4 of 4 points"]),
    ],
)
def test_the_paragraph_says_whether_each_aim_holds(behind, below, nmse, answers):
    text = evaluation_verdict.closing_paragraph(make_rows(behind, below, nmse))
    parts = text.split(" dB: ")[1:]
    for part, answer in zip(parts, answers, strict=True):
        assert part.startswith(answer)
    assert f"{behind:+.2f} dB" in parts[0]
    assert f"{100 * below:+.1f} points" in parts[1]
    assert f"{nmse:+.2f} dB" in parts[2]


def test_the_worst_case_and_its_interval_are_named():
    rows = make_rows()
    for found in rows:
        if (found["metric"], found["snr_db"], found["bits_per_symbol"]) == (
            "behind_lmmse_db",
            10,
            4,
        ):
            found |= {"value": 0.28, "high": 0.33}
    text = evaluation_verdict.closing_paragraph(rows)
    assert "the worst is 16-QAM at 10 dB with +0.28 dB (95 % interval up to +0.33)" in text
    assert "1 of 6 intervals reach beyond" in text
    assert "1.60 to 1.60 dB there" in text
    assert "Ahead of LMMSE, interval included: nowhere." in text


def test_stretches_of_being_ahead():
    rows = make_rows(behind=-0.2)
    for found in rows:
        if found["metric"] == "behind_lmmse_db" and found["snr_db"] == 10.0:
            found["high"] = 0.1
    text = evaluation_verdict.closing_paragraph(rows)
    assert "4-QAM at 0 to 5, 20 to 30 dB; 16-QAM at 0 to 5, 20 to 30 dB" in text


def test_what_could_not_be_read_is_told():
    rows = make_rows()
    for found in rows:
        if found["metric"] == "behind_lmmse_db" and found["snr_db"] == 20.0:
            found |= {"value": None, "low": None, "high": None}
    text = evaluation_verdict.closing_paragraph(rows)
    assert "2 more could not be read" in text
    for found in rows:
        if found["metric"] == "nmse_over_lmmse_db":
            found |= {"value": None, "low": None, "high": None}
    assert "from 0 to 20 dB: none could be read." in evaluation_verdict.closing_paragraph(rows)
    outside = [found for found in rows if found["snr_db"] == 0.0]
    text = evaluation_verdict.closing_paragraph(outside)
    assert "from 5 to 25 dB: nothing was measured there." in text
