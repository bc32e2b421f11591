"""The indoor factory of TR 38.901: its formulas written out again, the statistics of its draws."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from wfm_jax.signal import inf, large_scale, profiles
from wfm_jax.signal.inf import INF_DH, INF_DL, INF_HH, INF_SH, INF_SL, InfHall

HALLS = (INF_SL, INF_DL, INF_SH, INF_DH, INF_HH)
by_name = pytest.mark.parametrize("hall", HALLS, ids=lambda hall: hall.sub_scenario)
N = 40_000


@functools.cache
def draw(hall, seed=0):
    """Not jitted: a compile for each scenario would take most of the time."""
    return jax.tree.map(np.asarray, hall.draw(key=jax.random.key(seed), batch_size=N))


def all_los(**changes):
    """A hall whose links all have a line of sight."""
    return dataclasses.replace(INF_HH, **changes)


def z_of_mean(samples, mean, std):
    return (samples.mean() - mean) / (std / np.sqrt(samples.size))


def z_of_variance(samples, std):
    """Of a normal's variance about its sample mean."""
    return (samples.var() / std**2 - 1) / np.sqrt(2 / samples.size)


def test_medians_of_the_delay_spread():
    """52.7 / 55.2 ns in the small hall, 59.0 / 61.1 ns in the large one."""
    for hall, los_ns, nlos_ns in ((INF_SL, 52.7, 55.2), (INF_DH, 52.7, 55.2),
                                  (INF_DL, 59.0, 61.1), (INF_SH, 59.0, 61.1)):  # fmt: skip
        mean, std = inf.delay_spread_parameters(hall, True)
        assert abs(1e9 * 10**mean - los_ns) < 0.06
        assert std == 0.15
        mean, std = inf.delay_spread_parameters(hall, False)
        assert abs(1e9 * 10**mean - nlos_ns) < 0.06
        assert std == 0.19


def test_delay_spread_of_a_cube():
    """V/S of a cube is a sixth of its edge."""
    cube = dataclasses.replace(
        INF_SL, length_m=12.0, width_m=12.0, height_m=12.0, distance_range_m=(1.0, 12.0)
    )
    assert inf.delay_spread_parameters(cube, True)[0] == pytest.approx(np.log10(66) - 9.35)
    assert inf.delay_spread_parameters(cube, False)[0] == pytest.approx(np.log10(92) - 9.44)


@pytest.mark.parametrize("distance_m", [1.0, 10.0, 33.0, 120.0])
def test_los_probability(distance_m):
    expected = {
        "SL": np.exp(distance_m * np.log(0.8) / 10),
        "DL": np.exp(distance_m * np.log(0.4) / 2),
        "SH": np.exp(distance_m * np.log(0.8) / 10 * 0.5 / 6.5),
        "DH": np.exp(distance_m * np.log(0.4) / 2 * 4.5 / 6.5),
        "HH": 1.0,
    }
    for hall in HALLS:
        got = inf.los_probability(hall, distance_m)
        np.testing.assert_allclose(got, expected[hall.sub_scenario], rtol=1e-4)


@pytest.mark.parametrize("carrier_hz", [3.7e9, 28e9])
@pytest.mark.parametrize("d", [1.0, 7.0, 40.0, 300.0])
def test_path_loss(d, carrier_hz):
    f = carrier_hz / 1e9
    los = 31.84 + 21.5 * np.log10(d) + 19 * np.log10(f)
    sl = max(los, 33 + 25.5 * np.log10(d) + 20 * np.log10(f))
    expected = {
        "SL": sl,
        "DL": max(sl, 18.6 + 35.7 * np.log10(d) + 20 * np.log10(f)),
        "SH": max(los, 32.4 + 23 * np.log10(d) + 20 * np.log10(f)),
        "DH": max(los, 33.63 + 21.9 * np.log10(d) + 20 * np.log10(f)),
        "HH": los,
    }
    for hall in HALLS:
        hall = dataclasses.replace(hall, carrier_hz=carrier_hz)
        np.testing.assert_allclose(inf.path_loss_db(hall, d, True), los, rtol=1e-6)
        got = inf.path_loss_db(hall, d, False)
        np.testing.assert_allclose(got, expected[hall.sub_scenario], rtol=1e-6)
        both = inf.path_loss_db(hall, jnp.asarray([d, d]), jnp.asarray([True, False]))
        np.testing.assert_allclose(both, [los, expected[hall.sub_scenario]], rtol=1e-6)


def test_nlos_is_never_below_los_and_dense_never_below_sparse():
    d = jnp.linspace(1.0, 600.0, 2000)
    for hall in HALLS:
        for carrier_hz in (0.5e9, 3.7e9, 100e9):
            hall = dataclasses.replace(hall, carrier_hz=carrier_hz)
            lost = inf.path_loss_db(hall, d, False) - inf.path_loss_db(hall, d, True)
            assert np.all(lost >= 0)
    dense = inf.path_loss_db(INF_DL, d, False) - inf.path_loss_db(INF_SL, d, False)
    assert np.all(dense >= 0)
    assert np.all(dense[d < 10] == 0)
    assert np.all(dense[d > 100] > 0)


def test_shadowing_std():
    assert [inf.shadowing_std_db(hall, True) for hall in HALLS] == [4.3] * 5
    assert [inf.shadowing_std_db(hall, False) for hall in HALLS] == [5.7, 7.2, 5.9, 4.0, 4.3]


@by_name
def test_draws_are_what_the_protocol_says(hall):
    drawn = draw(hall)
    assert drawn.profile.delays_s.shape == (N, hall.n_rays)
    for x in jax.tree.leaves(drawn):
        assert np.all(np.isfinite(x))
    np.testing.assert_array_equal(drawn.profile.delays_s[:, 0], 0)
    np.testing.assert_allclose(drawn.profile.scattered.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(drawn.profile.specular[:, 0], 1)
    np.testing.assert_array_equal(drawn.profile.specular[:, 1:], 0)
    assert hall.delay_grid_s is None
    speed = drawn.doppler_hz * 299_792_458 / hall.carrier_hz
    assert np.all((speed > 0.499) & (speed < 1.501))


@pytest.mark.parametrize("hall, distance_m", [(INF_SL, 30.0), (INF_DL, 2.0), (INF_SH, 120.0)],
                         ids=lambda x: getattr(x, "sub_scenario", None))  # fmt: skip
def test_los_share_path_loss_and_shadowing_at_a_distance(hall, distance_m):
    drawn = draw(dataclasses.replace(hall, distance_range_m=(distance_m, distance_m)))
    p = float(inf.los_probability(hall, distance_m))
    assert abs(drawn.los.mean() - p) / np.sqrt(p * (1 - p) / N) < 5
    distance_3d_m = np.hypot(distance_m, hall.base_station_height_m - hall.user_height_m)
    for los in (True, False):
        loss_db = drawn.path_loss_db[drawn.los == los]
        mean, std = inf.path_loss_db(hall, distance_3d_m, los), inf.shadowing_std_db(hall, los)
        law = stats.norm(float(mean), std)
        assert np.sqrt(loss_db.size) * stats.kstest(loss_db, law.cdf).statistic < 2.6
        assert abs(z_of_mean(loss_db, float(mean), std)) < 5
        assert abs(z_of_variance(loss_db, std)) < 5
        # Table 7.5-6: shadowing knows nothing of the delay spread.
        spread = np.asarray(profiles.rms_delay_spread_s(drawn.profile))[drawn.los == los]
        correlation = np.corrcoef(loss_db, np.log10(spread))[0, 1]
        assert abs(np.arctanh(correlation)) * np.sqrt(loss_db.size - 3) < 5


def test_distances_are_uniform():
    """All links with a line of sight and no shadowing: the loss tells the distance."""
    drawn = draw(all_los(los_shadowing_std_db=0.0, distance_range_m=(20.0, 140.0)))
    lg = (drawn.path_loss_db - 31.84 - 19 * np.log10(3.7)) / 21.5
    distance_m = np.sqrt(10 ** (2 * lg.astype(np.float64)) - 5.0**2)
    law = stats.uniform(20, 120)
    assert np.sqrt(N) * stats.kstest(distance_m, law.cdf).statistic < 2.6


def test_rayleigh_links_have_the_delay_spread_of_the_table():
    drawn = draw(INF_DL)
    nlos = ~drawn.los
    np.testing.assert_array_equal(drawn.profile.k_linear[nlos], 0)
    np.testing.assert_array_equal(np.isnan(drawn.k_db), nlos)
    mean, std = inf.delay_spread_parameters(INF_DL, False)
    lg = np.log10(np.asarray(profiles.rms_delay_spread_s(drawn.profile))[nlos])
    assert np.sqrt(lg.size) * stats.kstest(lg, stats.norm(mean, std).cdf).statistic < 2.6
    # Three standard deviations and no more: the clipped normal's std is 0.9975 of the normal's.
    assert abs(z_of_mean(lg, mean, std)) < 5
    assert abs(z_of_variance(lg, 0.9975 * std)) < 5
    assert lg.min() > mean - 3.001 * std
    assert lg.max() < mean + 3.001 * std


def test_k_is_normal_up_to_its_limit():
    k_db = draw(all_los()).k_db

    grid = np.linspace(-8, 8, 160_001)
    weight = stats.norm.pdf(grid) * (grid[1] - grid[0])
    values = np.minimum(7 + 8 * np.clip(grid, -3, 3), 23)
    mean = weight @ values
    variance = weight @ (values - mean) ** 2
    fourth = weight @ (values - mean) ** 4
    assert abs(mean - 6.93) < 0.01
    assert abs(z_of_mean(k_db, mean, np.sqrt(variance))) < 5
    z = ((k_db - mean) ** 2).mean() - variance
    assert abs(z) / np.sqrt((fourth - variance**2) / N) < 5
    share = stats.norm.sf(2)
    at_limit = k_db > 22.999
    assert abs(at_limit.mean() - share) / np.sqrt(share * (1 - share) / N) < 5
    assert k_db.max() < 23.001
    below = np.sort(k_db[~at_limit])
    law = stats.truncnorm(-np.inf, 2, 7, 8)
    assert np.sqrt(below.size) * stats.kstest(below, law.cdf).statistic < 2.6


def test_k_and_delay_spread_are_correlated():
    """-0.7 without limits, by Fisher's transform; with them the residual is what it should be."""
    mean, std = inf.delay_spread_parameters(INF_HH, True)
    free = draw(all_los(highest_k_db=60.0, clip_std=8.0))
    lg = np.log10(np.asarray(profiles.rms_delay_spread_s(free.profile), np.float64))
    correlation = np.corrcoef(free.k_db, lg)[0, 1]
    assert abs(np.arctanh(correlation) - np.arctanh(-0.7)) * np.sqrt(N - 3) < 5
    assert abs(z_of_mean(lg, mean, std)) < 5
    assert abs(z_of_variance(lg, std)) < 5
    assert abs(z_of_mean(free.k_db, 7, 8)) < 5
    assert abs(z_of_variance(free.k_db, 8)) < 5

    drawn = draw(INF_HH)
    lg = np.log10(np.asarray(profiles.rms_delay_spread_s(drawn.profile), np.float64))
    z_k = (drawn.k_db - 7) / 8
    residual = ((lg - mean) / std + 0.7 * z_k)[z_k < 1.99]
    law = stats.norm(0, np.sqrt(1 - 0.7**2))
    assert np.sqrt(residual.size) * stats.kstest(residual, law.cdf).statistic < 2.6


@by_name
def test_profiles_have_exactly_what_was_drawn(hall):
    limits = large_scale.Limits(hall.n_rays, hall.ray_spacing, hall.highest_k_db, hall.clip_std)
    los = jnp.arange(5000) % 2 == 0
    drawn = large_scale.draw(los, hall.with_los, hall.without_los, limits, key=jax.random.key(1))
    profile = large_scale.exponential_profiles(drawn, limits)
    realised = profiles.rms_delay_spread_s(profile)
    np.testing.assert_allclose(realised, drawn.delay_spread_s, rtol=1e-5)
    np.testing.assert_array_equal(profile.k_linear, drawn.k_linear)
    np.testing.assert_array_equal(drawn.k_linear > 0, los)
    # Exponential: the ratio of neighbours is the same throughout.
    ratio = np.asarray(profile.scattered[:, 1:] / profile.scattered[:, :-1])
    np.testing.assert_allclose(ratio, np.exp(-hall.ray_spacing), rtol=1e-4)


@pytest.mark.parametrize(
    "hall",
    [
        *HALLS,
        dataclasses.replace(INF_SH, highest_k_db=20.0),
        dataclasses.replace(INF_SH, highest_k_db=0.0, clip_std=1.0),
        dataclasses.replace(INF_SH, highest_k_db=-40.0, n_rays=2),
        dataclasses.replace(INF_SH, k_delay_spread_correlation=0.0, ray_spacing=1.0),
        dataclasses.replace(INF_SH, k_std_db=0.0, k_delay_spread_correlation=-0.99),
        dataclasses.replace(INF_SH, k_std_db=0.1),
    ],
)
def test_no_ray_arrives_after_the_longest_delay(hall):
    """And the bound is near: extreme normals, limited as in a draw, reach it."""
    assert draw(hall).profile.delays_s.max() <= hall.longest_delay_s

    reached = 0.0
    limits = large_scale.Limits(hall.n_rays, hall.ray_spacing, hall.highest_k_db, hall.clip_std)
    for s in (hall.with_los, hall.without_los)[: 1 if hall is INF_HH else 2]:
        z = np.linspace(-hall.clip_std, hall.clip_std, 4001)
        k_db = np.minimum(s.k_mean_db + s.k_std_db * z, hall.highest_k_db)
        rho = s.k_delay_spread
        normal = rho * z + np.sqrt(1 - rho**2) * hall.clip_std
        spread_s = 10 ** (s.lg_delay_spread_mean + s.lg_delay_spread_std * normal)
        extreme = large_scale.Draw(
            jnp.asarray(spread_s, jnp.float32),
            jnp.asarray(10 ** (k_db / 10), jnp.float32),
            jnp.zeros(z.size),
        )
        profile = large_scale.exponential_profiles(extreme, limits)
        reached = max(reached, float(profile.delays_s.max()))
    assert 0.99 * hall.longest_delay_s < reached <= hall.longest_delay_s


def test_longest_delay_is_some_microseconds():
    assert all(1e-6 < hall.longest_delay_s < 3.1e-6 for hall in HALLS)
    assert dataclasses.replace(INF_SH, highest_k_db=20.0).longest_delay_s < 2.4e-6


def test_a_draw_is_its_key_jitted_or_not_and_vmap_is_a_loop():
    keys = jax.random.split(jax.random.key(5), 3)

    def of_key(key):
        return INF_SL.draw(key=key, batch_size=64)

    together, jitted = jax.jit(jax.vmap(of_key))(keys), jax.jit(of_key)
    for i in range(3):
        first, again = jitted(keys[i]), jitted(keys[i])
        jax.tree.map(np.testing.assert_array_equal, first, again)
        for other in (jax.tree.map(lambda x: x[i], together), of_key(keys[i])):
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), first, other)
    assert np.all(together.path_loss_db[0] != together.path_loss_db[1])


@by_name
def test_hashable_and_through_json(hall):
    fields = json.loads(json.dumps(dataclasses.asdict(hall)))
    again = InfHall(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
    assert again == hall
    assert hash(again) == hash(hall)


@pytest.mark.parametrize(
    "name, value",
    [
        ("sub_scenario", "XX"),
        *((name, value) for name in ("length_m", "width_m", "height_m", "clutter_distance_m",
                                     "clutter_height_m", "base_station_height_m", "user_height_m")
          for value in (0.0, -1.0, np.nan, np.inf)),
        ("clutter_density", 0.0),
        ("clutter_density", 1.0),
        ("clutter_density", np.nan),
        ("clutter_height_m", 11.0),
        ("base_station_height_m", 11.0),
        ("base_station_height_m", 1.9),
        ("user_height_m", 2.0),
        ("distance_range_m", (20.0, 10.0)),
        ("distance_range_m", (-1.0, 10.0)),
        ("distance_range_m", (1.0, np.inf)),
        ("distance_range_m", (np.nan, 10.0)),
        ("distance_range_m", (1.0, 400.0)),
        ("carrier_hz", 0.4e9),
        ("carrier_hz", 3.7),
        ("carrier_hz", np.nan),
        ("speed_range_m_s", (2.0, 1.0)),
        ("speed_range_m_s", (-1.0, 1.0)),
        ("speed_range_m_s", (0.0, np.inf)),
        ("k_mean_db", np.nan),
        ("k_std_db", -1.0),
        ("los_shadowing_std_db", np.nan),
        ("k_delay_spread_correlation", 0.1),
        ("k_delay_spread_correlation", -1.0),
        ("k_delay_spread_correlation", np.nan),
        ("highest_k_db", np.nan),
        ("highest_k_db", np.inf),
        ("clip_std", 0.0),
        ("clip_std", np.inf),
        ("n_rays", 1),
        ("ray_spacing", 0.0),
        ("ray_spacing", np.nan),
    ],
)  # fmt: skip
def test_bad_field_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(INF_SH, **{name: value})


@pytest.mark.parametrize(
    "hall, name, value",
    [
        (INF_SL, "base_station_height_m", 2.0),
        (INF_DL, "base_station_height_m", 8.0),
        (INF_DL, "user_height_m", 7.0),
        (INF_DH, "base_station_height_m", 6.0),
        (INF_HH, "base_station_height_m", 1.5),
        (INF_HH, "user_height_m", 1.5),
        (INF_SL, "distance_range_m", (0.5, 10.0)),
    ],
)
def test_geometry_must_fit_the_sub_scenario(hall, name, value):
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(hall, **{name: value})
