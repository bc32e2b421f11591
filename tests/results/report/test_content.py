"""What the page draws is what the rows say, by the functions that the read-out uses."""

import numpy as np
import pytest

from tests import made_runs
from wfm_jax.results import choose, verdict
from wfm_jax.results.pareto import ranked
from wfm_jax.results.report import content
from wfm_jax.results.report.extras import Cells
from wfm_jax.results.report.run_folder import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return read_run(made_runs.make(tmp_path_factory.mktemp("runs") / "one"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    own = made_runs.orders(points=((8, 0.5),))
    return read_run(made_runs.make(tmp_path_factory.mktemp("runs") / "two", own, seed=1))


def filled(rows):
    return {name for row in rows for name, value in row.items() if value is not None}


def column(data, name):
    (found,) = (own for own in data["columns"] if own["name"] == name)
    values = found["values"]
    if "each" in values:
        return values["each"]
    if "all" in values:
        return [values["all"]] * data["count"]
    return [values["words"][code] for code in values["codes"]]


def test_the_findings_are_those_of_the_read_out(run):
    (finding,) = content.findings([run])
    assert " ".join(finding.sentences) == verdict.closing_paragraph(run.rows)
    assert finding.n_finished == len(run.rows) - 5
    for choice in finding.choices:
        if choice.row is not None:
            assert choice.row is choose.smallest_within(run.rows, choice.loss)
            assert run.rows[choice.index] is choice.row
        else:
            with pytest.raises(ValueError, match="no configuration"):
                choose.smallest_within(run.rows, choice.loss)


def test_ranks_are_those_of_the_table(run):
    data = content.data(content.findings([run]), [None])
    shown = dict(zip(column(data, "config_id"), column(data, "rank"), strict=True))
    assert {row["config_id"]: rank for rank, row in ranked(run.rows)} == {
        identity: rank for identity, rank in shown.items() if rank is not None
    }


def test_indices_count_over_all_runs(run, other):
    found = content.findings([run, other])
    data = content.data(found, [None, None])
    runs = column(data, "run")
    assert runs == ["one"] * len(run.rows) + ["two"] * len(other.rows)
    rows = [*run.rows, *other.rows]
    assert column(data, "config_id") == [row["config_id"] for row in rows]
    for choice in [choice for finding in found for choice in finding.choices if choice.row]:
        assert rows[choice.index] is choice.row
    for name, place in data["references"][1].items():
        assert rows[place]["pipeline"] == name
        assert place >= len(run.rows)
    curves = content.curves([run, other])
    for i, ber in curves[1]["ber"].items():
        stored = other.curves.ber[rows[i]["config_id"]]
        np.testing.assert_allclose(ber, stored, rtol=5e-3)


def test_runs_of_other_teachers_and_columns_are_told_apart(run, other):
    assert content.differences([run]) == []
    rows = [row | {"teacher_hash": "another"} for row in other.rows]
    rows[0]["strange"] = 1
    apart = filled(run.rows) ^ filled(rows)
    said = content.differences([run, other._replace(rows=rows)])
    assert "other teachers" in said[0]
    assert f"one and two have different columns: {len(apart)} are" in said[1]


def test_differences_of_all_runs_stand_pair_by_pair_and_point_by_point(run):
    cut = [row | {"ways": "2:4"} for row in run.contrasts if row["weight_bits"] == 8.0]
    both = [run, run._replace(name="other", contrasts=[*cut, *run.contrasts])]
    shown = content.data(content.findings(both), [None, None])["contrasts"]
    assert len(shown) == 2 * len(run.contrasts) + len(cut)
    places = [(one["pair"], one["where"]) for one in shown if one["metric"] == "amc_accuracy"]
    pairs = ["P-Q-KD less P-Q", "Q-P-KD less P-Q-KD"]
    points = [*(["8b 50%"] * 2), *(["4b 75%"] * 2), *(["3b 90%"] * 2), "8b 50% 2:4"]
    assert places == [(pair, point) for pair in pairs for point in points]


def test_a_run_without_rows_has_content(run):
    empty = run._replace(rows=[], contrasts=[], curves=None)
    found = content.findings([empty])
    assert found[0].sentences == ["No configuration has a score; diverged: 0."]
    data = content.data(found, [None])
    assert (data["count"], data["columns"], content.curves([empty])) == (0, [], [])


def test_the_heat_map_has_every_cell_in_its_place():
    rng = np.random.default_rng(0)
    rows = [
        {"method": method, "level": level, "tensor": f"block_0/{name}/kernel",
         "task_loss_change": (change := float(rng.normal())),
         "task_loss_change_low": change - 0.5, "task_loss_change_high": change + 0.5}
        for name in ("mlp", "attention/query")
        for method, level in (("bits", 4.0), ("bits", 2.0), ("sparsity", 0.5))
    ]  # fmt: skip
    found = content.heat_map(Cells("here", rows[:-1], []))
    assert found["tensors"] == ["block_0/mlp", "block_0/query"]
    assert found["levels"] == ["4 bits", "2 bits", "50 % pruned"]
    flat = [value for line in found["rise"] for value in line]
    assert flat[-1] is None
    np.testing.assert_allclose(flat[:-1], [r["task_loss_change"] for r in rows[:-1]], rtol=1e-3)
    certain = [abs(row["task_loss_change"]) > 0.5 for row in rows[:-1]]
    assert [own for line in found["certain"] for own in line][:-1] == certain


def test_diverged_rows_have_no_rank(run):
    rows = [dict(row) for row in run.rows]
    rows[9]["status"] = "diverged"
    data = content.data(content.findings([run._replace(rows=rows)]), [None])
    assert column(data, "rank")[9] is None
