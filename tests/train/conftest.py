"""The smallest model on a tiny link, a teacher, a batch; and a leaner model still, whose training
programs compile in seconds."""

import dataclasses
import functools

import jax
import pytest

from tests import small
from wfm_jax.model import build, preset, sample_batch
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.tapped_delay_line import RICIAN

LEAN_LINK = LinkConfig(
    n_symbols=4,
    n_subcarriers=8,
    cp_samples=4,
    scenario=RICIAN,
    pilot_symbols=(1, 2),
    bits_per_symbol=(2, 4),
    max_timing_offset=1,
    n_sinusoids=1,
)


@pytest.fixture(scope="session")
def config():
    return preset("pico", small.LINK)


@pytest.fixture(scope="session")
def lean():
    """One layer that reads two views."""
    config = preset("pico", LEAN_LINK)
    return dataclasses.replace(config, heads=(2,), mlp_widths=(64,), views=("csi", "iq"))


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
    draw = functools.partial(sample_batch, config, batch_size=16)
    return jax.jit(draw)


@pytest.fixture(scope="session")
def batch(sample):
    return sample(key=jax.random.key(2))


@pytest.fixture(scope="session")
def teacher_outputs(apply, teacher_params, batch):
    return apply(teacher_params, batch.inputs)
