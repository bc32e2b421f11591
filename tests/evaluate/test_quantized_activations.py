"""Scores of models with quantized activations: ranges and bits are data of one program."""

import jax
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.evaluate import many
from wfm_jax.model import (
    Quantized,
    activation_points,
    calibrate_activations,
    prepare,
    with_activations,
)

TRACES = []


@pytest.fixture(scope="module")
def ranges(pico, drawn):
    """Calibrated on test frames of every SNR, modulation unknown."""
    config, apply, params = pico
    points = activation_points(config)

    @jax.jit
    def run(params, frames):
        def read(frame):
            blind = np.full(frame.modulation.shape, config.n_modulations)
            return prepare(config, frame, blind)[0]

        batches = jax.vmap(read)(frames)
        return calibrate_activations(apply, params, batches, points, compress.min_max_range)

    return run(params, drawn.frame)


@pytest.mark.slow
def test_one_program_scores_all_ranges_and_bits(pico, drawn, ranges, score):
    config, apply, params = pico
    quantized = with_activations(apply, activation_points(config))

    def counted(model, inputs):
        TRACES.append(1)
        return quantized(model, inputs)

    scorer = many.make_scorer(config, counted, drawn, chunk=48)
    none = jax.tree.map(np.zeros_like, ranges)
    models = [Quantized(params, none, np.int32(32))]
    models += [Quantized(params, ranges, np.int32(bits)) for bits in (8, 3)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *models)
    exact, fine, coarse = (scored.at(20.0).loss for scored in many.score_many(scorer, stacked))
    assert len(TRACES) == 2  # one for each pass: known and blind
    frame = jax.tree.map(lambda x: np.asarray(x)[drawn.snrs_db.index(20.0)], drawn.frame)
    np.testing.assert_allclose(exact, score(params, frame).loss, rtol=1e-3, atol=1e-3)
    off = [np.median(np.abs(loss - exact)) for loss in (fine, coarse)]
    assert off[1] > 4 * off[0] > 0
