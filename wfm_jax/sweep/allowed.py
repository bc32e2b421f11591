"""What the settings of a configuration may be, one by one and together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wfm_jax.sweep import compression, student_name
from wfm_jax.sweep import pipeline as pipelines
from wfm_jax.sweep.own import check_own, name_of

if TYPE_CHECKING:
    from wfm_jax.sweep.configuration import Configuration

BITS = (2, 3, 4, 5, 6, 7, 8, 16, 32)
CHOICES = {
    "init": ("teacher", "scratch"),
    "score_on": ("current", "latent"),
    "train_from": ("snapped", "latent"),
    "quant_format": compression.QUANT_FORMATS,
    "bound": compression.BOUNDS,
    "scale": (*compression.SCALES, compression.LEARNED),
    "rounding": compression.ROUNDINGS,
    "distribution": tuple(compression.DISTRIBUTIONS),
    "structure": compression.STRUCTURES,
    "schedule": compression.SCHEDULES,
    "score": tuple(compression.SCORES),
}

OWN = ("score", "quant_format")
"""Fields that take what is not ours: a function, a :class:`wfm_jax.sweep.own.Format`."""

_WHOLE = ("steps", "recovery_steps", "seed")
WEIGHT_OF = {
    "features": "feature_weight",
    "relations": "relation_weight",
    "attention": "attention_weight",
}
"""The fields of what KD matches beside the answers."""


def check(asked: Configuration) -> None:
    """Raises ValueError, one line that names the field, for what a configuration cannot be."""
    pipelines.parse(asked.pipeline)
    student_name.parse(asked.student)
    for name in _WHOLE:
        value = getattr(asked, name)
        if not (isinstance(value, int | np.integer) and 0 <= value < 2**31):
            raise ValueError(f"{name} must be a whole number from 0 to {2**31 - 1}, got {value}")
    if not 0.0 <= asked.sparsity < 1.0:
        raise ValueError(f"sparsity must be in [0, 1), got {asked.sparsity}")
    if asked.weight_bits not in BITS:
        raise ValueError(f"weight_bits must be 2 to 8, 16 or 32, got {asked.weight_bits}")
    if asked.act_bits not in BITS:
        raise ValueError(f"act_bits must be 2 to 8, 16 or 32, got {asked.act_bits}")
    if asked.table_bits not in BITS[:7]:
        raise ValueError(f"table_bits must be 2 to 8, got {asked.table_bits}")
    if asked.vector_bits not in BITS[:8]:
        raise ValueError(f"vector_bits must be 2 to 8, or 16, got {asked.vector_bits}")
    if not (asked.temperature > 0.0 and math.isfinite(asked.temperature)):
        raise ValueError(f"temperature must be positive, got {asked.temperature}")
    if not 0.0 <= asked.alpha <= 1.0:
        raise ValueError(f"alpha must be in [0, 1], got {asked.alpha}")
    if not (asked.learning_rate > 0.0 and math.isfinite(asked.learning_rate)):
        raise ValueError(f"learning_rate must be positive, got {asked.learning_rate}")
    if not 0 <= asked.recovery_steps <= asked.steps:
        raise ValueError(
            f"recovery_steps must be in 0...steps={asked.steps}, got {asked.recovery_steps}"
        )
    for name, allowed in CHOICES.items():
        if name in OWN:
            check_own(name, getattr(asked, name), allowed)
        elif getattr(asked, name) not in allowed:
            raise ValueError(
                f"{name} must be one of {', '.join(allowed)}, got {getattr(asked, name)!r}"
            )
    if not 0.0 < asked.rank_share <= 1.0:
        raise ValueError(f"rank_share must be in (0, 1], got {asked.rank_share}")
    if asked.group_size is not None and asked.group_size < 2:
        raise ValueError(f"group_size must be at least 2, or none, got {asked.group_size}")
    for part, weight in asked.hidden_weights._asdict().items():
        if not (weight >= 0.0 and math.isfinite(weight)):
            raise ValueError(f"{WEIGHT_OF[part]} must be at least 0, got {weight}")
    if wrong := [f"{path}: {bits}" for path, bits in asked.allocation if bits not in BITS[:7]]:
        raise ValueError(f"allocation must give 2 to 8 bits, got {', '.join(wrong)}")
    if asked.structure in compression.UNITS and asked.distribution not in ("global", "uniform"):
        raise ValueError(
            f"distribution must be global or uniform for {asked.structure}, "
            f"got {asked.distribution!r}"
        )
    if "S" in pipelines.parse(asked.pipeline) and asked.structure not in compression.UNITS:
        raise ValueError(
            f"structure must be {', '.join(compression.UNITS)} in a pipeline with S, "
            f"got {asked.structure!r}"
        )
    of_fours = (compression.TWO_OF_FOUR, compression.BLOCKS)
    if "L" in asked.rebuilding and asked.structure in of_fours:
        raise ValueError(
            f"structure must not be {asked.structure} behind L: ranks are not multiples of 4"
        )
    if "Q" in pipelines.parse(asked.pipeline):
        _check_grid(asked)


def _check_grid(asked: Configuration) -> None:
    """Raises ValueError where settings of Q do not go together."""
    integers, called = asked.quant_format == "integer", name_of(asked.quant_format)
    for name, usual in (("rounding", "nearest"), ("scale", "auto"), ("bound", "restricted")):
        if not integers and getattr(asked, name) != usual:
            raise ValueError(
                f"{name} must be {usual} for quant_format {called}, got {getattr(asked, name)!r}"
            )
    if asked.scale == compression.LEARNED and asked.rounding != "nearest":
        raise ValueError(f"rounding must be nearest for learned scales, got {asked.rounding!r}")
    if asked.own_bits is not None:
        for name, value, only in (
            ("weight_bits", asked.weight_bits, asked.own_bits),
            ("group_size", asked.group_size, None),
            ("allocation", asked.allocation, ()),
        ):
            if value != only:
                raise ValueError(
                    f"{name} must be {only or 'none'} for quant_format {called}, "
                    f"which has {asked.own_bits} bits and blocks of its own, got {value}"
                )
    if asked.shrinks_last and (asked.group_size or asked.own_bits is not None):
        raise ValueError(
            "group_size must be none and quant_format integer or affine in a pipeline that "
            f"ends in S, got {asked.group_size} and {called}: blocks would be cut"
        )
