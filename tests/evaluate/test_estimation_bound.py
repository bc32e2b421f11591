"""The bound of all frames at once is the closed form of each."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.evaluate.conftest import LINK
from wfm_jax.evaluate import frames
from wfm_jax.evaluate.estimation_bound import lmmse_bound
from wfm_jax.signal import receivers, theory


def test_it_is_the_closed_form_of_each_frame(test_set):
    draw, _ = jax.jit(frames.test_links, static_argnums=0)(test_set, 10.0)
    snrs_db = (0.0, 15.0, 30.0)
    bound = lmmse_bound(LINK, draw, snrs_db)
    assert bound.error.shape == (3, test_set.n_frames)
    ramp = jnp.ones((test_set.n_frames, LINK.n_subcarriers), jnp.complex64)
    covariance = jax.jit(receivers.true_covariance, static_argnums=0)(LINK, draw, ramp)
    for i in (0, 39, 77, 159):
        r = np.asarray(covariance[i])
        for j, snr_db in enumerate(snrs_db):
            n0 = 10.0 ** (-snr_db / 10.0) / len(LINK.pilot_symbols)
            error = theory.lmmse_error(r, slice(None, None, LINK.pilot_spacing), n0).sum()
            np.testing.assert_allclose(bound.error[j, i], LINK.n_symbols * error, rtol=2e-3)
        np.testing.assert_allclose(bound.power[i], LINK.n_symbols * np.trace(r).real, rtol=1e-5)


def test_a_ramp_does_not_change_it(test_set):
    """Timing is taken out of a receiver's covariance; the error is the same with it."""
    draw, _ = jax.jit(frames.test_links, static_argnums=0)(test_set, 10.0)
    later = draw._replace(timing_offset=draw.timing_offset * 0.0)
    plain, moved = (lmmse_bound(LINK, x, (10.0,)).error for x in (draw, later))
    np.testing.assert_allclose(moved, plain, rtol=1e-3)
