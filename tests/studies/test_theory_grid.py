"""Simulated bit error rates against theory over the whole grid; minutes, marked slow.

{4, 16, 64, 256, 1024}-QAM x K of Rayleigh, -3, 7, 15, 30 dB x four SNRs at which theory puts the
rate between 1e-3 and 1e-1, over a flat channel and over every kind of profile, with the receiver
knowing the channel. Bits of a frame fade together, so the standard error is that of independent
fades, and fades are drawn until it is at most 1 % of the rate.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from wfm_jax.signal import channel, fading, noise, ofdm, profiles, qam, theory, words
from wfm_jax.signal.tapped_delay_line import TDL_D, TDL_E

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ORDERS = (2, 4, 6, 8, 10)
K_DB = (-np.inf, -3.0, 7.0, 15.0, 30.0)
RATES = (8e-2, 3e-2, 1e-2, 4e-3)
N_FADES = 1 << 15
MOST_FADES = 400 * N_FADES
FREQUENCIES_HZ = ofdm.subcarrier_frequencies_hz(4, 1e6)

PROFILES = {
    "flat": profiles.flat(7.0),
    "exponential": profiles.exponential(jnp.asarray(60e-9), jnp.asarray(1.0), 10, 50e-9),
    "tdl_d": TDL_D.profile,
    "tdl_e": TDL_E.profile,
    "own": profiles.delay_profile([0.0, 0.3e-6, 0.35e-6], [0.2, 0.5, 0.3], 3.0),
}


@functools.partial(jax.jit, static_argnums=1)
def error_moments(key, m, profile, n0):
    """Mean and mean square over fades of the bit error rate within a fade: an OFDM symbol of four
    subcarriers."""
    key_bits, key_fade, key_noise = jax.random.split(key, 3)
    bits = words.random_bits(key_bits, (N_FADES, FREQUENCIES_HZ.size, m))
    gains = fading.block_gains(key_fade, profiles.tile(profile, N_FADES))[:, None]
    h = channel.frequency_response(gains, profile.delays_s, FREQUENCIES_HZ)[:, 0]
    y = noise.awgn(key_noise, h * qam.modulate(bits), n0)
    power = jnp.square(jnp.abs(h))
    llr = qam.demap(y * jnp.conj(h) / power, n0 / power, m)
    rate = jnp.mean((llr > 0) != (bits == 1), axis=(1, 2))
    return jnp.mean(rate), jnp.mean(jnp.square(rate))


def simulate(seed, m, profile, snr_db):
    """Rate and its standard error over fades, at most 1 % of it."""
    n0 = 10.0 ** (-snr_db / 10.0)
    sums, n = np.zeros(2), 0
    for chunk in range(MOST_FADES // N_FADES):
        key = jax.random.fold_in(jax.random.key(seed), chunk)
        sums += np.asarray(error_moments(key, m, profile, n0), np.float64)
        n += 1
        mean, square = sums / n
        error = np.sqrt(max(square - mean**2, 0.0) / (n * N_FADES))
        if error <= 0.01 * mean / 1.1:  # not just below: the error is an estimate, too
            return mean, error, n * N_FADES
    return mean, error, n * N_FADES


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("m", ORDERS)
def test_genie_rates_are_those_of_theory(name, m):
    scores = []
    for i, k_db in enumerate(K_DB):
        profile = profiles.with_k(PROFILES[name], 10.0 ** (k_db / 10.0))
        for j, rate in enumerate(RATES):
            ebn0_db = optimize.brentq(
                lambda x, k=k_db, r=rate: np.log(theory.ber_rician(m, x, k) + 1e-99) - np.log(r),
                -20,
                80,
            )
            expected = theory.ber_rician(m, ebn0_db, k_db)
            seed = 1000 * list(PROFILES).index(name) + 100 * m + 10 * i + j
            mean, error, n = simulate(seed, m, profile, ebn0_db + 10.0 * np.log10(m))
            assert error <= 0.01 * mean, (k_db, rate, n)
            assert expected * n * FREQUENCIES_HZ.size * m >= 100
            scores.append((mean - expected) / error)
            assert abs(scores[-1]) < 5, (k_db, rate, mean, expected)
    # Independent z-scores: their sum sees a small common bias more clearly than each of them.
    assert abs(np.sum(scores)) / np.sqrt(len(scores)) < 5
