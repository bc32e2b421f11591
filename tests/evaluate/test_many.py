"""Many configurations: one compile, and the scores that each would have alone."""

import jax
import numpy as np
import pytest

from wfm_jax.evaluate import many

TRACES = []


@pytest.fixture(scope="module")
def scorer(pico, drawn):
    """Counts how often the model is traced."""
    config, apply, _ = pico

    def counted(params, inputs):
        TRACES.append(1)
        return apply(params, inputs)

    return many.make_scorer(config, counted, drawn, chunk=50)


@pytest.fixture(scope="module")
def stacked(pico):
    """Six configurations: the parameters scaled."""
    scale = np.linspace(0.5, 1.0, 6, dtype=np.float32)
    return jax.tree.map(lambda w: np.asarray(w) * scale.reshape(-1, *[1] * w.ndim), pico[2])


def test_one_compile_whatever_the_number_of_configurations(scorer, stacked):
    for n_configs in (1, 6, 3):
        scored = many.score_many(scorer, jax.tree.map(lambda w: w[:n_configs], stacked))
        assert len(scored) == n_configs
    assert len(TRACES) == 2  # one for each pass: known and blind


def test_scores_are_those_of_each_configuration_alone(scorer, score, drawn, stacked):
    all_of_them = many.score_many(scorer, stacked)
    for i, row in ((0, 0), (5, 2)):
        params = jax.tree.map(lambda w: w[i], stacked)
        alone = score(params, jax.tree.map(lambda x: np.asarray(x)[row], drawn.frame))
        for name, values in all_of_them[i].at(drawn.snrs_db[row])._asdict().items():
            assert isinstance(values, np.ndarray)
            assert values.dtype == np.float32
            expected = np.asarray(getattr(alone, name))
            if name.endswith("_errors"):  # decisions: an LLR next to zero may fall either way
                assert np.abs(values - expected).max() <= 1, name
                assert np.mean(values != expected) <= 0.02, name
            else:
                np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-3, err_msg=name)


def test_what_overflows_is_missing(scorer, pico):
    huge = jax.tree.map(lambda w: np.asarray(w) * np.float32(1e30), pico[2])
    for name, values in scorer(huge).scores._asdict().items():
        assert not np.any(np.isinf(values)), name


def test_an_snr_that_was_not_measured_is_refused(classical):
    with pytest.raises(ValueError, match="12 dB was not measured"):
        classical["ls"].at(12.0)
