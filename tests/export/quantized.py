"""Models for tests of exported files: on grids of their own, with ranges of activations."""

import functools

import jax
import numpy as np

from tests import small
from wfm_jax import compress
from wfm_jax.export.compressed import CompressedModel, nested
from wfm_jax.export.grids import Uniform
from wfm_jax.model import activation_points, build, calibrate_activations, prepare


@functools.cache
def inputs_of(config, batch_size, *, seed=0):
    """What a model reads of white noise; every modulation, and blind ones."""
    frame = small.received(config.link, batch_size, seed=seed)
    modulation = np.arange(batch_size, dtype=np.int32) % (config.n_modulations + 1)
    return jax.jit(lambda f, m: prepare(config, f, m)[0])(frame, modulation)


@functools.cache
def compressed(config, *, bits=32, act_bits=32, group_size=None, amount=0.05):
    """Random parameters, kernels of the blocks on a grid of ``bits``, and calibrated ranges."""
    apply, params = build(config, jax.random.key(0))
    flat = {k: np.asarray(v) for k, v in compress.flatten(small.moved(params, amount)).items()}
    grids = {}
    if bits < 16:
        for path, weights in flat.items():
            if path.startswith("block_") and weights.ndim == 2:
                scale = compress.absmax_scale(weights, bits, group_size=group_size)
                grid = Uniform(bits, scale).checked(weights.shape)
                flat[path], grids[path] = grid.weights(grid.codes(weights)), grid
    model = CompressedModel(config, flat, grids)
    if act_bits >= 16:
        return apply, model
    batches = jax.tree.map(lambda x: x[None], inputs_of(config, 16, seed=1))
    ranges = jax.jit(
        lambda p, b: calibrate_activations(
            apply, p, b, activation_points(config), compress.min_max_range
        )
    )(nested(model.params), batches)
    return apply, model._replace(ranges=jax.device_get(ranges), act_bits=act_bits)
