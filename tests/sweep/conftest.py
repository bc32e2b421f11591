"""A small untrained teacher whose training programs compile in seconds."""

import pytest

from tests.sweep import small_sweep
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.model import ModelConfig
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.train.model_files import Teacher
from wfm_jax.train.problem import Problem
from wfm_jax.train.wireless import wireless


@pytest.fixture(scope="session")
def config() -> ModelConfig:
    return small_sweep.config()


@pytest.fixture(scope="session")
def teacher() -> Teacher:
    return small_sweep.teacher()


@pytest.fixture(scope="session")
def settings() -> SweepSettings:
    return SweepSettings(batch_size=8, chunk_steps=5)


@pytest.fixture(scope="session")
def problem(teacher, settings) -> Problem:
    return wireless(teacher, batch_size=settings.batch_size)


@pytest.fixture(scope="session")
def test_set() -> TestSet:
    return TestSet(small_sweep.LINK, seed=1, frames_per_stratum=10)
