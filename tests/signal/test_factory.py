"""The factory hall: what its links are drawn from."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from wfm_jax.signal.factory import FACTORY_HALL, FactoryHall
from wfm_jax.signal.link import LinkConfig

N = 50_000
HALL = FactoryHall(k_db_range=(-2.0, 9.0), rayleigh_fraction=0.3)


def ks(samples, cdf):
    """sqrt(n) D: beyond 2.6 with a probability of 3e-6."""
    return np.sqrt(samples.size) * stats.kstest(samples, cdf).statistic


@pytest.fixture(scope="module")
def drawn():
    draw = jax.jit(FactoryHall.draw, static_argnames=("self", "batch_size"))
    return jax.tree.map(np.asarray, draw(HALL, key=jax.random.key(4), batch_size=N))


def test_los_and_k_follow_the_scenario(drawn):
    los, k_linear = drawn.los, drawn.profile.k_linear
    assert abs((los.mean() - 0.7) / np.sqrt(0.21 / N)) < 5
    np.testing.assert_array_equal(np.isnan(drawn.k_db), ~los)
    assert ks(drawn.k_db[los], stats.uniform(-2, 11).cdf) < 2.6
    np.testing.assert_allclose(k_linear[los], 10 ** (drawn.k_db[los] / 10), rtol=1e-5)
    np.testing.assert_array_equal(k_linear[~los], 0)


def test_scattered_powers_decay_at_the_drawn_rate(drawn):
    powers = drawn.profile.scattered.astype(np.float64)
    assert powers.shape == (N, 10)
    np.testing.assert_allclose(powers.sum(-1), 1, rtol=1e-5)
    decay_s = 50e-9 / np.log(powers[:, 0] / powers[:, 1])
    ratio = np.exp(-50e-9 / decay_s)[:, None]
    np.testing.assert_allclose(powers[:, 1:] / powers[:, :-1], ratio.repeat(9, 1), rtol=1e-4)
    assert np.all((decay_s >= 19.99e-9) & (decay_s <= 120.01e-9))
    inside = stats.norm(np.log10(55e-9), 0.17)
    for edge_s in (25e-9, 40e-9, 55e-9, 80e-9, 110e-9):
        p = inside.cdf(np.log10(edge_s))
        assert abs(np.mean(decay_s < edge_s) - p) / np.sqrt(p * (1 - p) / N) < 5


def test_rays_are_on_their_grid_with_the_los_ray_first(drawn):
    expected = np.broadcast_to(50e-9 * np.arange(10), (N, 10))
    np.testing.assert_allclose(drawn.profile.delays_s, expected, rtol=1e-6)
    np.testing.assert_array_equal(drawn.profile.specular, np.eye(1, 10).repeat(N, 0))
    assert HALL.longest_delay_s == pytest.approx(450e-9)
    assert HALL.delay_grid_s == 50e-9


def test_motion(drawn):
    speed_m_s = drawn.doppler_hz * 299_792_458 / 3.7e9
    assert ks(speed_m_s, stats.uniform(0.5, 1).cdf) < 2.6
    assert ks(drawn.arrival_rad, stats.uniform(0, 2 * np.pi).cdf) < 2.6
    np.testing.assert_array_equal(drawn.path_loss_db, 0.0)


def test_what_is_drawn_is_independent(drawn):
    los = drawn.los
    columns = np.stack(
        [drawn.k_db, drawn.profile.scattered[:, 0], drawn.doppler_hz, drawn.arrival_rad]
    )[:, los]
    correlation = np.corrcoef(columns) - np.eye(4)
    assert np.abs(correlation).max() * np.sqrt(los.sum()) < 5
    for column in (drawn.profile.scattered[:, 0], drawn.doppler_hz, drawn.arrival_rad):
        assert abs(np.corrcoef(column, los)[0, 1]) * np.sqrt(N) < 5


def test_extremes_of_the_rayleigh_fraction():
    for fraction, los in ((0.0, True), (1.0, False)):
        hall = dataclasses.replace(FACTORY_HALL, rayleigh_fraction=fraction)
        drawn = hall.draw(key=jax.random.key(0), batch_size=1000)
        np.testing.assert_array_equal(drawn.los, los)


def test_copies_are_hashable_and_make_links():
    hall = dataclasses.replace(FACTORY_HALL, n_rays=3, ray_spacing_s=100e-9)
    assert hash(hall) == hash(dataclasses.replace(hall)) != hash(FACTORY_HALL)
    on_grid = LinkConfig(scenario=hall)
    assert (on_grid.n_filter, on_grid.n_taps) == (0, 1 + 2 * 2 + 6)
    with pytest.warns(UserWarning, match="by 9 samples"):  # 3 samples, 16 of the filter, 6 of time
        off_grid = LinkConfig(scenario=hall, sample_rate_hz=15e6)
    assert (off_grid.n_filter, off_grid.n_taps) == (8, 1 + 3 + 16 + 6)


def test_vmap_over_keys_is_a_loop():
    keys = jax.random.split(jax.random.key(3), 3)

    def draw(key):
        return FACTORY_HALL.draw(key=key, batch_size=4)

    together = jax.jit(jax.vmap(draw))(keys)
    loop = jax.tree.map(lambda *x: jnp.stack(x), *(jax.jit(draw)(key) for key in keys))
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(loop), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize(
    "name, value",
    [
        ("rayleigh_fraction", 1.1),
        ("rayleigh_fraction", -0.1),
        ("rayleigh_fraction", np.nan),
        ("k_db_range", (3.0, -3.0)),
        ("k_db_range", (np.nan, 3.0)),
        ("decay_range_s", (0.0, 1e-7)),
        ("decay_range_s", (2e-7, 1e-7)),
        ("decay_median_s", 0.0),
        ("decay_std_decades", -0.1),
        ("speed_range_m_s", (2.0, 1.0)),
        ("speed_range_m_s", (-2.0, 1.0)),
        ("carrier_hz", 0.0),
        ("n_rays", 0),
        ("ray_spacing_s", 0.0),
    ],
)
def test_bad_fields_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name} must") as error:
        FactoryHall(**{name: value})
    assert "\n" not in str(error.value)
