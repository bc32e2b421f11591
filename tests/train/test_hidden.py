"""Features, relations and attention maps of the model, matched between unequal sizes of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import small
from wfm_jax import compress
from wfm_jax.model import attention_points, build, output_points, recording, sample_batch

PARTS = ("features", "relations", "attention")


@pytest.fixture(scope="module")
def teacher_config(lean):
    return dataclasses.replace(lean, views=("csi",), heads=(2, 3), mlp_widths=(16, 16))


@pytest.fixture(scope="module")
def student_config(lean):
    """Half as deep, half as wide, and of another number of heads."""
    return dataclasses.replace(
        lean, views=("csi",), d_model=8, heads=(1,), head_dim=8, mlp_widths=(16,)
    )


@pytest.fixture(scope="module")
def trained(student_config, teacher_config):
    """Losses of every part, float32[steps] each, while all of them are trained together."""
    teacher_apply, teacher = build(teacher_config, jax.random.key(1))
    apply, params = build(student_config, jax.random.key(2))
    n_layers = student_config.n_layers, teacher_config.n_layers
    layers = compress.uniform_layer_map(*n_layers)
    maps = [compress.match_init(8, 16, key=jax.random.key(i)) for i in range(n_layers[0])]
    optimizer = optax.adam(1e-2)

    def everything(config):
        return attention_points(config) + output_points(config)

    see = recording(apply, everything(student_config))
    see_teacher = recording(teacher_apply, everything(teacher_config))

    def losses(params, maps, inputs, taught):
        _, seen = see(params, inputs)
        found = dict.fromkeys(PARTS, jnp.zeros(()))
        for i, j in enumerate(layers):
            ours, theirs = seen[f"block_{i}/output"], taught[f"block_{j}/output"]
            per_frame = [x.reshape(16, -1) for x in (ours, theirs)]
            maps_of = seen[f"block_{i}/attention/share"], taught[f"block_{j}/attention/share"]
            found["features"] += jnp.mean(compress.match_loss(maps[i], ours, theirs))
            found["relations"] += 16 * compress.similarity_loss(*per_frame)
            found["attention"] += jnp.mean(compress.attention_loss(*maps_of))
        return found

    @jax.jit
    def run(start, teacher):
        inputs = sample_batch(student_config, key=jax.random.key(3), batch_size=16).inputs
        _, taught = see_teacher(teacher, inputs)

        def total(trained):
            parts = losses(*trained, inputs, taught)
            return jnp.sum(jnp.stack(list(parts.values()))), parts

        def step(state, _):
            trained, moments = state
            grads, parts = jax.grad(total, has_aux=True)(trained)
            updates, moments = optimizer.update(grads, moments)
            return (optax.apply_updates(trained, updates), moments), parts

        return jax.lax.scan(step, (start, optimizer.init(start)), length=100)[1]

    return run((small.moved(params, 0.1), maps), small.moved(teacher, 0.1))


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_small_student_learns_what_lies_inside_its_teacher(trained, part):
    losses = np.asarray(trained[part])
    assert losses[0] > 0.01
    assert losses[-1] < 0.6 * losses[0]
