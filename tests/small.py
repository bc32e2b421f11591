"""What many tests share: a link so small that its frames take milliseconds, and odd parameters."""

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.signal.factory import FactoryHall
from wfm_jax.signal.link import LinkConfig

LINK = LinkConfig(
    n_symbols=4,
    n_subcarriers=16,
    sample_rate_hz=10e6,
    cp_samples=8,
    scenario=FactoryHall(n_rays=5, ray_spacing_s=100e-9),
    pilot_symbols=(0, 2),
    max_timing_offset=3,
    n_sinusoids=2,
)


def moved(params, amount):
    """The parameters, all away from their start: biases and zeros too."""
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(1)
    return treedef.unflatten(
        [jnp.asarray(w + amount * rng.normal(size=w.shape), jnp.float32) for w in leaves]
    )
