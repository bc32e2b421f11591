"""The sweep's main as a process of its own: its flags in tests, and the rows it leaves."""

import json

import pytest

FLAGS = (
    "--pipelines=none,P-Q,P-Q-KD,Q-P-FT",
    "--operating_points=4:0.5,2:0.75",
    "--steps=30",
    "--chunk_steps=5",
    "--batch_size=8",
    "--frames_per_stratum=2",
)
NOT_REPEATED = ("wall_s",)


def rows(workdir):
    lines = (workdir / "results.jsonl").read_text().splitlines()
    found = {row["config_id"]: row for row in map(json.loads, lines)}
    assert len(found) == len(lines)  # none twice
    return found


def same_rows(found, expected):
    """No row lost, none more, and every number that of the other run."""
    assert set(found) == set(expected)
    for identity, row in expected.items():
        for column, value in row.items():
            if column not in NOT_REPEATED:
                close = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
                assert found[identity][column] == close, column
