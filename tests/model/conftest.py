"""The smallest model on a link so small that its frames take milliseconds."""

import dataclasses
import functools

import jax
import pytest

from tests import small
from wfm_jax.model import build, preset, sample_batch

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
def batch(config):
    sample = jax.jit(functools.partial(sample_batch, config, batch_size=32))
    return sample(key=jax.random.key(2))
