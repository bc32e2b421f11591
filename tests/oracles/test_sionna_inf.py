"""The indoor factory of TR 38.901 against Sionna 2.2, which has all five sub-scenarios.

Path loss, LOS probability and the parameters of delay spread, K and shadowing are compared number
by number; then both libraries draw links and two-sample tests compare what came out. The limits
that keep our delays finite (``clip_std``, ``highest_k_db``) are taken out of reach for that.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from wfm_jax.signal import inf, profiles

sionna = pytest.importorskip("sionna.phy", reason="Sionna is missing: run `make test-oracles`")
tr38901 = pytest.importorskip("sionna.phy.channel.tr38901")
torch = pytest.importorskip("torch")

HALLS = {"SL": inf.INF_SL, "DL": inf.INF_DL, "SH": inf.INF_SH, "DH": inf.INF_DH, "HH": inf.INF_HH}
LINKS = 20_000
DISTANCES_M = np.geomspace(1.0, 150.0, 40)
DELAY_SPREAD, SHADOWING, K = 0, 3, 4  # places in Sionna's vector of large-scale parameters


@pytest.fixture(params=HALLS)
def hall(request):
    return HALLS[request.param]


def sionna_scenario(hall, distances_m, los, **layout):
    """Sionna's scenario with one link of each two-dimensional distance; ``los`` as it takes it."""
    antenna = tr38901.PanelArray(
        1, 1, "single", "V", "omni", hall.carrier_hz, precision="double", device="cpu"
    )
    scenario = tr38901.InFScenario(
        hall.carrier_hz, hall.sub_scenario, antenna, antenna, "downlink", precision="double",
        device="cpu", **layout,
    )  # fmt: skip
    users = torch.zeros(len(distances_m), 1, 3, dtype=torch.float64)
    users[:, 0, 0] = torch.as_tensor(np.array(distances_m))
    users[:, 0, 2] = hall.user_height_m
    base_station = torch.zeros_like(users)
    base_station[:, 0, 2] = hall.base_station_height_m
    still = torch.zeros_like(users)
    indoors = torch.ones(len(distances_m), 1, dtype=torch.bool)
    scenario.set_topology(users, base_station, still, still, still, indoors, los=los)
    return scenario


def our_layout(hall):
    return dict(
        hall_dimensions=(hall.length_m, hall.width_m, hall.height_m),
        clutter_density=hall.clutter_density,
        clutter_size=hall.clutter_distance_m,
        clutter_height=hall.clutter_height_m,
    )


def states(hall):
    """The links that a sub-scenario has: with and without a line of sight."""
    return [True] if hall.sub_scenario == "HH" else [True, False]


def distance_3d_m(hall, distances_m):
    return np.hypot(distances_m, hall.base_station_height_m - hall.user_height_m)


@pytest.mark.parametrize("name", ["SL", "DL", "SH", "DH"])
def test_default_halls_are_those_of_the_calibration(name):
    """Sionna's own defaults; for HH the source has none and both libraries choose."""
    theirs = sionna_scenario(HALLS[name], DISTANCES_M, True)
    for key, value in our_layout(HALLS[name]).items():
        np.testing.assert_allclose(getattr(theirs, key).numpy(), value)


def test_los_probability(hall):
    theirs = sionna_scenario(hall, DISTANCES_M, True, **our_layout(hall)).los_probability
    ours = inf.los_probability(hall, DISTANCES_M)
    np.testing.assert_allclose(ours, theirs.numpy()[:, 0, 0], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("carrier_hz", [0.9e9, 3.7e9, 28e9])
def test_path_loss(hall, carrier_hz):
    hall = dataclasses.replace(hall, carrier_hz=carrier_hz)
    for los in states(hall):
        theirs = sionna_scenario(hall, DISTANCES_M, los).basic_pathloss.numpy()[:, 0, 0]
        ours = inf.path_loss_db(hall, distance_3d_m(hall, DISTANCES_M), los)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("size_m", [(120.0, 60.0, 10.0), (300.0, 150.0, 10.0), (40.0, 25.0, 8.5)])
def test_large_scale_parameters(hall, size_m):
    """Means and standard deviations of lg delay spread, K and shadowing."""
    length_m, width_m, height_m = size_m
    hall = dataclasses.replace(
        hall, length_m=length_m, width_m=width_m, height_m=height_m, distance_range_m=(1.0, 20.0)
    )
    for los in states(hall):
        theirs = sionna_scenario(hall, [10.0], los, **our_layout(hall))
        mean = theirs.lsp_log_mean.numpy()[0, 0, 0]
        std = theirs.lsp_log_std.numpy()[0, 0, 0]
        np.testing.assert_allclose(
            inf.delay_spread_parameters(hall, los), (mean[DELAY_SPREAD], std[DELAY_SPREAD]),
            rtol=1e-6,
        )  # fmt: skip
        np.testing.assert_allclose(inf.shadowing_std_db(hall, los), 10 * std[SHADOWING], rtol=1e-6)
        if los:
            ours = (hall.k_mean_db, hall.k_std_db)
            np.testing.assert_allclose(ours, (10 * mean[K], 10 * std[K]), rtol=1e-6)


def sionna_links(hall):
    """What Sionna draws for uniform distances: LOS, delay spread, K in dB, path loss, shadowed."""
    sionna.config.seed = 5
    distances_m = np.random.default_rng(5).uniform(*hall.distance_range_m, LINKS)
    scenario = sionna_scenario(hall, distances_m, "random", **our_layout(hall))
    generate = tr38901.LSPGenerator(scenario)
    generate.topology_updated_callback()
    drawn = generate()
    path_loss_db = drawn.pathloss - 10 * torch.log10(drawn.sf)
    values = (scenario.los, drawn.ds, 10 * torch.log10(drawn.k_factor), path_loss_db)
    return [value.numpy()[:, 0, 0] for value in values]


def our_links(hall):
    hall = dataclasses.replace(hall, clip_std=7.0, highest_k_db=60.0)
    drawn = jax.jit(lambda key: hall.draw(key=key, batch_size=LINKS))(jax.random.key(5))
    spread_s = profiles.rms_delay_spread_s(drawn.profile)
    k_db = 10 * jnp.log10(drawn.profile.k_linear)
    values = (drawn.los, spread_s, k_db, drawn.path_loss_db)
    return [np.asarray(value, value.dtype if value.dtype == bool else float) for value in values]


def check_same_distribution(a, b):
    """Two samples of one law: sqrt(n) D > 2.6 has probability 3e-6."""
    n = a.size * b.size / (a.size + b.size)
    assert np.sqrt(n) * stats.ks_2samp(a, b, method="asymp").statistic < 2.6


def test_drawn_links(hall):
    los, spread_s, k_db, loss_db = our_links(hall)
    their_los, their_spread_s, their_k_db, their_loss_db = sionna_links(hall)
    share, their_share = los.mean(), their_los.mean()
    error = np.sqrt((share * (1 - share) + their_share * (1 - their_share)) / LINKS)
    assert abs(share - their_share) <= 5 * error
    check_same_distribution(loss_db, their_loss_db)
    for state in states(hall):
        check_same_distribution(spread_s[los == state], their_spread_s[their_los == state])
        check_same_distribution(loss_db[los == state], their_loss_db[their_los == state])
    check_same_distribution(k_db[los], their_k_db[their_los])
    assert not np.any(np.isfinite(k_db[~los]))


def test_drawn_moments(hall):
    """Our draws against Sionna's means and standard deviations, at the distance of equal odds."""
    p = sionna_scenario(hall, [1.0], True, **our_layout(hall)).los_probability.item()
    distance_m = min(np.log(2.0) / max(-np.log(p), 1e-9), 100.0)
    at_distance = dataclasses.replace(hall, distance_range_m=(distance_m, distance_m))
    los, spread_s, k_db, loss_db = our_links(at_distance)
    for state in states(hall):
        theirs = sionna_scenario(hall, [distance_m], state, **our_layout(hall))
        mean = theirs.lsp_log_mean.numpy()[0, 0, 0]
        std = theirs.lsp_log_std.numpy()[0, 0, 0]
        drawn = los == state
        check_moments(np.log10(spread_s[drawn]), mean[DELAY_SPREAD], std[DELAY_SPREAD])
        check_moments(loss_db[drawn], theirs.basic_pathloss.item(), 10 * std[SHADOWING])
        if state:
            check_moments(k_db[drawn], 10 * mean[K], 10 * std[K])


def check_moments(samples, mean, std):
    for values, expected in ((samples, mean), ((samples - mean) ** 2, std**2)):
        error = values.std() / np.sqrt(values.size)
        assert abs(values.mean() - expected) < 5 * error


def test_correlation_of_k_and_delay_spread():
    """-0.7 in both: Fisher's transform of a correlation has the variance 1/(n-3)."""
    for links in (our_links, sionna_links):
        los, spread_s, k_db, loss_db = links(inf.INF_HH)
        assert np.all(los)
        correlation = np.corrcoef(k_db, np.log10(spread_s))[0, 1]
        assert abs(np.arctanh(correlation) - np.arctanh(-0.7)) * np.sqrt(LINKS - 3) < 5
        for values in (k_db, np.log10(spread_s)):  # and neither with the path loss
            assert abs(np.arctanh(np.corrcoef(values, loss_db)[0, 1])) * np.sqrt(LINKS - 3) < 5
