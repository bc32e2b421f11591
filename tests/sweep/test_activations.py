"""Quantized activations in a sweep: in force after Q, calibrated on what a configuration became."""

import functools

import chex
import jax
import numpy as np
import pytest

from wfm_jax.model import activation_points, build, quantizing, sample_batch
from wfm_jax.sweep import stages
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.group import Group
from wfm_jax.sweep.ranges import make_calibrator


@pytest.mark.parametrize(
    ("pipeline", "in_training"),
    [("Q-KD", [8]), ("KD-Q", [32]), ("P-FT-Q-KD", [32, 8]), ("KD", [32])],
)
def test_they_are_in_force_in_training_after_q(pipeline, in_training):
    configuration = Configuration(pipeline, act_bits=8)
    found = [
        stages.recipe_of(configuration, i).act_bits
        for i, stage in enumerate(configuration.stages)
        if stage in ("KD", "FT")
    ]
    assert found == in_training


def test_without_q_their_bits_do_not_matter():
    one, other = (Configuration("P-KD", act_bits=bits) for bits in (8, 32))
    assert one.config_id == other.config_id
    assert not one.quantizes_activations
    assert Configuration("Q", act_bits=8).config_id != Configuration("Q").config_id


def test_only_a_group_that_asks_for_them_trains_with_them(problem, settings, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "wfm_jax.sweep.group.Trainer", lambda **how: asked.append(how["quantize_activations"])
    )
    for pipeline, bits in (("Q-KD", 32), ("Q-KD", 8), ("P-KD", 8)):
        Group("same", problem, [Configuration(pipeline, act_bits=bits)], settings)
    assert asked == [False, True, False]


@pytest.mark.slow
def test_calibrated_ranges_hold_nearly_all_and_err_little_at_eight_bits(teacher):
    apply, _ = build(teacher.config, jax.random.key(0))
    calibrate = make_calibrator(teacher.config, apply)
    batch = sample_batch(teacher.config, key=jax.random.key(9), batch_size=32)
    plain = apply(teacher.params, batch.inputs)
    errors = []
    for bits in (8, 4):
        ranges = calibrate(teacher.params, bits)
        assert set(ranges) == set(activation_points(teacher.config))
        assert all(float(r.low) < float(r.high) for r in ranges.values())
        at = quantizing(ranges, bits)
        snapped = jax.jit(functools.partial(apply, at=at))(teacher.params, batch.inputs)
        errors.append(float(np.mean(np.square(snapped.snr_db - plain.snr_db))))
    chex.assert_tree_all_finite(errors)
    # Steps are 17 times smaller: squared, less than a fiftieth is left with room to spare.
    assert 0 < errors[0] < errors[1] / 50
