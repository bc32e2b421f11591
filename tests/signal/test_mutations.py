"""The tests' power: errors that they must catch are put into the package, and then they do fail.

What `make test` itself notices of each is written down in test_link.py; here they are put in anew
at every `make test-all`. The check is the genie's bit error rate against theory through the whole
link (fading, filter, OFDM, noise, demapper), at K of 7 dB, where a rate depends on K most.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from tests import optimized
from wfm_jax.signal import fading, link, noise, qam, theory
from wfm_jax.signal.tapped_delay_line import RICIAN, TappedDelayLine

pytestmark = pytest.mark.slow

K_DB = 7.0
RATE = 0.02
N_FRAMES, N_CHUNKS = 8192, 12
TWO_RAYS = TappedDelayLine((0.0, 1.0), (0.0, -3.0), K_DB, delay_spread_s=100e-9)


def z_scores(scenario, orders):
    """(measured - theory) / standard error over frames, per order; compiled anew at each call."""
    scores = []
    for m in orders:
        config = link.LinkConfig(
            n_symbols=2,
            n_subcarriers=12,
            fft_size=24,
            cp_samples=24,
            sample_rate_hz=8e6,
            pilot_symbols=(0,),
            pilot_spacing=12,
            bits_per_symbol=(m,),
            max_timing_offset=0,
            scenario=scenario,
            n_sinusoids=1,
        )
        ebn0_db = optimize.brentq(lambda x, m=m: theory.ber_rician(m, x, K_DB) - RATE, -10, 50)
        snr_db = ebn0_db + 10 * np.log10(m)

        def chunk(total, key, config=config, snr_db=snr_db, m=m):
            key_draw, key_send = jax.random.split(key)
            draw = link.draw_links(config, key=key_draw, batch_size=N_FRAMES)
            draw = draw._replace(snr_db=jnp.full(N_FRAMES, snr_db))
            frame = link.transmit(config, draw, key=key_send)
            h, y = (link.data_elements(config, x) for x in (frame.channel, frame.grid))
            llr = qam.demap(y / h, frame.n0[:, None] / jnp.square(jnp.abs(h)), m)
            wrong = jnp.mean((llr > 0) != (frame.bits == 1), axis=(1, 2))
            return total + jnp.stack([jnp.mean(wrong), jnp.mean(wrong**2)]) / N_CHUNKS, None

        keys = jax.random.split(jax.random.key(m), N_CHUNKS)
        mean, square = np.asarray(
            optimized.jit(lambda k, c=chunk: jax.lax.scan(c, jnp.zeros(2), k)[0])(keys)
        )
        error = np.sqrt((square - mean**2) / (N_FRAMES * N_CHUNKS))
        assert error / RATE < 0.01
        scores.append((mean - RATE) / error)
    return np.array(scores)


@pytest.mark.parametrize("scenario", [RICIAN, TWO_RAYS], ids=["flat", "two rays"])
def test_the_link_as_it_is_agrees_with_theory(scenario):
    assert np.all(np.abs(z_scores(scenario, (2, 10))) < 5)


def test_noise_that_is_a_quarter_of_a_decibel_off_is_seen(monkeypatch):
    true = noise.awgn
    for off_db in (0.25, -0.25):
        wrong = 10 ** (off_db / 10)
        monkeypatch.setattr(noise, "awgn", lambda key, x, n0, w=wrong: true(key, x, w * n0))
        assert np.all(np.abs(z_scores(RICIAN, (4,))) > 5)


def test_k_that_is_half_a_decibel_off_is_seen(monkeypatch):
    true = fading.ray_gains
    for off_db in (0.5, -0.5):
        wrong = 10 ** (off_db / 10)

        def gains(key, profile, *args, w=wrong, **kwargs):
            return true(key, profile._replace(k_linear=w * profile.k_linear), *args, **kwargs)

        monkeypatch.setattr(fading, "ray_gains", gains)
        assert np.all(np.abs(z_scores(RICIAN, (4,))) > 5)


def test_draws_normalised_to_unit_energy_are_seen(monkeypatch):
    true = fading.ray_gains

    def gains(*args, **kwargs):
        drawn = true(*args, **kwargs)
        energy = jnp.sum(jnp.square(jnp.abs(drawn)), axis=-1, keepdims=True)
        return drawn / jnp.sqrt(energy)

    monkeypatch.setattr(fading, "ray_gains", gains)
    assert np.all(np.abs(z_scores(RICIAN, (4,))) > 5)
    assert np.all(np.abs(z_scores(TWO_RAYS, (4,))) > 5)


def test_llrs_of_the_other_sign_are_seen(monkeypatch):
    true = qam.demap
    monkeypatch.setattr(qam, "demap", lambda *args: -true(*args))
    assert np.all(np.abs(z_scores(RICIAN, (4,))) > 5)
