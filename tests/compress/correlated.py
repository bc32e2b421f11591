"""A kernel whose inputs are correlated, of equal or unequal size."""

import jax.numpy as jnp
import numpy as np

from wfm_jax.compress import LeafStats


def inputs(n_inputs=32, rows=512, *, spread=0.0, seed=5):
    """float32 [rows, n_inputs]: mixed from sources whose amplitudes fall to 1 % over the inputs;
    ``spread`` is the standard deviation of the inputs' log sizes."""
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(rows, n_inputs)) * np.exp(-np.linspace(0, 4.6, n_inputs))
    mixed = sources @ rng.normal(size=(n_inputs, n_inputs)) / n_inputs**0.5
    return (mixed * np.exp(rng.normal(0, spread, n_inputs))).astype(np.float32)


def kernel(n_inputs=32, n_outputs=24, *, seed=6):
    """float32 [n_inputs, n_outputs], Gaussian."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n_inputs, n_outputs)), jnp.float32)


def statistics(x):
    """What `gather_statistics` makes of rows that enter a kernel."""
    return LeafStats(
        jnp.float32(len(x)), jnp.asarray(x.T @ x), jnp.asarray(np.abs(x).sum(0, dtype=np.float32))
    )


def output_error(x, w, other):
    """Relative error of what leaves the kernel, in float64."""
    x, w, other = (np.asarray(a, np.float64) for a in (x, w, other))
    return np.linalg.norm(x @ (other - w)) / np.linalg.norm(x @ w)
