"""Where a smaller student starts: as a copy of parts of its teacher, chosen by a fixed rule.

The rule, the same for every order of compression: every second layer (those of
:func:`wfm_jax.model.smaller`), and of each MLP the neurons of the largest product of incoming and
outgoing norm. Everything else is copied.
"""

import jax
import jax.numpy as jnp

from wfm_jax.model.config import VIEWS, ModelConfig
from wfm_jax.model.model import Params

RULE = "every second layer, MLP neurons of largest norm"


def start_smaller(teacher: ModelConfig, student: ModelConfig, params: Params) -> Params:
    """Parameters of the smaller model, copied from the teacher's.

    Args:
        teacher: the teacher's architecture.
        student: ``smaller(teacher)``.
        params: the teacher's parameters.
    """
    kept = {k: v for k, v in params.items() if not k.startswith("block_")}
    for i, layer in enumerate(range(0, teacher.n_layers, 2)):
        block = params[f"block_{layer}"]
        if student.mlp_widths[i]:
            block = {**block, "mlp": _largest(block["mlp"], student.mlp_widths[i])}
        kept[f"block_{i}"] = block
    return kept


def start_reading(student: ModelConfig, params: Params) -> Params:
    """Parameters of the model that reads fewer views, copied from the teacher's.

    Args:
        student: ``reading(teacher, views)``.
        params: the teacher's parameters.
    """
    left_out = {f"embed_{view}" for view in VIEWS if view not in student.views}
    return {name: of for name, of in params.items() if name not in left_out}


def _largest(mlp: Params, width: int) -> Params:
    up, down = mlp["up"], mlp["down"]
    norm = jnp.linalg.norm(up["kernel"], axis=0) * jnp.linalg.norm(down["kernel"], axis=1)
    keep = jnp.sort(jax.lax.top_k(norm, width)[1])
    return {
        "up": {"kernel": up["kernel"][:, keep], "bias": up["bias"][keep]},
        "down": {"kernel": down["kernel"][keep], "bias": down["bias"]},
    }
