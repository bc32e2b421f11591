"""Adam with a warm-up and a cosine, every number of it traced."""

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

WARMUP_FRACTION = 0.05
FINAL_FRACTION = 0.01


def learning_rate_at(step: ArrayLike, total_steps: ArrayLike, peak: ArrayLike) -> jax.Array:
    """Linear warm-up over 5 % of the steps, then half a cosine down to 1 % of the peak."""
    total = jnp.maximum(jnp.asarray(total_steps, jnp.float32), 1.0)
    progress = (jnp.asarray(step, jnp.float32) + 1.0) / total
    fall = jnp.clip((progress - WARMUP_FRACTION) / (1.0 - WARMUP_FRACTION), 0.0, 1.0)
    cosine = FINAL_FRACTION + (1.0 - FINAL_FRACTION) * 0.5 * (1.0 + jnp.cos(jnp.pi * fall))
    return jnp.asarray(peak, jnp.float32) * jnp.minimum(progress / WARMUP_FRACTION, cosine)


def adam(learning_rate: jax.Array | float) -> optax.GradientTransformation:
    """The optimizer at one step's learning rate; its state does not depend on the rate.

    Build it inside the traced function: built outside, the rate would be baked into the program.
    """
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_adam(b2=0.99),
        optax.scale_by_learning_rate(learning_rate),
    )
