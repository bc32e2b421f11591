"""Error-rate curves: against theory, with intervals that hold, and the same in any order."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import compile_cache
from wfm_jax.evaluate import ber, ber_point, detection, estimators, frame_sums
from wfm_jax.evaluate.ber_point import COLUMNS
from wfm_jax.evaluate.ber_study import StopRule, Study, overhead
from wfm_jax.evaluate.detection import FrameCounts
from wfm_jax.evaluate.genie_theory import KDistribution, genie_rates, k_distribution
from wfm_jax.signal import receivers, theory
from wfm_jax.signal.factory import FACTORY_HALL
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.tapped_delay_line import RAYLEIGH, RICIAN, TDL_D

SMALL = LinkConfig(
    n_symbols=4,
    n_subcarriers=8,
    sample_rate_hz=5e6,
    cp_samples=0,
    pilot_symbols=(0,),
    max_timing_offset=0,
    n_sinusoids=1,
    bits_per_symbol=(2, 4),
    scenario=RICIAN,
)
RULE = StopRule(target_frame_errors=300, max_frames=2000)
STUDY = Study({"rician": SMALL}, (5.0, 15.0), 3, ("genie", "ls"), stop=RULE, batch_frames=100)
ANY_ERRORS = 10**9


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """Many tests run the same program."""
    with compile_cache.kept_in(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def rows():
    return ber.simulate(STUDY)


def point_of(study, snr_db=15.0, modulation=1):
    curve = study.curves()[modulation]
    return next(point for point in curve if point.snr_db == snr_db)


def without_time(rows):
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in rows]


def synthetic_step(fade, per_frame=200):
    """A step of frames whose bits all have one error rate, drawn by ``fade(key, n)``."""

    def step(key, snr_db, modulation):
        key_fade, key_bits = jax.random.split(key)
        rate = fade(key_fade, 64)
        wrong = jax.random.bernoulli(key_bits, rate[:, None], (64, per_frame)).sum(axis=1)
        ones = jnp.ones(64)
        return {"genie": FrameCounts(wrong, wrong, 2.0 * ones, ones, ones, ones)}

    return jax.jit(step)


# ---- the simulator against theory


@pytest.mark.parametrize("name", ["rician", "factory_hall", "tdl_d"])
def test_the_genie_is_within_five_standard_errors_of_theory(name):
    scenario = {"rician": RICIAN, "factory_hall": FACTORY_HALL, "tdl_d": TDL_D}[name]
    link = dataclasses.replace(
        SMALL,
        fft_size=16,
        sample_rate_hz=10e6,
        cp_samples=16,
        scenario=RICIAN,
        bits_per_symbol=(4,),
    )
    if name != "rician":
        link = dataclasses.replace(
            link, fft_size=64, cp_samples=40, scenario=scenario, filter_half_width=8
        )
    study = Study(
        {name: link},
        (8.0, 18.0),
        1,
        ("genie",),
        stop=StopRule(target_frame_errors=ANY_ERRORS, max_frames=2000),
        batch_frames=500,
    )
    for row in ber.simulate(study):
        for score in ("ber", "ser", "gmi"):
            assert row["frame_errors"] >= 10
            assert abs(row[f"{score}_z"]) < 5.0, (score, row)
            assert row[score] == pytest.approx(row[f"{score}_theory"], rel=0.4)


def test_theory_of_a_scenario_is_the_mean_over_its_k():
    mixed = KDistribution(np.array([-np.inf, 7.0]), np.array([0.25, 0.75]))
    rates = genie_rates(mixed, 4, [10.0, 20.0])
    ebn0_db = np.array([10.0, 20.0]) - 10.0 * np.log10(4)
    expected = 0.25 * theory.ber_rayleigh(4, ebn0_db) + 0.75 * theory.ber_rician(4, ebn0_db, 7.0)
    np.testing.assert_allclose(rates.ber, expected, rtol=1e-9)


def test_the_distribution_of_k_is_the_scenarios():
    """Hall: a fifth Rayleigh, the rest uniform over -6...20 dB (share: 5 sigma of 2^20 draws)."""
    k = k_distribution(FACTORY_HALL, key=jax.random.key(0))
    assert k.probability.sum() == pytest.approx(1.0)
    assert k.probability[k.k_db == -np.inf] == pytest.approx([0.2], abs=5 * 0.4 / 2**10)
    finite = np.isfinite(k.k_db)
    np.testing.assert_allclose(k.k_db[finite], np.linspace(-6, 20, 257)[1::2], atol=0.1)
    assert k_distribution(RAYLEIGH, key=jax.random.key(0)).k_db.tolist() == [-np.inf]
    one = k_distribution(TDL_D, key=jax.random.key(0))
    assert one.k_db == pytest.approx([TDL_D.k_db], abs=1e-5)
    assert one.probability.tolist() == [1.0]


@pytest.mark.slow
def test_receivers_rank_as_their_knowledge(rows):
    by = {(r["receiver"], r["constellation"], r["snr_db"]): r for r in rows}
    for (receiver, size, snr_db), row in by.items():
        if receiver == "ls":
            assert row["ber"] > by["genie", size, snr_db]["ber"]
            assert row["frames"] == by["genie", size, snr_db]["frames"]
            assert row["channel_nmse_db"] == pytest.approx(row["predicted_nmse_db"], abs=0.7)
            assert row["ber_z"] is None


@pytest.mark.slow
def test_every_receiver_by_name_detects():
    study = dataclasses.replace(
        STUDY, receivers=estimators.RECEIVERS, levels_db=(20.0,), stop=StopRule(max_frames=100)
    )
    rows = ber.simulate(study)
    assert [row["receiver"] for row in rows] == 2 * list(estimators.RECEIVERS)
    for row in rows:
        assert row["ber"] < 0.08
        assert row["gmi"] > 1.6


@pytest.mark.slow
def test_decisions_by_llr_are_nearest_decisions_if_maxlog_and_better_if_exact():
    def bit_errors(**kind):
        study = dataclasses.replace(
            STUDY,
            links={"r": dataclasses.replace(SMALL, bits_per_symbol=(4,))},
            levels_db=(0.0,),
            receivers=("genie",),
            stop=StopRule(target_frame_errors=ANY_ERRORS, max_frames=2000),
            batch_frames=1000,
            **kind,
        )
        return ber.simulate(study)[0]

    nearest = bit_errors()
    maxlog = bit_errors(demapping="maxlog", decisions="llr")
    exact = bit_errors(decisions="llr")
    assert maxlog["bit_errors"] == pytest.approx(nearest["bit_errors"], rel=1e-4)
    assert 0.97 < exact["bit_errors"] / nearest["bit_errors"] < 0.995
    assert maxlog["gmi"] < exact["gmi"] == nearest["gmi"]


# ---- intervals


@pytest.mark.slow
def test_intervals_hold_the_truth_and_binomial_ones_do_not():
    """200 repetitions of a point of flat Rician frames; truth is the closed form. 95 % intervals
    hold it in 90-98 % of them (3 standard deviations are 4.6 %), binomial ones in under half."""
    truth = float(theory.ber_rician(2, 7.0 - 10.0 * np.log10(2), 7.0))
    link = dataclasses.replace(SMALL, n_subcarriers=16, bits_per_symbol=(2,))
    step = detection.link_step(
        link,
        estimators.classical_estimators(link, ("genie",), key=jax.random.key(0)),
        batch_frames=200 * 300,
    )
    counts = jax.jit(step)(jax.random.key(4), jnp.float32(7.0), jnp.int32(0))["genie"]
    wrong = np.asarray(counts.bit_errors, np.float64).reshape(200, 300)
    n_bits = 2 * link.n_data
    held = binomial = 0
    for i, frames in enumerate(wrong):
        sums = frame_sums.no_frames(1)
        rng = np.random.default_rng(i)
        for batch in frames.reshape(3, 100, 1):
            weights = frame_sums.draw_weights(100, rng)
            sums = frame_sums.add_frames(sums, batch, weights)
        estimate = frame_sums.mean(sums, 0, 1.0 / n_bits)
        held += estimate.low <= truth <= estimate.high
        error = np.sqrt(estimate.value * (1 - estimate.value) / (300 * n_bits))
        binomial += abs(estimate.value - truth) <= 1.96 * error
    assert 180 <= held <= 196, held
    assert binomial < 130, binomial


def test_a_mean_is_that_of_its_frames_however_they_come():
    values = np.random.default_rng(0).exponential(size=(90, 2))
    whole = frame_sums.no_frames(2)
    weights = frame_sums.draw_weights(90, np.random.default_rng(1))
    whole = frame_sums.add_frames(whole, values, weights)
    parts = frame_sums.no_frames(2)
    for part in (slice(0, 20), slice(20, 90)):
        parts = frame_sums.add_frames(parts, values[part], weights[:, part])
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b)
    estimate = frame_sums.mean(whole, 1, 3.0)
    assert estimate.value == pytest.approx(3.0 * values[:, 1].mean())
    assert estimate.error == pytest.approx(3.0 * values[:, 1].std(ddof=1) / np.sqrt(90))
    width = (estimate.high - estimate.low) / (2 * 1.96 * estimate.error)
    assert 0.85 < width < 1.1  # 1000 resamples: 2 %; the bootstrap's bias: under 1 %
    ratio = frame_sums.ratio_db(whole, 0, 1)
    assert ratio.value == pytest.approx(10 * np.log10(values[:, 0].mean() / values[:, 1].mean()))


def test_intervals_hold_the_truth_where_few_frames_are_wrong():
    """Two wrong frames of a thousand in the mean, each with one to forty wrong bits of 100: the
    interval holds the truth in at least 90 % of 200 repetitions (plain resampling: under 85 %)."""
    rng = np.random.default_rng(5)
    held = plain = 0
    for _ in range(200):
        errors = (rng.random(1000) < 0.002) * rng.integers(1, 41, 1000)
        weights = frame_sums.draw_weights(1000, rng, 400)
        sums = frame_sums.add_frames(frame_sums.no_frames(1, 400), errors[:, None], weights)
        rate = frame_sums.rate_of_errors(sums, 0, float((errors > 0).sum()), 0.01)
        resampled = frame_sums.mean(sums, 0, 0.01)
        held += rate.low <= 0.002 * 0.205 <= rate.high
        plain += resampled.low <= 0.002 * 0.205 <= resampled.high
    assert held >= 180, held
    assert plain < 170, (plain, held)


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 0.0370), (100, 0.9630, 1.0), (50, 0.4038, 0.5962)]
)
def test_shares_have_wilsons_interval(count, low, high):
    estimate = frame_sums.share(count, 100)
    assert estimate[:3] == pytest.approx((count / 100, low, high), abs=1e-4)


# ---- when a point stops, and a curve


def run_synthetic(rule, rate=0.01, study=STUDY):
    study = dataclasses.replace(study, stop=rule)
    step = synthetic_step(lambda key, n: jnp.full((n,), rate))
    return ber_point.measure_point(step, point_of(study), study, ["genie"])["genie"]


@pytest.mark.parametrize(
    ("rule", "rate", "status", "n_frames"),
    [
        (StopRule(target_frame_errors=100, max_frames=1000), 1.0, "target frame errors", 128),
        (StopRule(1000, 12800, 1000), 1.0, "target bit errors", 64),
        (StopRule(target_frame_errors=100, max_frames=300), 0.0, "max frames", 320),
    ],
)
def test_a_point_stops_at_the_first_batch_that_has_enough(rule, rate, status, n_frames):
    sums = run_synthetic(rule, rate)
    assert sums.n_frames == n_frames
    assert ber_point.status(rule, sums) == status


def test_all_receivers_wait_for_the_slowest(rows):
    for row in rows:
        place = row["constellation"], row["snr_db"]
        twins = [r for r in rows if (r["constellation"], r["snr_db"]) == place]
        assert len({r["frames"] for r in twins}) == 1
        enough = min(r["frame_errors"] for r in twins) >= RULE.target_frame_errors
        assert enough or row["frames"] >= RULE.max_frames
        assert row["frames"] % STUDY.batch_frames == 0


def test_a_curve_ends_where_no_frame_is_wrong_or_below_a_target():
    study = dataclasses.replace(
        STUDY,
        links={"r": dataclasses.replace(SMALL, bits_per_symbol=(2,))},
        levels_db=(10.0, 60.0, 20.0, 70.0),
        receivers=("genie",),
        stop=StopRule(max_frames=200),
    )
    rows = ber.simulate(study)
    assert [row["snr_db"] for row in rows] == [10.0, 20.0, 60.0]
    assert [row["ends_curve"] for row in rows] == [0, 0, 1]
    last = rows[-1]
    assert (last["bit_errors"], last["ber"], last["ber_low"]) == (0, 0.0, 0.0)
    assert last["ber_high"] == last["fer_high"] == pytest.approx(3.84 / 203.84, abs=1e-4)
    assert last["ber_z"] is None
    low = dataclasses.replace(study, stop=StopRule(max_frames=200, target_ber=0.3))
    assert [row["snr_db"] for row in ber.simulate(low)] == [10.0]
    on = dataclasses.replace(study, stop=StopRule(max_frames=200, early_stop=False))
    assert len(ber.simulate(on)) == 4


# ---- one program, any order


def test_one_program_serves_all_constellations_and_snrs(monkeypatch):
    traced = []
    original = detection._receive

    def counting(*arguments):
        traced.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(detection, "_receive", counting)
    study = dataclasses.replace(STUDY, levels_db=(0.0, 5.0, 9.0), stop=StopRule(max_frames=200))
    assert len(ber.simulate(study)) == 2 * 3 * 2
    assert len(traced) == 1


def test_points_do_not_depend_on_order_or_company(rows):
    other = dataclasses.replace(
        STUDY,
        links={"rician": dataclasses.replace(SMALL, bits_per_symbol=(4,))},
        levels_db=(15.0,),
    )
    alone = ber.simulate(other)
    expected = [r for r in rows if (r["constellation"], r["snr_db"]) == (16, 15.0)]
    assert [r["bit_errors"] for r in alone] == [r["bit_errors"] for r in expected]
    assert [r["ber_low"] for r in alone] == [r["ber_low"] for r in expected]


def test_what_is_done_is_not_done_again(rows):
    again = ber.simulate(STUDY, done=rows[:3])
    assert without_time(again) == without_time(rows[3:])
    assert ber.simulate(STUDY, done=rows) == []


def test_another_seed_gives_other_frames():
    rule = StopRule(max_frames=64)
    first = run_synthetic(rule)
    same, other = run_synthetic(rule), run_synthetic(rule, study=dataclasses.replace(STUDY, seed=4))
    assert first.sums[0, 0] == same.sums[0, 0] != other.sums[0, 0]


def test_an_estimator_of_the_users_own_runs_beside():
    """One that knows the first gain, which in flat fading is all there is to know."""

    def first_gain(config, received):
        gain = received.frame.channel[:, :1, :1] * received.aligned.ramp[:, None, :]
        channel = jnp.broadcast_to(gain, received.frame.channel.shape)
        estimate = receivers.ChannelEstimate(channel, jnp.zeros(channel.shape))
        return detection.Estimates(estimate, estimate)

    small = dataclasses.replace(
        STUDY, levels_db=(10.0,), receivers=("genie",), stop=StopRule(max_frames=100)
    )
    rows = ber.simulate(small, own={"mine": first_gain})
    assert [row["receiver"] for row in rows] == ["genie", "mine"] * 2
    assert [row["bit_errors"] for row in rows[::2]] == [row["bit_errors"] for row in rows[1::2]]


# ---- axes and bad input


def test_axes_of_snr():
    assert overhead(SMALL) == pytest.approx(32 / 28)
    with_prefix = dataclasses.replace(SMALL, cp_samples=4)
    assert overhead(with_prefix) == pytest.approx(32 * 1.5 / 28)
    for axis, snr_db in (("snr", 5.0), ("ebn0", 5 + 6.0206), ("ebn0_charged", 5 + 6.0206 - 0.5799)):
        study = dataclasses.replace(STUDY, axis=axis)
        point = study.curves()[1][0]
        assert point.snr_db == pytest.approx(snr_db, abs=1e-4)
        assert point.ebn0_db == pytest.approx(point.snr_db - 6.0206, abs=1e-4)
        assert point.ebn0_charged_db == pytest.approx(point.ebn0_db + 0.5799, abs=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: StopRule(target_frame_errors=0), "target_frame_errors"),
        (lambda: StopRule(target_bit_errors=0), "target_bit_errors"),
        (lambda: StopRule(max_frames=0), "max_frames"),
        (lambda: StopRule(target_ber=1.0), "target_ber"),
        (lambda: dataclasses.replace(STUDY, axis="es"), "axis"),
        (lambda: dataclasses.replace(STUDY, levels_db=()), "levels_db"),
        (lambda: dataclasses.replace(STUDY, levels_db=(float("nan"),)), "levels_db"),
        (lambda: dataclasses.replace(STUDY, links={}), "links"),
        (lambda: dataclasses.replace(STUDY, seed=-1), "seed"),
        (lambda: ber.simulate(dataclasses.replace(STUDY, receivers=("mmse",))), "mmse"),
        (
            lambda: ber.simulate(
                dataclasses.replace(STUDY, receivers=("genie",), over_time="never")
            ),
            "over_time",
        ),
        (
            lambda: ber.simulate(
                dataclasses.replace(STUDY, receivers=("genie",), demapping="soft")
            ),
            "method",
        ),
        (
            lambda: ber.simulate(
                dataclasses.replace(STUDY, receivers=("genie",), decisions="soft")
            ),
            "decisions",
        ),
        (
            lambda: ber.simulate(dataclasses.replace(STUDY, receivers=("genie",), batch_frames=0)),
            "batch_frames",
        ),
    ],
)
def test_bad_studies_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_columns_of_the_sums_are_named():
    counts = FrameCounts(*(np.full(5, float(i)) for i in range(6)))
    values = ber_point.frame_values(counts)
    named = dict(zip(COLUMNS, values[0], strict=True))
    assert named == {
        "bit_errors": 0, "symbol_errors": 1, "frame_errors": 0, "gmi": 2, "channel_error": 3,
        "channel_power": 4, "predicted_error": 5,
    }  # fmt: skip
