"""The smallest model on a tiny link, a teacher, a batch, and one compiled step per strategy."""

import functools

import jax
import pytest

from tests import small
from wfm_jax.model import build, preset, sample_batch


@pytest.fixture(scope="session")
def config():
    return preset("pico", small.LINK)


@pytest.fixture(scope="session")
def built(config):
    """``apply`` and initial parameters."""
    return build(config, jax.random.key(0))


@pytest.fixture(scope="session")
def teacher_params(built):
    """Parameters that are all away from their start."""
    return small.moved(built[1], 0.05)


@pytest.fixture(scope="session")
def apply(built):
    return jax.jit(built[0])


@pytest.fixture(scope="session")
def sample(config):
    """``sample(key=...)``: a batch of 16 frames."""
    return jax.jit(functools.partial(sample_batch, config, batch_size=16))


@pytest.fixture(scope="session")
def batch(sample):
    return sample(key=jax.random.key(2))


@pytest.fixture(scope="session")
def teacher_outputs(apply, teacher_params, batch):
    return apply(teacher_params, batch.inputs)
