"""What estimates are made of: a model timed without its parameters, and loads that add up."""

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sweep import small_sweep
from wfm_jax.evaluate import probe
from wfm_jax.evaluate.cost import flops
from wfm_jax.evaluate.probe import Load, Pace
from wfm_jax.evaluate.products import frame_products
from wfm_jax.model import build, param_shapes

NUMBERS = st.floats(0.0, 1e6)
PACE = Pace(compile_s=2.0, pass_s=0.001, flops_per_s=3e9, n_frames=8)


def test_an_outline_is_the_model_without_arrays():
    config = small_sweep.config()
    apply, shapes = probe.outline(config)
    assert shapes == param_shapes(config)
    _, params = build(config, jax.random.key(0))
    assert probe.bytes_of(shapes) == sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert probe.flops_of(config) == flops(frame_products(config, apply, params))


def test_a_model_is_timed():
    pace = probe.measure_pace(small_sweep.config(), 4)
    assert pace.compile_s > 0.0
    assert pace.pass_s > 0.0
    assert pace.n_frames == (4 if jax.default_backend() == "cpu" else 2048)
    of_frame = probe.flops_of(small_sweep.config())
    assert pace.flops_per_s == pytest.approx(of_frame / pace.pass_s)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_loads_add_up(a, b, c, d):
    both = Load(a, b).plus(Load(c, d))
    apart = Load(a, b).seconds(PACE) + Load(c, d).seconds(PACE)
    assert both.seconds(PACE) == pytest.approx(apart)


def test_a_training_is_three_passes_a_frame_and_a_program():
    assert probe.training(10, 32) == Load(960.0, probe.TRAINING_COMPILES)


def test_the_fact_says_what_it_rests_on():
    fact = probe.time_fact(Load(60_000.0, 30.0), PACE)
    assert fact.value == "about 2 min"
    for words in ("an estimate", "about 60 s of it compiling", "8 ms for 8 frames", "3 GFLOP/s"):
        assert words in fact.basis
    assert probe.time_fact(Load(1.0), PACE, at_most=True).value == "at most about 1 s"
