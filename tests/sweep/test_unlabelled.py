"""Frames that the teacher alone labels, in a sweep: in its program, in its rows."""

import jax
import numpy as np
import pytest

from tests.finished import run
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.group import Group
from wfm_jax.train.unlabelled import Unlabelled
from wfm_jax.train.wireless import wireless

ASKED = [Configuration(p, sparsity=0.5, steps=5) for p in ("P-KD", "P-FT")]


@pytest.mark.slow
def test_they_change_what_is_distilled_and_not_what_is_fine_tuned(teacher, settings):
    """The labelled frames are the same with and without them, so FT's weights are too."""
    found = []
    for more in (None, Unlabelled((teacher.config.link,), 8)):
        problem = wireless(teacher, batch_size=settings.batch_size, unlabelled=more)
        group = Group("same", problem, ASKED, settings)
        found.append(run(ASKED, teacher, settings, group))
    for configuration, moves in zip(ASKED, (True, False), strict=True):
        without, with_them = (each[configuration.config_id][0] for each in found)
        far = jax.tree.map(lambda x, y: float(np.max(np.abs(x - y))), without, with_them)
        assert (max(far.values()) > 1e-4) == moves
