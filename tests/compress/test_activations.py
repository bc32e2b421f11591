from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from wfm_jax.compress import (
    ActivationRange,
    calibrate,
    dynamic_range,
    entropy_range,
    fake_quant,
    fake_quant_activation,
    merge_observed,
    min_max_range,
    mse_range,
    observe,
    observe_nothing,
    percentile_range,
)

N = 1 << 17
GAUSS = jnp.asarray(np.random.default_rng(2).normal(size=N), jnp.float32)
RULES = {
    "min-max": min_max_range,
    "percentile": partial(percentile_range, percentile=99.9),
    "mse": partial(mse_range, bits=4),
    "entropy": partial(entropy_range, bits=4),
}
observe_more = jax.jit(observe)
seen_once = jax.jit(lambda x: observe(observe_nothing(), x))
snap = jax.jit(fake_quant_activation, static_argnames="symmetric")
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def span(low, high):
    return ActivationRange(jnp.float32(low), jnp.float32(high))


def mean_square_error(x, range_, bits, **settings):
    return float(jnp.mean((snap(x, range_, bits, **settings) - x) ** 2))


def clipping_error(threshold, sigma):
    """E (|x| - t)^2 over |x| > t of a Gaussian, in closed form."""
    z = threshold / sigma
    return 2 * (
        (sigma**2 + threshold**2) * stats.norm.sf(z) - sigma * threshold * stats.norm.pdf(z)
    )


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_zero_is_exact_and_so_are_as_many_levels_as_there_are_bits(bits, symmetric):
    x = jnp.linspace(-1.0, 3.0, 4001).at[7].set(0.0)
    snapped = fake_quant_activation(x, span(-1, 3), bits, symmetric=symmetric)
    assert float(snapped[7]) == 0
    if symmetric:
        scale = jnp.float32(3) / (2 ** (bits - 1) - 1)
        np.testing.assert_allclose(snapped, fake_quant(x, bits, scale=scale), rtol=1e-6)
    else:
        assert np.unique(np.round(np.asarray(snapped), 5)).size == 2**bits
        assert float(jnp.abs(snapped - x).max()) <= 4 / (2**bits - 1) * 1.001


@pytest.mark.parametrize("symmetric", [False, True])
def test_gradient_is_one_inside_the_range_and_zero_where_clipped(symmetric):
    x = jnp.array([-9.0, -0.9, 0.0, 0.3, 2.9, 9.0])

    def total(x, range_, bits):
        return jnp.sum(fake_quant_activation(x, range_, bits, symmetric=symmetric))

    to_x, to_range = jax.grad(total, (0, 1))(x, span(-1, 3), 4)
    np.testing.assert_array_equal(to_x, [0, 1, 1, 1, 1, 0])
    assert not any(bool(g) for g in to_range)
    np.testing.assert_array_equal(jax.grad(total)(x, span(-1, 3), 16), jnp.ones(6))
    to_itself = jax.grad(lambda x: total(x, dynamic_range(x), 8))(x)
    np.testing.assert_array_equal(to_itself[1:5], jnp.ones(4))


@pytest.mark.parametrize("symmetric", [False, True])
def test_sixteen_bits_change_nothing_and_traced_bits_are_static_ones(symmetric):
    x = GAUSS[:64].reshape(8, 8)
    over_bits = jax.vmap(partial(fake_quant_activation, symmetric=symmetric), (None, None, 0))
    many = jax.jit(over_bits)(x, dynamic_range(x / 2), jnp.array([2, 4, 8, 16, 32]))
    for i, bits in enumerate((2, 4, 8)):
        one = fake_quant_activation(x, dynamic_range(x / 2), bits, symmetric=symmetric)
        np.testing.assert_array_equal(many[i], one)
    np.testing.assert_array_equal(many[3], x)
    np.testing.assert_array_equal(many[4], x)


def test_keeps_dtype_and_shows_nan():
    x = GAUSS[:8].astype(jnp.bfloat16).at[3].set(jnp.nan)
    snapped = fake_quant_activation(x, span(-1, 1), 8)
    assert snapped.dtype == jnp.bfloat16
    assert jnp.isnan(snapped).tolist() == [i == 3 for i in range(8)]
    with pytest.raises(ValueError, match="bits must be 2 to 8"):
        fake_quant_activation(x, span(-1, 1), 12)


def test_a_range_of_nothing_gives_zeros():
    for symmetric in (False, True):
        snapped = fake_quant_activation(GAUSS[:9], span(0, 0), 4, symmetric=symmetric)
        assert not bool(snapped.any())


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 9999),
    exponents=st.lists(st.integers(-140, 120), min_size=1, max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_how_a_stream_is_split_and_merged_makes_no_difference(seed, exponents, order):
    """In no count, and over almost all of float32's range: one pass over all is the reference."""
    rng = np.random.default_rng(seed)
    batches = [rng.normal(size=16).astype(np.float32) * np.float32(2.0**e) for e in exponents]
    batches[0][:3] = 0.0, -0.0, 1.0
    whole = seen_once(jnp.concatenate([jnp.asarray(b) for b in batches]))
    parts = [seen_once(jnp.asarray(b)) for b in batches]
    order.shuffle(parts)
    merged = observe_nothing()
    for part in parts:
        merged = merge_observed(part, merged)
    in_turn = observe_nothing()
    for b in batches:
        in_turn = observe_more(in_turn, jnp.asarray(b))
    chex.assert_trees_all_equal(merged, whole)
    chex.assert_trees_all_equal(in_turn, whole)
    assert int(whole.counts.sum()) == 16 * len(exponents)


def test_the_histogram_is_that_of_numpy():
    x = np.concatenate([np.asarray(GAUSS) * 3, [2.0, -2.0, 0.0, -0.0]]).astype(np.float32)
    seen = observe(observe_nothing(64), jnp.asarray(x))
    limit = 2.0 ** int(seen.exponent)
    assert limit / 2 <= np.abs(x).max() < limit
    expected, _ = np.histogram(x, np.linspace(-limit, limit, 65))
    np.testing.assert_array_equal(seen.counts, expected)
    assert (float(seen.low), float(seen.high)) == (x.min(), x.max())


def test_observes_inside_scan_and_under_vmap():
    batches = GAUSS[:4096].reshape(2, 8, 256) * jnp.array([1.0, 20.0])[:, None, None]

    def stream(x):
        return jax.lax.scan(lambda seen, b: (observe(seen, b), None), observe_nothing(256), x)[0]

    many = jax.jit(jax.vmap(stream))(batches)
    for i in range(2):
        one = observe(observe_nothing(256), batches[i])
        chex.assert_trees_all_equal(jax.tree.map(lambda leaf, i=i: leaf[i], many), one)


def test_rejects_bad_histograms():
    with pytest.raises(ValueError, match="n_bins must be even and at least 2, got 7"):
        observe_nothing(7)
    with pytest.raises(ValueError, match="histograms of 8 and 16 bins do not merge"):
        merge_observed(observe_nothing(8), observe_nothing(16))


@every_rule
def test_calibration_without_data_is_an_error(rule):
    with pytest.raises(ValueError, match=r"^calibration needs activations: none were observed$"):
        rule(observe_nothing())
    with pytest.raises(ValueError, match=r"^block_1/mlp: calibration needs activations"):
        calibrate({"block_0/mlp": seen_once(GAUSS), "block_1/mlp": observe_nothing()}, rule)
    with pytest.raises(ValueError, match=r"^calibration needs activations: no point was observed$"):
        calibrate({}, rule)


@every_rule
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_calibration_on_what_is_not_finite_is_an_error(rule, bad):
    with pytest.raises(ValueError, match=r"^mlp: calibration needs finite activations"):
        calibrate({"mlp": observe(seen_once(GAUSS), jnp.array([1.0, bad]))}, rule)


@every_rule
def test_rules_stay_within_what_was_seen_and_run_under_jit_and_vmap(rule):
    streams = jnp.stack([GAUSS[:2048], jnp.maximum(GAUSS[:2048], 0), 0 * GAUSS[:2048]])
    seen = jax.vmap(lambda x: observe(observe_nothing(1024), x))(streams)
    many = jax.jit(jax.vmap(rule))(seen)
    for i, x in enumerate(streams):
        one = rule(observe(observe_nothing(1024), x))
        assert float(x.min()) <= float(one.low) <= 0 <= float(one.high) <= float(x.max())
        chex.assert_trees_all_close(jax.tree.map(lambda leaf, i=i: leaf[i], many), one, rtol=1e-5)
    nothing = jax.jit(rule)(observe_nothing())
    assert tuple(map(float, nothing)) == (0.0, 0.0)


def test_min_max_is_exact():
    assert min_max_range(seen_once(GAUSS)) == (GAUSS.min(), GAUSS.max())


@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.9])
def test_percentile_is_that_of_the_magnitudes(percentile):
    """Within a bin of NumPy's, on both sides of a symmetric law and on one of another."""
    width = 8 / 4096
    low, high = percentile_range(seen_once(GAUSS), percentile=percentile)
    limit = np.percentile(np.abs(GAUSS), percentile)
    assert limit <= float(high) * 1.00001
    assert float(high) <= limit + 2 * width
    assert float(low) == -float(high)
    skewed = jnp.exp(GAUSS) - 0.5
    range_ = percentile_range(seen_once(skewed), percentile=percentile)
    assert float(range_.low) == float(skewed.min())
    clipped = float((skewed > range_.high).mean())
    assert clipped == pytest.approx(1 - percentile / 100, rel=0.2)
    assert clipped <= 1 - percentile / 100 + 1e-6
    whole = percentile_range(seen_once(GAUSS), percentile=100)
    assert whole == min_max_range(seen_once(GAUSS))
    with pytest.raises(ValueError, match="percentile must be in"):
        percentile_range(seen_once(GAUSS), percentile=0)


def gaussian_error(threshold, bits):
    """Mean square error of a symmetric grid up to the threshold, by the law of each cell."""
    highest = 2 ** (bits - 1) - 1
    levels = np.arange(-highest, highest + 1) * threshold / highest
    edges = np.concatenate([[-np.inf], (levels[:-1] + levels[1:]) / 2, [np.inf]])
    inner = edges[1:-1]
    mass = np.diff(stats.norm.cdf(edges))
    mean = -np.diff(stats.norm.pdf(edges))
    square = mass - np.diff(np.concatenate([[0], inner * stats.norm.pdf(inner), [0]]))
    return np.sum(square - 2 * levels * mean + levels**2 * mass)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_mse_finds_the_best_threshold_of_a_gaussian(bits):
    best = optimize.minimize_scalar(
        partial(gaussian_error, bits=bits), bounds=(0.2, 6.0), method="bounded"
    )
    low, high = mse_range(seen_once(GAUSS), bits, symmetric=True)
    expected = float(gaussian_error(max(-low, high), bits))
    assert expected < 1.01 * best.fun
    snapped = fake_quant_activation(GAUSS, ActivationRange(low, high), bits, symmetric=True)
    squares = np.asarray(jnp.square(snapped - GAUSS), np.float64)
    assert abs(squares.mean() - expected) < 5 * squares.std() / np.sqrt(N)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_mse_is_never_worse_than_min_max(bits):
    for x in (GAUSS, jnp.maximum(GAUSS, 0), jax.nn.gelu(GAUSS), GAUSS**3):
        seen = seen_once(x)
        for symmetric in (False, True):
            range_ = mse_range(seen, bits, symmetric=symmetric)
            found = mean_square_error(x, range_, bits, symmetric=symmetric)
            whole = mean_square_error(x, min_max_range(seen), bits, symmetric=symmetric)
            assert found <= whole * 1.01
    assert mse_range(seen_once(GAUSS), 32) == min_max_range(seen_once(GAUSS))


def test_entropy_keeps_what_is_uniform_and_cuts_rare_outliers():
    uniform = jnp.asarray(np.random.default_rng(8).uniform(-1, 1, N), jnp.float32)
    low, high = entropy_range(seen_once(uniform), 8)
    assert min(-float(low), float(high)) > 0.98
    with_outliers = jnp.append(GAUSS, jnp.array([40.0, -30.0]))
    for symmetric in (False, True):
        low, high = entropy_range(seen_once(with_outliers), 8, symmetric=symmetric)
        assert 3.5 < float(high) < 6
        assert float(low) == -float(high)


def divergence_by_hand(counts, n_bins, n_levels):
    """The published procedure, bin by bin; ``n_levels`` divides ``n_bins``."""
    p = counts[:n_bins].astype(float)
    p[-1] += counts[n_bins:].sum()
    q = np.zeros(n_bins)
    for part in np.split(np.arange(n_bins), n_levels):
        filled = part[counts[part] > 0]
        q[filled] = counts[part].sum() / max(filled.size, 1)
    return stats.entropy(p[p > 0], q[p > 0])


@pytest.mark.parametrize("bits", [3, 4])
def test_entropy_is_the_published_procedure(bits):
    """The threshold found is nearly as good as the best of those that levels divide evenly."""
    x = GAUSS[: N // 8] ** 3
    seen = observe(observe_nothing(1024), x)
    width, n_levels = 2.0 ** int(seen.exponent) / 512, 2 ** (bits - 1)
    counts, _ = np.histogram(np.abs(x), width * np.arange(513))
    counts[0] = counts[1]
    used = np.flatnonzero(counts)[-1] + 1
    tried = [n for n in range(n_levels, used, n_levels) if counts[n - 1]]
    losses = [divergence_by_hand(counts, n, n_levels) for n in tried]
    _, high = entropy_range(seen, bits, symmetric=True)
    found = round(float(high) / width)
    near = [loss for n, loss in zip(tried, losses, strict=True) if abs(n - found) <= n_levels]
    assert min(near) < 1.1 * min(losses)


@pytest.mark.parametrize("rule", ["min-max", "mse"])
def test_calibration_on_the_wrong_distribution(rule):
    """Ranges from N(0, 1) used on N(0, 5^2): the clipping error of a Gaussian, and it is all.

    Beside it the error of ranges from the right distribution, which is rounding: step^2 / 12.
    """
    bits, sigma = 8, 5.0
    wide = jnp.asarray(sigma * np.random.default_rng(9).normal(size=N), jnp.float32)
    rules = {"min-max": min_max_range, "mse": partial(mse_range, bits=bits, symmetric=True)}
    wrong, right = (rules[rule](seen_once(x)) for x in (GAUSS, wide))
    limit = max(-float(wrong.low), float(wrong.high))
    assert 3.5 < limit < 5.5
    measured = mean_square_error(wide, wrong, bits, symmetric=True)
    excess = np.maximum(np.abs(np.asarray(wide, np.float64)) - limit, 0) ** 2
    standard_error = excess.std() / np.sqrt(N)
    assert abs(measured - clipping_error(limit, sigma)) < 5 * standard_error
    rightly = mean_square_error(wide, right, bits, symmetric=True)
    step = max(-float(right.low), float(right.high)) / 127
    assert rightly == pytest.approx(step**2 / 12, rel=0.15)
    assert measured > 1000 * rightly
