"""A small untrained teacher whose training programs compile in seconds, and some configurations."""

import dataclasses

import jax

from wfm_jax.model import ModelConfig, build, preset
from wfm_jax.signal.factory import FactoryHall
from wfm_jax.signal.link import LinkConfig
from wfm_jax.sweep.configuration import Configuration
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
TRAINING = [
    Configuration(pipeline, steps=5, temperature=temperature, learning_rate=rate, init="scratch")
    for pipeline in ("KD", "FT")
    for temperature in (1.0, 2.0)
    for rate in (1e-4, 1e-3, 1e-2)
]
"""Nine different ones that train at once, without a stage before."""


def config() -> ModelConfig:
    return dataclasses.replace(preset("pico"), link=LINK, views=("grid", "csi"), iq_segment=8)


def teacher(architecture: ModelConfig | None = None) -> Teacher:
    """Random weights with a filter head that is not zero, so that everything has a gradient."""
    architecture = architecture or config()
    _, params = build(architecture, jax.random.key(7))
    shape = params["head_query"]["kernel"].shape
    params["head_query"]["kernel"] = 0.05 * jax.random.normal(jax.random.key(8), shape)
    return Teacher(architecture, params, "an untrained teacher")
