"""Pipelines and configurations: what a string means, and what is the same thing."""

import dataclasses

import pytest

from wfm_jax.sweep import pipeline, space
from wfm_jax.sweep.configuration import Configuration, distinct


def test_default_set_is_sixteen_orders_and_three_controls():
    orders = pipeline.orders()
    assert len(orders) == len(set(orders)) == 16
    assert [len([p for p in orders if len(pipeline.parse(p)) == n]) for n in range(4)] == [
        1,
        3,
        6,
        6,
    ]
    assert pipeline.DEFAULT[16:] == ("FT", "P-Q-FT", "Q-P-FT")


@pytest.mark.parametrize("text", pipeline.DEFAULT)
def test_text_is_the_inverse_of_parse(text):
    assert pipeline.text(pipeline.parse(text)) == text


@pytest.mark.parametrize("text", ["", "P-X", "p", "P--Q", "KD-none", "P Q"])
def test_unknown_stage_is_named_with_the_allowed_ones(text):
    with pytest.raises(ValueError, match="stages are P, Q, KD, FT"):
        pipeline.parse(text)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("sparsity", 1.0, r"\[0, 1\)"),
        ("sparsity", -0.1, r"\[0, 1\)"),
        ("sparsity", float("nan"), r"\[0, 1\)"),
        ("weight_bits", 1, "2 to 8, 16 or 32"),
        ("weight_bits", 9, "2 to 8, 16 or 32"),
        ("weight_bits", 3.5, "2 to 8, 16 or 32"),
        ("act_bits", 12, "2 to 8, 16 or 32"),
        ("alpha", 1.5, r"\[0, 1\]"),
        ("temperature", 0.0, "positive"),
        ("learning_rate", float("inf"), "positive"),
        ("recovery_steps", 101, "0...steps=100"),
        ("student", "tiny", "same, smaller"),
        ("student", "same:csi", "grid, then others"),
        ("student", "same:csi+grid", "grid, then others"),
        ("student", "same:grid+radar", "csi, spectrogram, iq"),
        ("student", "smaller:", "same:grid"),
        ("scale", "rms", "auto, absmax, mse, percentile"),
    ],
)
def test_values_out_of_range_name_the_field_and_what_is_allowed(field, value, allowed):
    with pytest.raises(ValueError, match=f"{field}.*{allowed}"):
        Configuration("P-Q-KD", **{field: value})


def test_none_is_one_configuration_at_every_operating_point_and_seed():
    points = space.zipped(weight_bits=[8, 4, 2], sparsity=[0.5, 0.75, 0.9])
    axes = space.grid(pipeline=["none", "P-Q"], seed=[0, 1])
    asked = space.configurations(space.cross(points, axes))
    assert len(asked) == 12
    assert [c.pipeline for c in distinct(asked)].count("none") == 1


def test_the_default_sweep_has_51_distinct_configurations():
    points = space.zipped(weight_bits=[8, 4, 3], sparsity=[0.5, 0.75, 0.9])
    asked = space.configurations(space.cross(points, space.grid(pipeline=pipeline.DEFAULT)))
    # none, KD and FT do not depend on the operating point: 3 * 19 - 2 * 3.
    assert len(distinct(asked)) == 51


def test_settings_that_do_nothing_do_not_make_another_configuration():
    base = Configuration("P-Q-KD", sparsity=0.75, weight_bits=4)
    same = dataclasses.replace
    assert base.config_id == same(base, score_on="latent").config_id  # no Q before P
    assert base.config_id == same(base, scale="absmax").config_id  # what auto is at 4 bits
    assert base.config_id != same(base, scale="mse").config_id
    assert base.config_id != same(base, train_from="latent").config_id
    fine_tuned = same(base, pipeline="P-Q-FT")
    assert fine_tuned.config_id == same(fine_tuned, temperature=9.0, alpha=0.1).config_id
    assert Configuration("Q-P").config_id != Configuration("Q-P", score_on="latent").config_id


@pytest.mark.parametrize(
    ("pipeline_", "remainder"),
    [("KD-P-Q", "P-Q"), ("KD-Q-P", "Q-P"), ("KD-P", "P"), ("KD-Q", "Q"), ("KD", "none")],
)
def test_pure_distillation_of_the_teacher_by_itself_is_its_remainder(pipeline_, remainder):
    def at(name, **fields):
        return Configuration(name, sparsity=0.75, weight_bits=4, **fields)

    assert at(pipeline_, alpha=1.0).config_id == at(remainder, alpha=1.0).config_id
    assert at(pipeline_, alpha=0.9).config_id != at(remainder, alpha=0.9).config_id
    smaller = {"alpha": 1.0, "student": "smaller"}
    assert at(pipeline_, **smaller).config_id != at(remainder, **smaller).config_id
    scratch = {"alpha": 1.0, "init": "scratch"}
    assert at(pipeline_, **scratch).config_id != at(remainder, **scratch).config_id


@pytest.mark.parametrize("text", [*pipeline.DEFAULT, "KD-P-KD-Q-FT", "P-Q"])
@pytest.mark.parametrize("recovery", [0, 30])
def test_every_pipeline_that_trains_gets_the_same_total_of_steps(text, recovery):
    configuration = Configuration(text, steps=101, recovery_steps=recovery)
    steps = configuration.stage_steps()
    trains = any(s in pipeline.TRAINING_STAGES for s in configuration.stages)
    own = any(s in pipeline.TRAINING_STAGES for s in pipeline.parse(text))
    assert sum(steps) == (101 if own else recovery if trains else 0)
    if recovery:
        assert configuration.stages[-1] == "FT"
        assert steps[-1] == recovery
    nonzero = [n for n in steps[: len(steps) - bool(recovery)] if n]
    assert not nonzero or max(nonzero) - min(nonzero) <= 1
