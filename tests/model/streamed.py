"""A streaming model of odd parameters, and what it answers in steps and all at once."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests import small
from wfm_jax.model import Outputs, build_streaming, pilots_of, prepare, preset
from wfm_jax.model.block_causal import every_answer
from wfm_jax.model.model import WirelessModel

READS = {"views": ("grid", "csi")}
ODD_LINK = dataclasses.replace(
    small.NR_LIKE, n_symbols=5, pilot_symbols=(4, 1, 2), bits_per_symbol=(2, 6)
)
ODD = {"heads": (1, 0, 3), "head_dim": 5, "mlp_widths": (7, 9, 0), "patch_subcarriers": 3}
FACTORED = {"ranks": (("block_0/attention/key", 3), ("block_1/mlp/up", 5))}
CONFIGS = {
    "small": dataclasses.replace(preset("pico", small.LINK), **READS),
    "14x48": dataclasses.replace(preset("pico", small.NR_LIKE), **READS, **FACTORED),
    "odd": dataclasses.replace(preset("pico", ODD_LINK), **READS, **ODD),
}


class Streamed:
    """A model of odd parameters, its functions compiled, and what a batch of frames gives it."""

    def __init__(self, config, batch_size=5, at=None):
        self.config, n = config, config.link.n_symbols
        self.stream, self.initial = build_streaming(config, jax.random.key(0))
        self.params = small.moved(self.initial, 0.1)
        frame = small.received(config.link, batch_size, seed=3)
        self.token = jnp.arange(batch_size) % (config.n_modulations + 1)
        self.inputs = jax.jit(lambda: prepare(config, frame, self.token)[0])()
        self.frame, self.symbols = frame, [self.inputs.grid[:, s] for s in range(n)]
        self.traced = []
        self.begin, self.step = (
            jax.jit(self.told_of(f, at)) for f in (self.stream.begin, self.stream.step)
        )
        self.every = jax.jit(functools.partial(self.every_answer, at=at or (lambda point, x: x)))

    def told_of(self, function, at):
        """The function, and ``traced`` its name whenever it is traced."""

        @functools.wraps(function)
        def traced(*args):
            self.traced.append(function.__name__)
            return function(*args, at=at)

        return traced

    def model(self, params):
        model = WirelessModel(self.config, rngs=nnx.Rngs(params=jax.random.key(0)))
        return nnx.merge(nnx.split(model)[0], nnx.State(params))

    def every_answer(self, params, inputs, at):
        return every_answer(self.model(params), inputs, at)

    @functools.cached_property
    def in_steps(self):
        """What each step answers, and the cache behind the last."""
        cache, outputs = self.begin(self.params, pilots_of(self.config, self.inputs)), []
        for symbol in self.symbols:
            cache, answered = self.step(self.params, cache, symbol)
            outputs.append(answered)
        return outputs, cache

    @functools.cached_property
    def at_once(self):
        return self.every(self.params, self.inputs)


@functools.cache
def streamed(name):
    return Streamed(CONFIGS[name])


def assert_same(got, expected):
    """To 1e-5 of what is there, field by field."""
    for name, b in expected._asdict().items():
        a, size = getattr(got, name), float(np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * size, err_msg=name)


def at_symbol(outputs, s):
    """The answers of ``every_answer`` at one symbol, in a step's shapes."""
    return Outputs(*(x[:, s : s + 1] for x in outputs[:2]), *(x[:, s] for x in outputs[2:]))
