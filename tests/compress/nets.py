"""A small network with units of two kinds: heads of three entries, and neurons behind them."""

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.compress import Coupling, Part

HEADS = Coupling(
    "heads",
    4,
    (Part("mix/kernel", 1, 3), Part("mix/bias", 0, 3), Part("out/kernel", 0, 3)),
    "heads",
)
NEURONS = Coupling(
    "neurons",
    10,
    (Part("up/kernel", 1, 1), Part("up/bias", 0, 1), Part("down/kernel", 0, 1)),
    "neurons",
)
MIX = Coupling(
    "mix",
    1,
    (
        Part("mix/kernel", 1, 12),
        Part("mix/bias", 0, 12),
        Part("out/kernel", 0, 12),
        Part("out/bias", 0, 6),
    ),
    "branches",
    least=0,
)
MLP = Coupling(
    "mlp",
    1,
    (
        Part("up/kernel", 1, 10),
        Part("up/bias", 0, 10),
        Part("down/kernel", 0, 10),
        Part("down/bias", 0, 6),
    ),
    "branches",
    least=0,
)
ALL = (HEADS, NEURONS, MIX, MLP)


def params(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"mix": (6, 12), "out": (12, 6), "up": (6, 10), "down": (10, 6), "head": (6, 2)}
    return {
        name: {
            "kernel": jnp.asarray(rng.normal(size=shape), jnp.float32),
            "bias": jnp.asarray(rng.normal(size=shape[1]), jnp.float32),
        }
        for name, shape in shapes.items()
    }


def forward(params, x):
    """Two residual branches; the first multiplies within a head, and leaves zero where it is."""

    def dense(name, x):
        return x @ params[name]["kernel"] + params[name]["bias"]

    if "mix" in params:
        heads = dense("mix", x).reshape(len(x), -1, 3)
        mixed = heads * jnp.sum(heads, axis=-1, keepdims=True)
        x = x + dense("out", mixed.reshape(len(x), -1))
    if "up" in params:
        x = x + dense("down", jax.nn.gelu(dense("up", x)))
    return dense("head", x)
