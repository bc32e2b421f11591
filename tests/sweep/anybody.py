"""A problem that is nobody's in particular: two layers that tell which quadrant-like cell of the
plane a point lies in. Its programs compile in a second."""

import jax
import jax.numpy as jnp
import numpy as np

from wfm_jax.train.problem import Problem

N_TEST = 400


def apply(params, x):
    hidden = jnp.tanh(x @ params["first"]["w"] + params["first"]["b"])
    return hidden @ params["last"]["w"] + params["last"]["b"]


def fresh(key, width=24):
    one, two = jax.random.split(key)
    return {
        "first": {"w": jax.random.normal(one, (2, width)), "b": jnp.zeros(width)},
        "last": {"w": 0.3 * jax.random.normal(two, (width, 4)), "b": jnp.zeros(4)},
    }


def batch(key, n=32):
    x = jax.random.uniform(key, (n, 2), minval=-2.0, maxval=2.0)
    bent = x + 0.5 * jnp.sin(3.0 * x[:, ::-1])
    return x, (bent[:, 0] > 0) + 2 * (bent[:, 1] > 0)


def task_loss(logits, labels):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))


def score(params):
    x, labels = batch(jax.random.key(99), N_TEST)
    return np.argmax(apply(params, x), axis=1) == labels


def problem(**changes):
    """Trained for some hundred steps of plain gradient descent."""

    @jax.jit
    def train(params):
        def step(params, key):
            x, labels = batch(key, 256)
            slope = jax.grad(lambda p: task_loss(apply(p, x), labels))(params)
            return jax.tree.map(lambda w, g: w - 0.5 * g, params, slope), None

        return jax.lax.scan(step, params, jax.random.split(jax.random.key(1), 600))[0]

    params = train(fresh(jax.random.key(0)))
    own = Problem(apply, params, batch, task_loss, score=score, prunable="*w", fresh=fresh)
    return own._replace(**changes)
