"""The heat map and the tables of sensitivity, of rows made by hand."""

import io
import json

import pytest
from rich.console import Console

from wfm_jax.results.rows import complete_row
from wfm_jax.results.sensitivity_picture import sensitivity_picture
from wfm_jax.results.sensitivity_rows import (
    ALLOCATION_COLUMNS,
    COLUMNS,
    SCORES,
    group,
    short_name,
)
from wfm_jax.results.sensitivity_table import (
    WIDTH,
    print_allocations,
    print_bits,
    print_cells,
)

TENSORS = {
    "block_0/attention/key/kernel": 0.01,
    "block_0/mlp/down/kernel": 0.3,
    "embed_spectrogram/token/kernel": 20.0,
    "head_frame/kernel": float("nan"),
}
LEVELS = {"bits": (2.0, 3.0, 4.0, 6.0, 8.0), "sparsity": (0.25, 0.5, 0.75, 0.9)}


def scored(change, width):
    ends = {"": change, "_low": change - width, "_high": change + width}
    row = {f"{name}_change{end}": value for name in SCORES for end, value in ends.items()}
    return row | {name: 0.5 + change for name in SCORES}


@pytest.fixture
def cells():
    return [
        complete_row(
            {
                "method": method,
                "level": level,
                "tensor": tensor,
                "expected_rise": 0.1 * size,
                **scored(size / (1 + i) ** 2, 0.05),
            },
            COLUMNS,
        )
        for method, levels in LEVELS.items()
        for tensor, size in TENSORS.items()
        for i, level in enumerate(levels)
    ]


@pytest.fixture
def given():
    return [
        complete_row(
            {
                "budget": budget,
                "configuration": name,
                "size_bytes": 123_456,
                "mean_bits": 4.0,
                "bits": json.dumps(dict.fromkeys(TENSORS, 4)),
                **scored(change, 0.1),
            },
            ALLOCATION_COLUMNS,
        )
        for budget in ("4 bits everywhere", "4 bits in blocks, 8 elsewhere")
        for name, change in {
            "baseline": 0.0, "measured": -0.4567, "expected": 0.05, "larger": 0.3
        }.items()
    ]  # fmt: skip


@pytest.fixture
def printed():
    def text(show, rows):
        console = Console(file=io.StringIO(), width=WIDTH)
        show(rows, console)
        found = console.file.getvalue()
        assert max(map(len, found.splitlines())) <= WIDTH
        return found

    return text


def test_the_grid_fits_and_the_most_sensitive_tensor_is_first(printed, cells):
    text = printed(print_cells, cells)
    lines = text.splitlines()
    assert lines[3].split()[:2] == ["embed_spectrogram/token", "20*"]
    assert lines[4].split()[:4] == ["block_0/mlp/down", ".300*", ".075*", ".033"]
    assert "…" not in text


def test_a_change_beyond_its_interval_is_marked_as_better_or_worse(printed, given):
    text = printed(print_allocations, given)
    assert "…" not in text
    changes = [line.split() for line in text.splitlines() if "±" in line]
    better, neither, worse = changes[:3]
    assert better[0] == "-.457±.100+"  # less loss
    assert better[1] == "-.457±.100-"  # less GMI
    assert neither[0] == "+.050±.100"
    assert worse[0] == "+.300±.100-"


def test_every_tensor_has_its_bits(printed, given):
    text = printed(print_bits, given)
    for tensor in TENSORS:
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [short_name(tensor)]]
        assert line.split()[1:] == ["4"] * 8
    assert "2: at the bytes of 4 bits in blocks, 8 elsewhere" in text


def test_the_heat_map_is_drawn_of_one_method_or_both(cells, tmp_path):
    for name, rows in (("both", cells), ("bits", [r for r in cells if r["method"] == "bits"])):
        sensitivity_picture(rows, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bits.png", "both.png"]


def test_tensors_are_grouped_by_what_they_belong_to():
    assert [group(tensor) for tensor in TENSORS] == ["block_0", "block_0", "embed", "head"]
