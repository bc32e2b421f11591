"""What a row is called: the settings that are not as usual, where they are any of its stages'."""

import pytest

from wfm_jax.results import naming

ROW = {"kind": "configuration", "pipeline": "L-P-Q-KD", "weight_bits": 4.0, "sparsity": 0.5}


@pytest.mark.parametrize(
    ("settings", "point"),
    [
        ({}, "4b 50%"),
        ({"act_bits": 8.0}, "4b A8 50%"),
        ({"rank_share": 0.25}, "r25% 4b 50%"),
        ({"allocation": "{}", "mean_bits": 3.94}, "~3.9b 50%"),
        ({"pipeline": "KD", "act_bits": 8.0, "rank_share": 0.25}, naming.DASH),
    ],
)
def test_operating_points(settings, point):
    assert naming.operating_point(ROW | settings) == point


@pytest.mark.parametrize(
    ("settings", "ways"),
    [
        ({}, []),
        ({"scale": "mse", "bound": "restricted", "feature_weight": 0.0}, []),
        ({"scale": "learned", "bound": "half_step"}, ["half_step", "learned"]),
        ({"quant_format": "nf4_double", "structure": "2:4"}, ["2:4", "nf4_double"]),
        ({"group_size": 32, "rounding": "awq"}, ["awq", "g32"]),
        ({"allocation": "{}", "attention_weight": 0.5}, ["mixed", "attention 0.5"]),
        ({"pipeline": "P", "group_size": 32, "scale": "learned", "feature_weight": 1.0}, []),
    ],
)
def test_ways(settings, ways):
    assert naming.ways(ROW | settings) == ways


def test_a_way_is_shared_where_everybody_who_could_have_another_has_it():
    grouped, plain = ({**ROW, "group_size": size} for size in (32, None))
    without = {**ROW, "pipeline": "P", "group_size": None}
    assert naming.shared_ways([grouped, without]) == ["g32"]
    assert naming.shared_ways([grouped, plain]) == []


def test_views_that_a_student_reads_are_a_way_and_its_size_a_name():
    row = {"pipeline": "P-Q-KD", "weight_bits": 3.0, "sparsity": 0.5, "student": "smaller:grid+csi"}
    assert naming.point_name(row) == "P-Q-KD 3b/50% smaller grid+csi"
    assert naming.point_name(row | {"student": "same:grid"}) == "P-Q-KD 3b/50% grid"
    rows = [
        row | {"kind": "configuration"},
        row | {"kind": "configuration", "student": "same:grid+csi"},
    ]
    assert naming.shared_ways(rows) == ["grid+csi"]
    assert naming.shared_ways([*rows, row | {"kind": "configuration", "student": "same"}]) == []
