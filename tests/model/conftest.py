"""The smallest model on a link so small that its frames take milliseconds."""

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest

from tests import small
from wfm_jax.model import build, preset, sample_batch
from wfm_jax.model.config import VIEWS
from wfm_jax.model.reconstruction import build_masked
from wfm_jax.model.views import prepare

LINK = dataclasses.replace(small.LINK, snr_db_range=(10.0, 10.0))


@pytest.fixture(scope="session")
def config():
    return preset("pico", LINK)


@pytest.fixture(scope="session")
def built(config):
    """``apply`` and initial parameters."""
    return build(config, jax.random.key(0))


@pytest.fixture(scope="session")
def apply(built):
    return jax.jit(built[0])


@pytest.fixture(scope="session")
def params(built):
    """Parameters that are all away from their start, biases and zeros too."""
    return small.moved(built[1], 0.1)


@pytest.fixture(scope="session")
def masked(config):
    """``apply``, compiled, and initial parameters of the masked model."""
    apply, params = build_masked(config, jax.random.key(0))
    return jax.jit(apply), params


@pytest.fixture(scope="session")
def sample(config):
    """``sample(key=...)``: a batch of 32 frames."""
    draw = functools.partial(sample_batch, config, batch_size=32)
    return jax.jit(draw)


@pytest.fixture(scope="session")
def batch(sample):
    return sample(key=jax.random.key(2))


@pytest.fixture(scope="session")
def read(config):
    """``read(frame, token, present)``: the model's inputs and their units, compiled."""
    return jax.jit(functools.partial(prepare, config))


@pytest.fixture(scope="session")
def subsets():
    """bool[32, len(VIEWS)]: all 15 sets of views there are, twice, and all views twice more."""
    sets = [row for row in itertools.product((False, True), repeat=len(VIEWS)) if any(row)]
    return np.array([*sets, *sets, sets[-1], sets[-1]])
