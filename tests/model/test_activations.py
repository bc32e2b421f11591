"""Quantized activations of the model: ranges and bits are data, and each does what it should."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax import compress
from wfm_jax.model import (
    Quantized,
    activation_points,
    build,
    calibrate_activations,
    observe_activations,
    observe_nothing_at,
    quantizing,
    quantizing_dynamically,
    with_activations,
)

BITS = jnp.array([2, 4, 6, 8, 16, 32])
ABOUT = ("channel", "log_noise", "snr_db", "los")


@pytest.fixture(scope="module")
def lean(config):
    """One layer that reads one of the views in ``batch``: it compiles in a moment."""
    return dataclasses.replace(config, heads=(2,), mlp_widths=(64,), views=("csi",))


@pytest.fixture(scope="module")
def built(lean):
    return build(lean, jax.random.key(0))


@pytest.fixture(scope="module")
def apply(built):
    return jax.jit(built[0])


@pytest.fixture(scope="module")
def params(built):
    return small.moved(built[1], 0.1)


@pytest.fixture(scope="module")
def points(lean):
    return activation_points(lean)


@pytest.fixture(scope="module")
def calibrated(built, points):
    """``calibrated(params, batches)``: min-max ranges of stacked batches."""
    apply = built[0]

    @jax.jit
    def run(params, batches):
        return calibrate_activations(apply, params, batches, points, compress.min_max_range)

    return run


@pytest.fixture(scope="module")
def ranges(calibrated, params, batch):
    return calibrated(params, stacked(batch.inputs))


@pytest.fixture(scope="module")
def quantized(built, points):
    """``quantized(params, ranges, act_bits, inputs)``, bits one after the other in one program."""
    apply = with_activations(built[0], points)

    @jax.jit
    def many(params, ranges, act_bits, inputs):
        return jax.lax.map(lambda bits: apply(Quantized(params, ranges, bits), inputs), act_bits)

    return many


def stacked(*trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def pick(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


def error(outputs, truth):
    """Mean square, over that of the truth about its mean, worst over some heads."""

    def relative(name):
        a, b = getattr(outputs, name), getattr(truth, name)
        return jnp.mean(jnp.abs(a - b) ** 2) / jnp.var(b)

    return float(max(relative(name) for name in ABOUT))


@pytest.fixture(scope="module")
def entered(built, ranges, params, batch):
    """``entered(bits)``: what arrives at every point and what goes on, and the outputs."""

    @jax.jit
    def run(bits):
        at, passed = quantizing(ranges, bits), {}

        def watch(point, x):
            passed[point] = x, at(point, x)
            return passed[point][1]

        return passed, built[0](params, batch.inputs, at=watch)

    return run


@pytest.mark.parametrize("bits", [16, 32])
def test_sixteen_bits_and_more_change_nothing(entered, ranges, apply, params, batch, bits):
    """No activation, bit for bit; in another program sums may round otherwise."""
    passed, outputs = entered(bits)
    snap = jax.jit(lambda arrived: {p: quantizing(ranges, bits)(p, x) for p, x in arrived.items()})
    arrived = {point: before for point, (before, _) in passed.items()}
    chex.assert_trees_all_equal(snap(arrived), arrived)
    truth = apply(params, batch.inputs)
    chex.assert_trees_all_close(outputs, truth, rtol=1e-4, atol=1e-4)


def test_error_shrinks_with_the_bits_and_is_small_at_eight(quantized, apply, params, ranges, batch):
    truth = apply(params, batch.inputs)
    many = quantized(params, ranges, BITS, batch.inputs)
    errors = [error(pick(many, i), truth) for i in range(4)]
    assert errors[0] > 4 * errors[1] > 16 * errors[2] > 64 * errors[3] > 0
    assert errors[3] < 1e-3


def test_vmap_over_bits_is_one_by_one(built, params, ranges, batch, quantized):
    """But for ties that rounding in the sums before them turns: a step of one of many entries."""

    @jax.jit
    @jax.vmap
    def together(bits):
        return built[0](params, batch.inputs, at=quantizing(ranges, bits))

    many, in_turn = together(BITS), quantized(params, ranges, BITS, batch.inputs)
    truth = pick(in_turn, 5)
    for i in range(4):
        one = pick(in_turn, i)
        assert error(pick(many, i), one) < 0.05 * error(one, truth)
    chex.assert_trees_all_close(pick(many, 4), truth, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_dynamic_ranges_are_static_ones_of_the_same_batch(built, params, points, batch):
    """Calibrated by min-max, with quantization in force before each point: bit for bit."""
    apply, dynamic = built[0], quantizing_dynamically(points, 4)

    @jax.jit
    def both(params, inputs):
        ranges = calibrate_activations(
            apply, params, stacked(inputs), points, compress.min_max_range, at=dynamic
        )
        return (
            apply(params, inputs, at=dynamic),
            apply(params, inputs, at=quantizing(ranges, 4)),
            apply(params, inputs),
        )

    of_batch, calibrated, exact = both(params, batch.inputs)
    chex.assert_trees_all_close(of_batch, calibrated, rtol=1e-4, atol=1e-4)
    assert error(calibrated, of_batch) < 1e-3 * error(exact, of_batch)


def test_activations_lie_on_grids_of_as_many_levels(entered, points):
    """What enters the products, not only what comes out; other points are left alone."""
    passed, _ = entered(3)
    for point in points:
        after = passed[point][1]
        assert 4 < np.unique(after).size <= 8
        assert bool(jnp.any(after == 0))
    others = set(passed) - set(points)
    assert others == {"block_0/attention/share", "block_0/output"}
    for point in others:
        np.testing.assert_array_equal(*passed[point])


def test_gradients_pass_and_reach_no_range(built, params, ranges, points, batch):
    apply = with_activations(built[0], points)

    @jax.jit
    def slopes(params, ranges, bits):
        def total(params, ranges):
            return jnp.sum(apply(Quantized(params, ranges, bits), batch.inputs).snr_db)

        return jax.grad(total, (0, 1))(params, ranges)

    exact = jax.jit(jax.grad(lambda p: jnp.sum(built[0](p, batch.inputs).snr_db)))(params)
    to_params, to_ranges = slopes(params, ranges, 8)
    assert not any(bool(g) for g in jax.tree.leaves(to_ranges))
    for branch, layer in (("attention", "value"), ("mlp", "up")):
        a, b = (tree["block_0"][branch][layer]["kernel"].ravel() for tree in (to_params, exact))
        assert float(a @ b) > 0.95 * float(jnp.linalg.norm(a) * jnp.linalg.norm(b))
    to_params, _ = slopes(params, ranges, 32)
    chex.assert_trees_all_close(to_params, exact, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_how_the_stream_is_split_makes_no_difference(built, params, points, calibrated, batch):
    """Batches one after the other, in one program, and all frames at once: the same extremes."""
    apply = built[0]
    halves = [jax.tree.map(lambda x, s=s: x[s], batch.inputs) for s in (slice(16), slice(16, 32))]
    together = calibrated(params, stacked(*halves))
    step = jax.jit(functools.partial(observe_activations, apply))
    seen = observe_nothing_at(points, 64)
    for half in halves:
        seen = step(params, half, seen)
    chex.assert_trees_all_close(compress.calibrate(seen, compress.min_max_range), together)
    whole = calibrated(params, stacked(batch.inputs))
    chex.assert_trees_all_close(whole, together, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_calibrates_many_configurations_and_bits_in_one_program(built, params, points, batch):
    others = stacked(params, jax.tree.map(lambda w: 0.5 * w, params))
    batches = stacked(batch.inputs)

    @jax.jit
    def calibrate(params, bits):
        rule = functools.partial(compress.mse_range, bits=bits)
        return calibrate_activations(built[0], params, batches, points, rule)

    many = jax.jit(jax.vmap(calibrate))(others, jnp.array([2, 8]))
    for i, bits in enumerate((2, 8)):
        one = calibrate(pick(others, i), bits)
        chex.assert_trees_all_close(pick(many, i), one, rtol=0.1, atol=1e-3)
    assert set(many) == set(points)
    assert many["block_0/mlp/input"].high[0] != many["block_0/mlp/input"].high[1]


@pytest.mark.parametrize("rule", ["min-max", "mse"])
def test_ranges_of_another_scale_are_worse(built, params, points, quantized, apply, batch, rule):
    """Calibrated on the same frames, a hundredth as strong: what the tokens share is left."""
    best = functools.partial(compress.mse_range, bits=8)
    rule = {"min-max": compress.min_max_range, "mse": best}[rule]
    run = jax.jit(lambda i: calibrate_activations(built[0], params, i, points, rule))
    weak = batch.inputs._replace(views=jax.tree.map(lambda x: 0.01 * x, batch.inputs.views))
    truth = apply(params, batch.inputs)
    right, wrong = (
        error(pick(quantized(params, found, BITS, batch.inputs), 3), truth)
        for found in (run(stacked(batch.inputs)), run(stacked(weak)))
    )
    assert wrong > 2 * right


def test_bad_calls_are_one_line(built, params, points, ranges, batch):
    apply = built[0]
    empty = jax.tree.map(lambda x: x[None][:0], batch.inputs)
    with pytest.raises(ValueError, match=r"^calibration needs activations: there are no batches$"):
        calibrate_activations(apply, params, empty, points, compress.min_max_range)
    with pytest.raises(ValueError, match=r"no point was observed$"):
        calibrate_activations(apply, params, stacked(batch.inputs), (), compress.min_max_range)
    fewer = {point: ranges[point] for point in points[1:]}
    with pytest.raises(ValueError, match=r"exactly the model's points.*block_0/attention/input"):
        with_activations(apply, points)(Quantized(params, fewer, 8), batch.inputs)
    with pytest.raises(ValueError, match="bits must be 2 to 8"):
        jax.eval_shape(lambda p: apply(p, batch.inputs, at=quantizing(ranges, 12)), params)
