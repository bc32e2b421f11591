"""A model so small that its programs compile in seconds, and what it receives."""

import functools

import jax
import numpy as np
import pytest

from tests import small
from wfm_jax.export.receiver import make_receiver
from wfm_jax.model import build, preset
from wfm_jax.signal import link


@pytest.fixture(scope="session")
def config():
    return preset("pico", small.LINK)


@pytest.fixture(scope="session")
def built(config):
    """``apply`` and initial parameters."""
    return build(config, jax.random.key(0))


@pytest.fixture(scope="session")
def params(built):
    """Parameters that are all away from their start, biases and zeros too."""
    return small.moved(built[1], 0.1)


@pytest.fixture(scope="session")
def receiver(config, built):
    return make_receiver(config, built[0])


@pytest.fixture(scope="session")
def receive(receiver):
    """``receive(params, arrays)``, compiled once for each batch size."""
    return jax.jit(receiver.receive)


@pytest.fixture(scope="session")
def frame(config):
    """32 frames of the link at 30 dB."""
    draw = functools.partial(link.sample_frames, small.LINK, batch_size=32)
    return jax.jit(draw)(key=jax.random.key(3))


@pytest.fixture(scope="session")
def arrays(config, frame):
    """``arrays(batch_size)``: what the first frames give a receiver; every other one is blind."""

    def of(batch_size):
        views = {name: np.asarray(getattr(frame, name)[:batch_size]) for name in config.views}
        told = np.array(frame.modulation[:batch_size])
        told[1::2] = config.n_modulations
        return views | {"modulation": told}

    return of
