"""The best so far is what a look at all rows would choose, whatever their order."""

import math

from hypothesis import given
from hypothesis import strategies as st

from wfm_jax.results.standing import Diverged, Standing
from wfm_jax.results.verdict import GOAL

ROWS = st.builds(
    lambda i, size, retention, width, status: {
        "config_id": f"{i:012x}",
        "kind": "configuration",
        "pipeline": "P-Q",
        "status": status,
        "size_bytes": None if status != "ok" else size,
        "retention": None if status != "ok" else retention,
        "retention_ci95": width,
        "stopped_at": None if status == "ok" else 7,
    },
    st.integers(0, 2**40),
    st.integers(1, 10**6),
    st.floats(-1.0, 1.0),
    st.floats(0.0, 0.2),
    st.sampled_from(("ok", "ok", "ok", "diverged", "dropped")),
)


@given(st.lists(ROWS, max_size=12, unique_by=lambda row: row["config_id"]), st.randoms())
def test_the_best_is_the_smallest_that_keeps_the_goal_else_the_highest_retention(rows, random):
    rows = list(rows)
    random.shuffle(rows)
    standing = Standing().with_rows(rows)
    scored = [row for row in rows if row["status"] == "ok"]
    good = [row for row in scored if row["retention"] - row["retention_ci95"] >= GOAL]
    if not scored:
        assert standing.best is None
    elif good:
        assert standing.best.size_bytes == min(row["size_bytes"] for row in good)
        assert standing.best.keeps_the_goal
    else:
        assert standing.best.score == max(row["retention"] for row in scored)
        assert not standing.best.keeps_the_goal
    assert standing.rows == len(rows)
    assert standing.dropped == sum(row["status"] == "dropped" for row in rows)
    lost = {row["config_id"] for row in rows if row["status"] == "diverged"}
    assert {one.config_id for one in standing.diverged} == lost


def test_references_count_for_nothing():
    row = {"config_id": "t", "kind": "reference", "status": "ok", "retention": 1.0}
    assert Standing().with_rows([row | {"size_bytes": 1}]) == Standing()


def test_one_that_diverged_is_there_once_though_it_is_told_before_its_row():
    early = Diverged("P-FT 50%", "a", 12)
    row = {"config_id": "a", "kind": "configuration", "status": "diverged", "stopped_at": 12}
    standing = Standing().with_diverged([early]).with_rows([row])
    assert standing.diverged == (early,)
    assert standing.rows == 1


def test_without_any_retention_the_gmi_fraction_counts():
    row = {"kind": "configuration", "status": "ok", "size_bytes": 10, "pipeline": "P"}
    rows = [row | {"config_id": str(i), "gmi_fraction": gmi} for i, gmi in enumerate((0.5, 0.7))]
    best = Standing().with_rows(rows).best
    assert (best.config_id, best.is_retention) == ("1", False)
    assert math.isnan(best.half_width)


def test_a_label_cannot_steer_a_terminal():
    row = {"config_id": "a", "kind": "configuration", "status": "diverged", "stopped_at": 1}
    (one,) = Standing().with_rows([row | {"pipeline": "P\x1b[2J\n"}]).diverged
    assert one.label.isprintable()
