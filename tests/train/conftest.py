"""The smallest model on a tiny link, a teacher, a batch, and one compiled step per strategy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.model import build, preset, sample_batch
from wfm_jax.signal import link

LINK = link.LinkConfig(
    n_symbols=4,
    n_subcarriers=16,
    sample_rate_hz=10e6,
    cp_samples=8,
    n_taps=5,
    pilot_symbols=(0, 2),
    max_timing_offset=3,
    n_sinusoids=2,
)


@pytest.fixture(scope="session")
def config():
    return preset("pico", LINK)


@pytest.fixture(scope="session")
def built(config):
    """``apply`` and initial parameters."""
    return build(config, jax.random.key(0))


@pytest.fixture(scope="session")
def teacher_params(built):
    """Parameters that are all away from their start."""
    leaves, treedef = jax.tree.flatten(built[1])
    rng = np.random.default_rng(1)
    moved = [jnp.asarray(w + 0.05 * rng.normal(size=w.shape), jnp.float32) for w in leaves]
    return treedef.unflatten(moved)


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
