"""A small untrained teacher whose training programs compile in seconds."""

import dataclasses

import jax
import pytest

from wfm_jax.evaluate.frames import TestSet
from wfm_jax.model import ModelConfig, build, preset
from wfm_jax.signal.factory import FactoryHall
from wfm_jax.signal.link import LinkConfig
from wfm_jax.sweep.group import SweepSettings
from wfm_jax.train.model_files import Teacher

LINK = LinkConfig(
    n_symbols=4,
    n_subcarriers=8,
    cp_samples=4,
    scenario=FactoryHall(n_rays=3),
    pilot_symbols=(1, 2),
    max_timing_offset=1,
    n_sinusoids=1,
)


@pytest.fixture(scope="session")
def config() -> ModelConfig:
    return dataclasses.replace(preset("pico"), link=LINK, views=("grid", "csi"), iq_segment=8)


@pytest.fixture(scope="session")
def teacher(config) -> Teacher:
    """Random weights with a filter head that is not zero, so that everything has a gradient."""
    _, params = build(config, jax.random.key(7))
    shape = params["head_query"]["kernel"].shape
    params["head_query"]["kernel"] = 0.05 * jax.random.normal(jax.random.key(8), shape)
    return Teacher(config, params, "an untrained teacher")


@pytest.fixture(scope="session")
def settings() -> SweepSettings:
    return SweepSettings(batch_size=8, chunk_steps=5)


@pytest.fixture(scope="session")
def test_set() -> TestSet:
    return TestSet(LINK, seed=1, frames_per_stratum=10)
