"""Confusion: every frame in one cell."""

import numpy as np
import pytest

from wfm_jax.evaluate.confusion import confusion


def test_rows_sum_to_the_frames_of_their_modulation(classical, test_set):
    for name in ("lmmse", "genie"):
        counts = confusion(classical[name], 15.0)
        np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(test_set.modulation))
        correct = classical[name].at(15.0).amc_correct
        assert np.trace(counts) == np.sum(correct)


def test_cells_are_those_of_brute_force(synthetic, test_set):
    """The synthetic receiver takes a modulation for itself or for the next one."""
    scored = synthetic()
    counts = confusion(scored, 10.0)
    decided = scored.at(10.0).modulation
    for sent in range(4):
        for other in range(4):
            expected = sum((test_set.modulation == sent) & (decided == other))
            assert counts[sent, other] == expected
    assert counts[0, 2] == counts[2, 0] == 0


def test_a_receiver_that_does_not_classify_is_refused(synthetic):
    scored = synthetic()
    scores = scored.scores._replace(modulation=np.full_like(scored.scores.modulation, np.nan))
    with pytest.raises(ValueError, match="does not tell modulations"):
        confusion(scored._replace(scores=scores), 10.0)
