"""The tables of the failure modes, of rows made by hand."""

import io
import json

import pytest
from rich.console import Console

from wfm_jax.results.calibration_table import setting
from wfm_jax.results.failure_rows import (
    CALIBRATION_COLUMNS,
    QUALITY_SCORES,
    SIZE_COLUMNS,
    TENSOR_COLUMNS,
    TENSOR_SCORES,
)
from wfm_jax.results.failure_tables import TABLES
from wfm_jax.results.failure_text import WIDTH, change_text
from wfm_jax.results.rows import complete_row


def changed(scores, change, width=0.1):
    ends = {"": change, "_low": change - width, "_high": change + width}
    row = {f"{name}_change{end}": value for name in scores for end, value in ends.items()}
    return row | {name: 0.5 + change for name in scores}


def tensors():
    for kind in ("none", "everywhere", "blocks", "tables"):
        yield {"kind": kind, "chosen": None, "count": 0, "draws": 1}
    for kind in ("alone", "spared"):
        for count in (1, 12):
            for chosen in ("most", "random", "least"):
                names = json.dumps([[f"block_{i}/attention/key/kernel" for i in range(count)]])
                yield {"kind": kind, "chosen": chosen, "count": count, "draws": 3,
                       "tensors": names}  # fmt: skip


TENSORS = [
    complete_row(
        {
            "few_bits": 4,
            "spared_bits": 8,
            "size_bytes": 123_456.0,
            **dict(zip(("share", "share_low", "share_high"), (0.5, 0.4, 0.8), strict=True)),
            **changed(TENSOR_SCORES, -0.5),
            **changed(["task_loss", "channel_nmse_db"], 12.3456),
            **row,
        },
        TENSOR_COLUMNS,
    )
    for row in tensors()
]
SOURCES = {"matched": "matched frames", "high_k": "K 13.5-20 dB only", None: None}
CALIBRATIONS = [
    complete_row(
        {
            "source": source,
            "words": words,
            "method": method,
            "draws": 3,
            "range_ratio": 12.345,
            **changed(QUALITY_SCORES, 0.0 if source == "matched" else -0.5),
            **changed(["channel_nmse_db"], -12.3),
            **what,
        },
        CALIBRATION_COLUMNS,
    )
    for method, what, without in (
        *(
            (rule, {"part": "activations", "weight_bits": 4, "act_bits": bits, "sparsity": 0}, "")
            for bits in (8, 4)
            for rule in ("min_max", "percentile", "mse", "entropy")
        ),
        *(
            ("gptq", {"part": "weights", "weight_bits": bits, "act_bits": 32, "sparsity": 0}, "x")
            for bits in (4, 3, 2)
        ),
        *(
            (
                "wanda",
                {"part": "weights", "weight_bits": 32, "act_bits": 32, "sparsity": n},
                "x",
            )
            for n in (0.5, 0.75)
        ),
    )
    for source, words in SOURCES.items()
    if source or without
]


def sized():
    for arm in ("400 steps from what is left of the teacher", "1200 steps from random weights"):
        for sparsity in (0.5, 0.95):
            row = {
                "arm": arm,
                "sparsity": sparsity,
                "params_total": 123_456,
                "seeds": 3,
                "retention_untrained": None if "random" in arm else 0.123,
                "retention_ft": 0.99,
            }
            scores = changed(QUALITY_SCORES, 0.0123, 0.001)
            scores = {name: value for name, value in scores.items() if "_change" in name}
            yield complete_row(row | scores, SIZE_COLUMNS)


ROWS = {"calibration": CALIBRATIONS, "student_size": [*sized()], "sensitive_tensors": TENSORS}


@pytest.fixture(params=list(ROWS))
def name(request):
    return request.param


def printed(name):
    console = Console(file=io.StringIO(), width=WIDTH)
    TABLES[name](ROWS[name], console)
    return console.file.getvalue()


def test_a_table_fits_whatever_the_numbers(name):
    text = printed(name)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "…" not in text
    assert "{" not in text


def test_a_change_is_certain_where_its_interval_excludes_zero():
    up = QUALITY_SCORES["gmi_fraction"]
    down = QUALITY_SCORES["snr_loss_db"]
    for change, better, worse in ((0.2, "+", "-"), (-0.2, "-", "+"), (0.05, " ", " ")):
        row = changed(QUALITY_SCORES, change)
        assert change_text(row, "gmi_fraction", up)[-1] == better
        assert change_text(row, "snr_loss_db", down)[-1] == worse
    assert change_text(changed(QUALITY_SCORES, 0.2), "gmi_fraction", up) == "+.2000±.1000+"
    assert change_text(changed(QUALITY_SCORES, -50.25, 10.5), "snr_loss_db", down) == (
        "-50.25±10.50+"
    )
    assert change_text({}, "gmi_fraction", up)[-1] not in "+- "


def test_sets_of_tensors_stand_under_what_was_done_to_them():
    lines = printed("sensitive_tensors").splitlines()
    for start in ("4 bits on these", "8 bits on these"):
        (first,) = [i for i, line in enumerate(lines) if line.startswith(start)]
        assert [" ".join(line.split()[:2]) for line in lines[first + 3 : first + 9]] == [
            "1 most", "1 at", "1 least", "12 most", "12 at", "12 least"
        ]  # fmt: skip
        assert "50±20 %" in lines[first + 3]
    assert "Most sensitive first: block_0/key, block_1/key" in "\n".join(lines)


def test_a_method_without_data_stands_in_the_column_of_the_one_with_it():
    found = {setting(row) for row in CALIBRATIONS if row["part"] == "weights"}
    assert found == {"4 bits", "3 bits", "2 bits", "50 %", "75 %"}
    lines = [one for one in printed("calibration").splitlines() if one.startswith("no data  ")]
    assert [line.count("±") for line in lines] == [3, 6, 2, 6]
