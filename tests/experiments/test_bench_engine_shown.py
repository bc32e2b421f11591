"""The suite `engine`: its tables and its picture."""

import numpy as np
import pytest
from rich.console import Console

from experiments.benchmarks import (
    engine_beside,
    engine_bound,
    engine_cells,
    engine_parts,
    engine_picture,
    engine_tables,
)

OURS = [engine_beside.LOOPED, engine_beside.FRAMES_GIVEN, engine_beside.ALL_GIVEN]


def result_of(cells, **more):
    """A result with the longest words and numbers there are."""
    cost = engine_bound.Cost(1.49e12, 4.9e11, 6.1e8, 1.2e10)._asdict()
    part = {"phase": engine_parts.ONCE, "file": "signal/tapped_delay_line.py", "share": 0.123}
    parts = [part | {"thread_ms": 123.45}, part | {"thread_ms": 0.1, "share": 0.001}]
    cost["profile"] = {
        "name": "vmap, 128 at a time", "width": 4096, "thread_ms": 1234.5, "parts": parts
    }  # fmt: skip
    return {
        "models": {"nano": {"float32": {"parameters": 85_000_000, **cost}}},
        "settings": {"batch_size": 1024},
        "device": {"matrix_operations": {"float32": 4e14}, "memory_bytes": 3e12},
        "devices": ["gpu NVIDIA H100 80GB HBM3"],
        "products": {
            name: {"computed_in": "bfloat16"} for name in ("ours", "PyTorch", "torch.compile")
        },
        "failures": {"torch.compile": "did not answer in time " * 8},
        "cells": cells,
    } | more


def cell_of(strategy, width, ms, **more):
    ratio = {"median": 123.4, "least": 111.1, "most": 135.7}
    names = list(OURS)
    names += [f"{peer}, {how}" for peer in engine_beside.PEERS for how in
              ("own teacher pass", "teacher's answers given")]  # fmt: skip
    return {
        "model": "nano",
        "compute": "float32",
        "name": engine_cells.name_of(strategy),
        "strategy": strategy,
        "width": width,
        "ms": ms,
        "configuration_steps_per_second": 1e3 / ms,
        "bound_ms": 0.04 + 0.01 / width,
        "share_of_bound": 0.123,
        "argument_bytes": 2**30,
        "temporary_bytes": 2**35,
        "compile_s": 123.4,
        "beside": {name: {"seconds": [1.234], "ratio": ratio} for name in names},
    } | more


WIDTHS = (1, 4, 16, 64, 256, 1024, 4096)
CELLS = [
    *[cell_of("map", width, 2.5 + 0.5 / width) for width in WIDTHS],
    *[cell_of("vmap", width, 0.2 + 2.5 / width) for width in WIDTHS[:-1]],
    {**cell_of("vmap", 4096, 1.0), "skipped": "needs 172.3 GiB of 59.1 GiB"},
    *[cell_of("128", width, 0.25 + 0.1 / width) for width in WIDTHS[-3:]],
]
for _cell in CELLS:
    if "skipped" in _cell:
        del _cell["ms"], _cell["beside"]


def test_tables_fit_and_say_what_was_left_out(capsys):
    console = Console(width=100)
    for table in engine_tables.tables(result_of(CELLS)):
        console.print(table)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    assert "needs 172.3 GiB" in shown
    assert "…" not in shown
    assert "111-136" in shown
    words = " ".join(shown.split())
    assert "1.49e+03 G operations + 490 G / C at 400 T a second" in words
    assert "torch.compile: did not answer" in words
    assert words.count("tapped_delay_line") == 1  # the small part is left out
    assert "Alone and on the same terms" in words


def test_peers_are_compared_round_by_round_on_the_same_terms():
    """Rounds of all cells count: 3 / 1, 5 / 2 and 8 / 4."""
    named = {
        engine_beside.FRAMES_GIVEN: ([1.0, 2.0], [4.0]),
        "PyTorch, own teacher pass": ([3.0, 5.0], [8.0]),
    }
    cells = [{"beside": {name: {"seconds": of[i]} for name, of in named.items()}} for i in (0, 1)]
    (table,) = engine_tables._like_for_like("nano", "float32", cells)
    assert [list(column.cells) for column in table.columns] == [
        ["own teacher pass"], ["2e+03"], ["2.5\n2-3"]
    ]  # fmt: skip


def test_the_fastest_strategy_of_each_width_is_compared():
    best = engine_tables.fastest(CELLS)
    assert [(cell["width"], cell["strategy"]) for cell in best] == [
        (1, "vmap"), (4, "vmap"), (16, "vmap"), (64, "vmap"), (256, "vmap"), (1024, "vmap"),
        (4096, "128"),
    ]  # fmt: skip


def test_names_beside_lines_are_moved_apart():
    heights = np.array([0.0, 1.0, 2.0, 30.0, 31.0, 90.0])
    moved = engine_picture.spread(heights, gap=10.0)
    assert np.all(np.diff(moved) >= 10.0 - 1e-9)
    assert np.allclose(moved, [-9.0, 1.0, 11.0, 25.5, 35.5, 90.0])


@pytest.mark.parametrize("cells", [CELLS, CELLS[:1], []], ids=["many", "one", "none"])
def test_the_picture_names_every_strategy(monkeypatch, tmp_path, cells):
    names = []
    place = engine_picture.place_labels
    monkeypatch.setattr(
        engine_picture,
        "place_labels",
        lambda *a, **k: [names.append(label.get_text()) or label for label in place(*a, **k)],
    )
    engine_picture.engine_picture(result_of(cells), tmp_path / "engine.png")
    assert (tmp_path / "engine.png").read_bytes().startswith(b"\x89PNG")
    assert {cell["name"] for cell in cells} == set(names)
