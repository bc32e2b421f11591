"""`map` and `vmap` run the same sweep: rounding ties diverge, scores stay within intervals."""

import dataclasses

import jax
import numpy as np
import pytest

from wfm_jax.evaluate import metrics
from wfm_jax.evaluate.intervals import half_width, paired_difference, resample_weights
from wfm_jax.evaluate.many import draw_frames, make_scorer
from wfm_jax.sweep import engine
from wfm_jax.sweep.configuration import Configuration

pytestmark = pytest.mark.slow

SNRS_DB = (10.0, 15.0, 20.0)
ASKED = [
    Configuration(p, sparsity=0.5, weight_bits=4, steps=20) for p in ("P-Q-KD", "Q-P-FT", "P-Q")
]


class Scoring:
    """Scores what it is handed; writes the row's identity."""

    pace_s = 0.0

    def __init__(self, frames):
        self.frames, self.scorer, self.scored = frames, None, {}

    def references(self, known):
        return []

    def examine(self, problem, configuration, deployed, wall_s):
        self.scorer = self.scorer or make_scorer(problem.config, problem.apply, self.frames)
        self.scored[configuration.config_id] = self.scorer(deployed.params)
        identity = {"config_id": configuration.config_id, "kind": "configuration"}
        return identity | {"pipeline": configuration.pipeline, "status": "ok"}


@pytest.fixture(scope="module")
def frames(test_set):
    return draw_frames(test_set, SNRS_DB)


@pytest.fixture(scope="module")
def scored(problem, settings, frames, tmp_path_factory):
    """Scores by strategy: all together under ``map`` and ``vmap``, and each alone."""

    def run(name, asked, strategy):
        examiner = Scoring(frames)
        how = dataclasses.replace(settings, strategy=strategy)
        folder = tmp_path_factory.mktemp(name)
        compiles = engine.run_sweep(asked, problem, how, examiner, folder)
        assert compiles == {"same": 1}
        return examiner.scored

    together = {strategy: run(strategy, ASKED, strategy) for strategy in ("map", "vmap")}
    return together | {"alone": run("alone", ASKED[:1], "map")}


@pytest.mark.parametrize(
    "metric", [metrics.gmi_fraction, metrics.amc_accuracy, metrics.snr_mae_db, metrics.k_mae_db]
)
@pytest.mark.parametrize("other", ["vmap", "alone"])
def test_final_scores_of_quantized_students_agree_within_their_intervals(
    scored, test_set, metric, other
):
    weights = resample_weights(test_set.strata, seed=0)
    for identity, one in scored["map"].items():
        if identity not in scored[other]:
            continue
        two = scored[other][identity]
        width = half_width(metric(one, weights))
        difference, _, _ = paired_difference(metric, one, two, weights)
        assert np.isfinite(width)
        assert abs(difference) <= width


def test_what_does_not_train_is_the_same_bit_for_bit(scored):
    untrained = ASKED[2].config_id
    for one, two in zip(
        scored["map"][untrained].scores, scored["vmap"][untrained].scores, strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_distillation_and_fine_tuning_are_different_programs_of_the_same_code(scored):
    """The sweep really trained: its students differ from the untrained one."""
    untrained = scored["map"][ASKED[2].config_id].scores
    for configuration in ASKED[:2]:
        trained = scored["map"][configuration.config_id].scores
        assert not all(jax.tree.map(np.array_equal, trained, untrained))
