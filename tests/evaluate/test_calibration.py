"""Bits by their LLR: nothing is lost, an exact demapper is calibrated, a boastful one is not."""

import jax
import numpy as np
import pytest

from tests.evaluate.conftest import LINK
from wfm_jax.evaluate import calibration
from wfm_jax.evaluate.calibration import EDGES, N_BINS, BitBins
from wfm_jax.evaluate.classical import score_estimates
from wfm_jax.evaluate.detection import Estimates
from wfm_jax.signal import receivers


@pytest.fixture(scope="module")
def genie(drawn):
    """``genie(boast)``: scores and bins at 10 dB of a receiver that knows the channel and whose
    LLRs are ``boast`` times too large; and the LLRs."""
    frame = jax.tree.map(lambda x: np.asarray(x)[0], drawn.frame)

    @jax.jit
    def run(boast):
        aligned = receivers.align_timing(LINK, frame.grid, frame.csi)
        channel = receivers.estimate_genie(frame, aligned.ramp)
        scores, llr = score_estimates(LINK, frame, aligned, Estimates(channel, channel))
        return scores, calibration.bin_bits(LINK, frame, boast * llr), llr

    return lambda boast=1.0: (frame, *jax.device_get(run(boast)))


def surprise(bins):
    """z of each bin: wrong bits less those claimed, over the error of that sum. Frames are
    independent, bits of one need not be; where next to none is wrong their number is Poisson."""
    claimed = np.asarray(bins.claimed, np.float64)
    off = bins.wrong - claimed
    variance = np.maximum(np.sum(np.square(off), axis=0), claimed.sum(axis=0))
    return off.sum(axis=0) / np.sqrt(variance)


def test_an_exact_demapper_that_knows_the_channel_is_calibrated(genie):
    bins = genie()[2]
    assert np.all(bins.n_bits.sum(axis=0) > 100)
    assert np.all(np.abs(surprise(bins)) < 5.0)


def test_a_boastful_one_is_not(genie):
    """With LLRs twice too large more bits are wrong than is claimed, on both sides."""
    off = surprise(genie(2.0)[2])
    assert np.sum(off > 5.0) >= N_BINS // 2


def test_bins_hold_every_bit_once(genie):
    frame, scores, bins, llr = genie()
    np.testing.assert_array_equal(bins.n_bits.sum(axis=1), scores.n_bits)
    np.testing.assert_array_equal(bins.wrong.sum(axis=1), scores.bit_errors)
    for i in (0, 70, 159):
        m = LINK.bits_per_symbol[frame.modulation[i]]
        llrs, bits = llr[i, :, :m].astype(np.float64).ravel(), frame.bits[i, :, :m].ravel()
        at = np.digitize(llrs, EDGES, right=True)
        for name, of_bit in (
            ("n_bits", np.ones(llrs.size)),
            ("wrong", (llrs > 0) != bits),
            ("claimed", 1.0 / (1.0 + np.exp(np.abs(llrs)))),
        ):
            expected = np.bincount(at, of_bit, minlength=N_BINS)
            np.testing.assert_allclose(getattr(bins, name)[i], expected, rtol=1e-4, atol=1e-6)


def test_log_odds_by_hand():
    """A bin below zero with 40 bits of which 10 are ones, the one above with 40 of which 4 are
    zeros; both claim 2 of 40."""
    zeros = np.zeros((1, N_BINS))
    n_bits, wrong, claimed = zeros.copy(), zeros.copy(), zeros.copy()
    middle = slice(N_BINS // 2 - 1, N_BINS // 2 + 1)
    n_bits[0, middle], wrong[0, middle], claimed[0, middle] = 40.0, (10.0, 4.0), 2.0
    believed, observed = calibration.log_odds(BitBins(n_bits, wrong, claimed), np.ones((1, 1)))
    np.testing.assert_allclose(believed[0, middle], (-np.log(19.0), np.log(19.0)))
    np.testing.assert_allclose(observed[0, middle], (-np.log(3.0), np.log(9.0)))
    assert np.isnan(observed[0, 0])
