"""What the mains of a trained model are given."""

import jax
import pytest

from tests import small
from wfm_jax.model import build, preset
from wfm_jax.train.model_files import save_teacher


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A pico model on the tiny link, all its parameters away from their start."""
    path = tmp_path_factory.mktemp("model") / "pico.safetensors"
    config = preset("pico", small.LINK)
    save_teacher(path, config, small.moved(build(config, jax.random.key(0))[1], 0.1), {})
    return path
