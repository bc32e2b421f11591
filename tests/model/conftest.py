"""The smallest model on a link so small that its frames take milliseconds."""

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
    snr_db_range=(10.0, 10.0),
)


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
    leaves, treedef = jax.tree.flatten(built[1])
    rng = np.random.default_rng(1)
    moved = [jnp.asarray(w + 0.1 * rng.normal(size=w.shape), jnp.float32) for w in leaves]
    return treedef.unflatten(moved)


@pytest.fixture(scope="session")
def batch(config):
    sample = jax.jit(functools.partial(sample_batch, config, batch_size=32))
    return sample(key=jax.random.key(2))
