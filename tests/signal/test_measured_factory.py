"""The measured factory: its formulas written out again, and the joint statistics of its draws."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from wfm_jax.signal import large_scale, measured_factory, profiles
from wfm_jax.signal.measured_factory import NUREMBERG, MeasuredFactory

N = 40_000
CEILING = dataclasses.replace(NUREMBERG, access_point_height_m=6.0)


@functools.cache
def draw(factory, seed=0):
    """Not jitted: a compile for each scenario would take most of the time."""
    return jax.tree.map(np.asarray, factory.draw(key=jax.random.key(seed), batch_size=N))


@pytest.mark.parametrize("h", [1.5, 6.0])
@pytest.mark.parametrize("f", [2.37, 3.7, 5.4])
def test_statistics_are_those_of_the_source(f, h):
    factory = MeasuredFactory(access_point_height_m=h, carrier_hz=f * 1e9)
    f, h = np.log10(f), np.log10(h)
    got = factory.with_los
    assert got.lg_delay_spread_mean == pytest.approx(-8.3 + 1.26 * f + 0.49 * h)
    assert got.lg_delay_spread_std == pytest.approx(0.09 + 0.07 * f)
    assert got.k_mean_db == pytest.approx(7.8 - 7.3 * f - 7.7 * h)
    assert got.k_std_db == pytest.approx(1.8 + 2.6 * f)
    got = factory.without_los
    assert got.lg_delay_spread_mean == pytest.approx(-8.19 + 1.37 * f + 0.3 * h)
    assert got.lg_delay_spread_std == pytest.approx(0.11)
    assert got.k_mean_db == pytest.approx(4.22 - 11.7 * f - 3.31 * h)
    assert got.k_std_db == pytest.approx(1.1 + 2.23 * f)


def test_k_is_far_below_3gpps_seven_db():
    assert abs(NUREMBERG.with_los.k_mean_db - 2.3) < 0.05
    assert abs(CEILING.with_los.k_mean_db + 2.3) < 0.05
    assert 10**NUREMBERG.with_los.lg_delay_spread_mean == pytest.approx(31.8e-9, rel=2e-3)
    assert 10**NUREMBERG.without_los.lg_delay_spread_mean == pytest.approx(43.8e-9, rel=2e-3)


def test_los_probability():
    for d in (5.0, 20.0, 150.0):
        got = measured_factory.los_probability(NUREMBERG, d)
        np.testing.assert_allclose(got, np.exp(-(d + 20) / 80) * np.exp(-0.7), rtol=1e-5)
        got = measured_factory.los_probability(CEILING, d)
        np.testing.assert_allclose(got, np.exp(-(d + 20) / 80) * np.exp(0.2), rtol=1e-5)
    highest = dataclasses.replace(NUREMBERG, access_point_height_m=10.0)
    got = measured_factory.los_probability(highest, np.asarray([5.0, 59.0, 61.0], np.float32))
    np.testing.assert_allclose(got, [1.0, 1.0, np.exp(-1 / 80)], rtol=1e-5)


def test_path_loss():
    f = np.log10(3.7)
    for d in (5.0, 20.0, 150.0):
        los, nlos = (measured_factory.path_loss_db(NUREMBERG, d, x) for x in (True, False))
        np.testing.assert_allclose(los, 36.3 + 18.3 * np.log10(d) + 19.5 * f, rtol=1e-6)
        np.testing.assert_allclose(nlos, 29.1 + 25.4 * np.log10(d) + 25.4 * f, rtol=1e-6)
        assert nlos > los


def check_joint(statistics, k_db, lg_spread, shadowing_db):
    """Normal margins, and the three correlations by Fisher's transform."""
    s = statistics
    for x, mean, std in (
        (k_db, s.k_mean_db, s.k_std_db),
        (lg_spread, s.lg_delay_spread_mean, s.lg_delay_spread_std),
        (shadowing_db, 0.0, s.shadowing_std_db),
    ):
        assert np.sqrt(x.size) * stats.kstest(x, stats.norm(mean, std).cdf).statistic < 2.6
        assert abs(x.mean() - mean) / std * np.sqrt(x.size) < 5
        assert abs(x.var() / std**2 - 1) / np.sqrt(2 / x.size) < 5
    for x, y, rho in (
        (k_db, lg_spread, s.k_delay_spread),
        (lg_spread, shadowing_db, s.delay_spread_shadowing),
        (k_db, shadowing_db, s.k_shadowing),
    ):
        found = np.corrcoef(x, y)[0, 1]
        assert abs(np.arctanh(found) - np.arctanh(rho)) * np.sqrt(x.size - 3) < 5


@pytest.mark.parametrize("factory", [NUREMBERG, CEILING])
@pytest.mark.parametrize("los", [True, False])
def test_delay_spread_k_and_shadowing_are_drawn_jointly(factory, los):
    limits = large_scale.Limits(16, 0.2, highest_k_db=60.0, clip_std=8.0)
    drawn = large_scale.draw(
        jnp.full(N, los), factory.with_los, factory.without_los, limits, key=jax.random.key(1)
    )
    k_linear, spread_s, shadowing_db = (
        np.asarray(x, np.float64)
        for x in (drawn.k_linear, drawn.delay_spread_s, drawn.shadowing_db)
    )
    statistics = factory.with_los if los else factory.without_los
    check_joint(statistics, 10 * np.log10(k_linear), np.log10(spread_s), shadowing_db)
    expected = (-0.7, -0.3, 0.4) if los else (-0.6, 0.4, 0.0)
    s = statistics
    assert (s.k_delay_spread, s.delay_spread_shadowing, s.k_shadowing) == expected


def test_shadowing_is_a_gain():
    """Under a ceiling of 10 m all links of 50 m have a line of sight: the path loss has shadowing's
    correlations the other way round, and its mean is the formula's."""
    factory = MeasuredFactory(
        access_point_height_m=10.0, distance_range_m=(50.0, 50.0), clip_std=8.0, highest_k_db=60.0
    )
    drawn = draw(factory)
    loss_db = float(measured_factory.path_loss_db(factory, np.hypot(50.0, 8.5), True))
    lg_spread = np.log10(np.asarray(profiles.rms_delay_spread_s(drawn.profile), np.float64))
    check_joint(factory.with_los, drawn.k_db, lg_spread, loss_db - drawn.path_loss_db)


def test_links_are_a_mixture_at_a_distance():
    """Both kinds have a K; flag and mean loss tell their shares."""
    factory = dataclasses.replace(CEILING, distance_range_m=(100.0, 100.0))
    drawn = draw(factory)
    p = np.exp(-120 / 80) * np.exp(0.2)
    assert abs(drawn.los.mean() - p) / np.sqrt(p * (1 - p) / N) < 5
    assert np.all(np.isfinite(drawn.k_db))
    distance_3d_m = np.hypot(100.0, 4.5)
    los_db, nlos_db = (
        float(measured_factory.path_loss_db(factory, distance_3d_m, x)) for x in (True, False)
    )
    mean = p * los_db + (1 - p) * nlos_db
    x = drawn.path_loss_db.astype(np.float64)
    assert abs(x.mean() - mean) / (x.std() / np.sqrt(N)) < 5
    k_mean = p * factory.with_los.k_mean_db + (1 - p) * factory.without_los.k_mean_db
    assert abs(drawn.k_db.mean() - k_mean) / (drawn.k_db.std() / np.sqrt(N)) < 5


@pytest.mark.parametrize(
    "factory",
    [
        NUREMBERG,
        CEILING,
        dataclasses.replace(NUREMBERG, carrier_hz=2e9),
        dataclasses.replace(NUREMBERG, carrier_hz=6e9, access_point_height_m=10.0),
        dataclasses.replace(NUREMBERG, highest_k_db=0.0, clip_std=1.0),
    ],
)
def test_no_ray_arrives_after_the_longest_delay(factory):
    drawn = draw(factory)
    longest = drawn.profile.delays_s.max()
    assert 0.8 * factory.longest_delay_s < longest <= factory.longest_delay_s
    assert factory.longest_delay_s < 2.5e-6
    assert factory.delay_grid_s is None
    assert drawn.k_db.max() < factory.highest_k_db + 1e-3


def test_a_draw_is_its_key_and_vmap_is_a_loop():
    keys = jax.random.split(jax.random.key(5), 3)

    def of_key(key):
        return NUREMBERG.draw(key=key, batch_size=64)

    together, alone = jax.jit(jax.vmap(of_key))(keys), jax.jit(of_key)
    for i in range(3):
        first, again = alone(keys[i]), alone(keys[i])
        jax.tree.map(np.testing.assert_array_equal, first, again)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x[i], y, rtol=1e-5), together, first)
    assert np.all(together.path_loss_db[0] != together.path_loss_db[1])


def test_hashable_and_through_json():
    fields = json.loads(json.dumps(dataclasses.asdict(CEILING)))
    again = MeasuredFactory(
        **{name: tuple(x) if isinstance(x, list) else x for name, x in fields.items()}
    )
    assert again == CEILING
    assert hash(again) == hash(CEILING)


@pytest.mark.parametrize(
    "name, value",
    [
        ("access_point_height_m", 0.5),
        ("access_point_height_m", 11.0),
        ("access_point_height_m", np.nan),
        ("user_height_m", 0.5),
        ("user_height_m", 4.0),
        ("carrier_hz", 1.9e9),
        ("carrier_hz", 28e9),
        ("carrier_hz", np.nan),
        ("distance_range_m", (1.0, 20.0)),
        ("distance_range_m", (5.0, 151.0)),
        ("distance_range_m", (20.0, 10.0)),
        ("distance_range_m", (5.0, np.nan)),
        ("speed_range_m_s", (-1.0, 1.0)),
        ("speed_range_m_s", (0.0, np.inf)),
        ("highest_k_db", np.inf),
        ("clip_std", -1.0),
        ("n_rays", 1),
        ("ray_spacing", np.inf),
    ],
)
def test_bad_field_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(NUREMBERG, **{name: value})
