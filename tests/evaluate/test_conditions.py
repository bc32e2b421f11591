"""Conditions are what they say, and losses read what was put in."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import small
from wfm_jax.evaluate import condition_study
from wfm_jax.evaluate.behind import behind_db
from wfm_jax.evaluate.classical import score_receiver
from wfm_jax.evaluate.condition_rows import at_snrs, joint_strata, rows_of_conditions
from wfm_jax.evaluate.condition_study import ConditionStudy, Measured
from wfm_jax.evaluate.conditions import Condition, draw_condition, standard_conditions
from wfm_jax.evaluate.frames import hash_frame
from wfm_jax.evaluate.frames import test_links as links_of
from wfm_jax.evaluate.stacked import stack_over_snr
from wfm_jax.evaluate.subsample_timing import transmit_between_samples
from wfm_jax.results import condition_rows
from wfm_jax.signal import link, mixed_qam, ofdm, profiles, receivers
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.tapped_delay_line import RAYLEIGH

LINK = small.LINK  # prefix of 8 samples, longest delay 4
BY_NAME = {condition.name: condition for condition in standard_conditions(LINK)}
SNRS_DB = (5.0, 10.0, 15.0, 20.0, 25.0)


@functools.cache
def program(condition):
    """The compiled ``draw(seed, snr_db)`` of 40 frames of each constellation."""
    return jax.jit(functools.partial(draw_condition, condition, condition.test_set(0, 40)))


def drawn(condition, seed=3, snr_db=100.0):
    draw = program(condition)
    return jax.tree.map(np.asarray, draw(jnp.uint32(seed), jnp.float32(snr_db)))


@pytest.fixture(scope="module")
def baseline_frame():
    return drawn(BY_NAME["baseline"])


def sent_grid(config, frame):
    symbols = mixed_qam.modulate(frame.bits, frame.modulation, config.bits_per_symbol)
    return np.asarray(ofdm.place(symbols, config.pilots, config.pilot_mask))


def test_only_one_condition_interferes():
    default = {condition.name: condition.link for condition in standard_conditions(LinkConfig())}
    for links in (default, {name: condition.link for name, condition in BY_NAME.items()}):
        too_long = [name for name, of in links.items() if of.n_taps - 1 > of.cp_samples]
        assert too_long == ["timing_beyond"]
        # Anywhere in the prefix: not one sample more would do.
        assert links["timing"].n_taps - 1 == links["timing"].cp_samples
        assert links["delay_long"].n_taps - 1 == links["delay_long"].cp_samples


def test_ranges_are_left_by_half():
    default = {condition.name: condition for condition in standard_conditions(LinkConfig())}
    hall = {name: condition.link.scenario for name, condition in default.items()}
    assert default["timing_fraction"].timing_samples == (0.0, 7.0)
    assert default["timing_end"].timing_samples == (7.0, 7.0)
    assert hall["k_high"].k_db_range == (20.0, 33.0)
    assert hall["k_low"].k_db_range == (-19.0, -6.0)
    assert hall["rayleigh"].rayleigh_fraction == 1.0
    np.testing.assert_allclose(hall["delay_long"].decay_range_s, (120e-9, 180e-9))
    np.testing.assert_allclose(hall["delay_short"].decay_range_s, (10e-9, 20e-9))
    for condition in default.values():
        assert len(condition.words) <= 24
        assert condition.test_set(0, 20).n_frames == 80


def test_a_longer_profile_is_a_longer_delay_spread():
    """Rayleigh frames: the delay spread grows with the decay, and leaves the link's own range."""

    def spread(name):
        condition = BY_NAME[name]
        draw = jax.jit(lambda: links_of(condition.test_set(0, 20), 20.0)[0])()
        of_all = np.asarray(profiles.rms_delay_spread_s(draw.propagation.profile))
        return of_all[~np.asarray(draw.propagation.los)]

    hall = LINK.scenario
    decays = jnp.asarray(hall.decay_range_s)
    own = profiles.exponential(decays, jnp.zeros(2), hall.n_rays, hall.ray_spacing_s)
    least, most = np.asarray(profiles.rms_delay_spread_s(own))
    assert np.all(spread("delay_long") > most)
    assert np.all(spread("delay_short") < least)


def test_a_carrier_is_off_by_exactly_its_share(baseline_frame):
    """From symbol to symbol the channel turns by 2 pi share (n_fft + prefix) / n_fft."""
    turned = drawn(BY_NAME["carrier"]).channel / baseline_frame.channel
    step = np.angle(turned[:, 1:] * np.conj(turned[:, :-1]))
    expected = 2.0 * np.pi * 0.01 * LINK.symbol_samples / LINK.n_fft
    sign = np.where(np.arange(len(step)) % 2, -1.0, 1.0)[:, None, None]
    np.testing.assert_allclose(step, np.broadcast_to(expected * sign, step.shape), atol=1e-4)


def test_conditions_share_their_draws(baseline_frame):
    louder = drawn(BY_NAME["noise"])
    np.testing.assert_array_equal(louder.bits, baseline_frame.bits)
    np.testing.assert_array_equal(louder.channel, baseline_frame.channel)
    np.testing.assert_allclose(louder.n0, 10.0**0.1 * baseline_frame.n0, rtol=1e-5)
    other = drawn(BY_NAME["noise"], seed=4)
    assert 0.4 < np.mean(other.bits != baseline_frame.bits) < 0.6


@pytest.fixture(scope="module")
def between():
    """Frames of offsets 0.75, 3 and 2.5 without noise, and those of 1, 3 and 3."""
    config = BY_NAME["timing"].link
    draw = link.draw_links(config, key=jax.random.key(0), batch_size=3)
    draw = draw._replace(snr_db=jnp.full(3, 120.0), timing_offset=jnp.array([0.75, 3.0, 2.5]))
    key = jax.random.key(1)
    whole = draw._replace(timing_offset=jnp.array([1.0, 3.0, 3.0]))

    @jax.jit
    def both():
        return transmit_between_samples(config, draw, key=key), link.transmit(
            config, whole, key=key
        )

    return config, *jax.tree.map(np.asarray, both())


def test_between_samples_the_grid_is_the_channel_times_what_was_sent(between):
    config, parts, whole = between
    for frame in (whole, parts):
        sent = sent_grid(config, frame)
        np.testing.assert_allclose(frame.grid, frame.channel * sent, atol=2e-5)
        np.testing.assert_allclose(
            ofdm.to_grid(frame.iq, config.n_symbols, config.cp_samples), frame.grid, atol=1e-6
        )


def test_between_samples_the_channel_is_turned_by_the_fraction(between):
    _, parts, whole = between
    turned = np.asarray(parts.channel / whole.channel)
    step = np.angle(turned[..., 1:] * np.conj(turned[..., :-1])) / (2.0 * np.pi)
    late = np.array([0.25, 0.0, 0.5])[:, None, None] / LINK.n_fft
    np.testing.assert_allclose(step, np.broadcast_to(late, step.shape), atol=1e-4)
    for ours, theirs in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(ours[1], theirs[1])


def rows_by(found, snrs_db):
    rows = rows_of_conditions(found, snrs_db, seed=0)
    return {(r["condition"], r["receiver"], r["snr_db"], r["constellation"]): r for r in rows}


def test_noise_stronger_by_a_decibel_costs_a_genie_a_decibel():
    """Log BER is read linearly between points 2 dB apart: some hundredths above the truth."""

    @jax.jit
    def genie(frame):
        return score_receiver(
            LINK,
            lambda config, frame, aligned: receivers.estimate_genie(frame, aligned.ramp),
            frame,
        )

    def scored(condition, snrs_db):
        scores = [genie(drawn(condition, 3, snr_db)) for snr_db in snrs_db]
        return stack_over_snr(condition.test_set(0, 40), snrs_db, jax.device_get(scores))

    curve = scored(BY_NAME["baseline"], (8.0, 10.0, 12.0, 14.0))
    baseline, noise = (at_snrs(curve, (12.0,)), scored(BY_NAME["noise"], (12.0,)))
    ones = np.ones((1, 160))
    for modulation in range(4):
        assert behind_db(baseline, curve, ones, modulation) == pytest.approx(0.0, abs=1e-6)
        assert behind_db(noise, curve, ones, modulation) == pytest.approx(1.0, abs=0.12)


@pytest.mark.slow
def test_a_whole_study(pico):
    config, _, params = pico
    config = dataclasses.replace(config, link=LINK)
    chosen = (BY_NAME["baseline"], BY_NAME["noise"])
    study = ConditionStudy(chosen, (12.5,), frames=40, seed=0)
    found = condition_study.measure(study, config, params)
    rows = rows_by(found, study.snrs_db)
    assert len(rows) == 2 * 6 * 5
    for receiver in condition_rows.RECEIVERS:
        for size in (16, 64):
            assert rows["baseline", receiver, 12.5, size]["loss_db"] == pytest.approx(0.0, abs=1e-4)
            if receiver != "model":  # untrained
                loss = rows["noise", receiver, 12.5, size]["loss_db"]
                assert loss == pytest.approx(1.0, abs=0.15)
    # LMMSE made for the link and for the condition: there they are the same.
    by_name = found["baseline"].receivers
    for name in ("lmmse", "lmmse_interpolate"):
        ours = by_name[name].scores
        again = by_name[name.replace("lmmse", "lmmse_matched")].scores
        np.testing.assert_allclose(ours.channel_error, again.channel_error, rtol=1e-3)
        np.testing.assert_allclose(ours.gmi_fraction, again.gmi_fraction, atol=1e-3)
    assert np.all(by_name["genie"].scores.channel_error < 1e-9 * 64)
    for name, measured in found.items():
        assert measured.frames_hash == hash_frame(drawn(BY_NAME[name], seed=0, snr_db=20.0))


@pytest.fixture
def made_up(synthetic):
    """Receivers of known skill: the condition costs the model 1.5 dB and the LMMSEs 0.5 and 2."""

    def of(model, average, interpolating, snrs_db=SNRS_DB):
        skills = {"model": model, "lmmse": average, "lmmse_interpolate": interpolating, "genie": 3}
        return {name: synthetic(skill, snrs_db=snrs_db) for name, skill in skills.items()}

    return {
        "baseline": Measured("a", of(1.0, 0.0, -0.5)),
        "hard": Measured("b", of(-0.5, -0.5, -2.5)),
    }


def test_losses_are_read_on_the_receivers_own_curves(made_up):
    rows = rows_by(made_up, (10.0, 15.0))
    losses = {"model": 1.5, "lmmse": 0.5, "lmmse_interpolate": 2.0, "genie": 0.0}
    for size in (4, 16, 64, 256):
        for receiver, loss in losses.items():
            assert rows["hard", receiver, 15.0, size]["loss_db"] == pytest.approx(loss, abs=0.02)
            assert rows["baseline", receiver, 15.0, size]["loss_db"] == pytest.approx(0.0, abs=1e-6)
    row = rows["hard", "model", 15.0, 64]
    assert row["loss_db_low"] <= row["loss_db"] <= row["loss_db_high"]
    every = rows["hard", "model", 15.0, None]
    assert every["frames"] == 4 * row["frames"]
    assert "ber" not in every
    assert "loss_db" not in every


def test_the_better_lmmse_is_the_one_to_be_ahead_of(made_up):
    made_up["hard"].receivers["lmmse"] = made_up["hard"].receivers["lmmse_interpolate"]
    made_up["hard"].receivers["lmmse_interpolate"] = made_up["hard"].receivers["model"]
    rows = rows_by(made_up, (10.0, 15.0))
    before, after = (rows[name, "model", 15.0, 64] for name in ("baseline", "hard"))
    assert (before["ahead_of"], after["ahead_of"]) == ("lmmse", "lmmse_interpolate")
    assert before["ahead_db"] == pytest.approx(1.0, abs=0.02)
    assert after["ahead_db"] == pytest.approx(0.0, abs=1e-6)


def test_rows_fit_their_columns(made_up, tmp_path):
    from wfm_jax.results.rows import append_rows

    new = [row | {"words": "x"} for row in rows_of_conditions(made_up, (10.0,), seed=0)]
    append_rows(tmp_path / "rows.jsonl", new, condition_rows.COLUMNS)
    read, torn = condition_rows.read_rows(tmp_path / "rows.jsonl")
    assert torn is None
    assert len(read) == 2 * 4 * 5
    assert condition_rows.row_of(read, "hard", "genie", 10.0, 64)["frames"] == 40


def test_strata_are_crossed():
    """5 K bins of 4 frames and 4 of 5: the borders of both."""
    one, other = (BY_NAME[name].test_set(0, 20) for name in ("baseline", "k_low"))
    crossed = joint_strata(one, other)
    for strata in (one.strata, other.strata):
        for stratum in np.unique(crossed):
            assert np.unique(strata[crossed == stratum]).size == 1
    assert np.unique(crossed).size == 4 * (5 + 4 - 1)
    with pytest.raises(ValueError, match="differ in size: 80 and 160"):
        joint_strata(one, BY_NAME["k_low"].test_set(0, 40))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"timing_samples": (0.0, 4.0)}, r"within 0\.\.\.3.*max_timing_offset"),
        ({"timing_samples": (2.0, 1.0)}, "timing_samples must rise"),
        ({"timing_samples": (0.0, 1.0), "carrier_share": 0.01}, "exclude each other"),
        ({"carrier_share": 0.5}, "carrier_share must be within 0.5"),
    ],
)
def test_a_condition_that_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Condition("x", "x", LINK, **arguments)


def test_other_bad_input():
    with pytest.raises(ValueError, match=r"must be a FactoryHall.*TappedDelayLine"):
        standard_conditions(dataclasses.replace(LinkConfig(), scenario=RAYLEIGH))
    with pytest.raises(ValueError, match="frames must be a multiple of 5 K bins, got 12"):
        BY_NAME["baseline"].test_set(0, 12)
    baseline = BY_NAME["baseline"]
    with pytest.raises(ValueError, match="rising"):
        ConditionStudy((baseline,), (20.0, 10.0), 20, 0)
    with pytest.raises(ValueError, match="first of the conditions must be baseline"):
        ConditionStudy((BY_NAME["noise"], baseline), (10.0,), 20, 0)
    draw = link.draw_links(LINK, key=jax.random.key(0), batch_size=2)
    with pytest.raises(ValueError, match="carrier_offset_hz must be None"):
        transmit_between_samples(
            LINK, draw._replace(carrier_offset_hz=jnp.ones(2)), key=jax.random.key(0)
        )


def test_the_study_measures_what_is_read():
    study = ConditionStudy((BY_NAME["baseline"],), (10.0, 20.0), 20, 0)
    assert study.curve_snrs_db[0] == 0.0
    assert study.curve_snrs_db[-1] == 30.0
    assert set(study.snrs_db) < set(study.curve_snrs_db)
    assert study.classical_snrs_db == (7.0, 10.0, 13.0, 17.0, 20.0, 23.0)
