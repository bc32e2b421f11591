"""Flags of the axes of a sweep, and the configurations that they ask for."""

from typing import Any

from absl import flags

from experiments.allocation_flag import UNIFORM, allocation
from wfm_jax.sweep import pipeline
from wfm_jax.sweep.configuration import CHOICES, Configuration, product

_PIPELINES = flags.DEFINE_list(
    "pipelines",
    list(pipeline.DEFAULT),
    "Pipelines: stages P (prune), Q (quantize), KD (distil), FT (fine-tune), S (cut out the heads "
    "and neurons that P removed: P-S first, or S last), L (low rank: first, or behind P-S) joined "
    "by '-', or none. Default: the sixteen orders of P, Q and KD, and three FT controls.",
)
_POINTS = flags.DEFINE_list(
    "operating_points",
    ["8:0.5", "4:0.75", "3:0.9"],
    "Operating points as bits:sparsity, bits of 2-8, 16 or 32, sparsity in [0, 1).",
)
_AXES = {
    "student": flags.DEFINE_list("students", ["same"], "Architectures: same, smaller."),
    "init": flags.DEFINE_list("inits", ["teacher"], "Starts: teacher, scratch."),
    "seed": flags.DEFINE_list("seeds", ["0"], "Seeds of data stream, ties and initial draws."),
    "act_bits": flags.DEFINE_list("act_bits", ["32"], "Bits of activations after Q: 2-8, 16, 32."),
    "temperature": flags.DEFINE_list("temperatures", ["2"], "Distillation temperatures."),
    "alpha": flags.DEFINE_list("alphas", ["0.9"], "Weights of distillation in KD, 0 to 1."),
    "learning_rate": flags.DEFINE_list("learning_rates", ["1e-3"], "Peak learning rates."),
    "steps": flags.DEFINE_list("steps", ["200"], "Optimizer steps of a configuration."),
    "recovery_steps": flags.DEFINE_list("recovery_steps", ["0"], "Of these, FT at the end."),
    "score_on": flags.DEFINE_list("score_on", ["current"], "P scores: current, latent."),
    "train_from": flags.DEFINE_list("train_from", ["snapped"], "After Q: snapped, latent."),
    "quant_format": flags.DEFINE_list(
        "quant_formats", ["integer"], "Q's grid: integer, affine, nf4, nf4_double."
    ),
    "bound": flags.DEFINE_list("bounds", ["restricted"], "Of integers: restricted, half_step."),
    "group_size": flags.DEFINE_list("group_sizes", ["none"], "Inputs that share a scale, or none."),
    "allocation": flags.DEFINE_list(
        "allocations",
        [UNIFORM],
        "Bits of each tensor: uniform (those of the operating point), or FILE:BUDGET:NAME of "
        "experiments.sensitivity, like runs/sensitivity/allocation.jsonl:1:measured.",
    ),
    "scale": flags.DEFINE_list(
        "scales", ["auto"], "Q's scale: auto, absmax, mse, percentile, learned (LSQ)."
    ),
    "rounding": flags.DEFINE_list("roundings", ["nearest"], "Q rounds: nearest, gptq, awq."),
    "distribution": flags.DEFINE_list(
        "distributions", ["global"], "P over layers: global, uniform, erk, per_output."
    ),
    "structure": flags.DEFINE_list(
        "structures",
        ["unstructured"],
        "P removes: unstructured weights, 2:4, blocks of 4x4, heads, neurons, heads+neurons.",
    ),
    "schedule": flags.DEFINE_list(
        "schedules", ["one-shot"], "Of several P in a pipeline, as in P-KD-P-KD: one-shot, cubic."
    ),
    "rank_share": flags.DEFINE_list(
        "rank_shares", ["0.5"], "L stores this share of a kernel's numbers, (0, 1]."
    ),
    "feature_weight": flags.DEFINE_list(
        "feature_weights", ["0"], "KD matches residual streams with this weight beside answers."
    ),
    "relation_weight": flags.DEFINE_list(
        "relation_weights", ["0"], "KD matches which frames are alike with this weight."
    ),
    "attention_weight": flags.DEFINE_list(
        "attention_weights", ["0"], "KD matches attention maps with this weight."
    ),
    "score": flags.DEFINE_list(
        "scores", ["magnitude"], "P ranks by: magnitude, taylor, wanda, random."
    ),
}


def _group_size(text: str) -> int | None:
    if text != "none" and not text.isdigit():
        raise ValueError("a whole number of inputs, or none")
    return None if text == "none" else int(text)


_KINDS = {
    **dict.fromkeys(("pipeline", *CHOICES), str),
    **dict.fromkeys(("seed", "steps", "recovery_steps"), int),
    "group_size": _group_size,
    "allocation": allocation,
}
GROWABLE = ("pipelines", "operating_points", *(flag.name for flag in _AXES.values()))


def configurations() -> list[Configuration]:
    """Every combination of the axes; a bad value is an error that names its flag."""
    axes = {"pipeline": _values("pipeline", _PIPELINES)}
    axes |= {field: _values(field, flag) for field, flag in _AXES.items()}
    points = [_operating_point(text) for text in nonempty(_POINTS)]
    try:
        return product(points, **axes)
    except ValueError as error:
        raise flags.ValidationError(f"flags do not go together: {error}") from None


def _values(field: str, flag: flags.FlagHolder) -> list:
    kind = _KINDS.get(field, float)
    values = []
    for text in nonempty(flag):
        try:
            value = kind(text)
            fields: dict[str, Any] = {"pipeline": pipeline.NONE, "steps": 10**9}
            fields[field] = value
            if field == "pipeline":
                pipeline.parse(text)
            else:
                Configuration(**fields)
        except ValueError as error:
            raise flags.ValidationError(f"--{flag.name}={text}: {error}") from None
        values.append(value)
    return values


def _operating_point(text: str) -> tuple[float, float]:
    try:
        bits, sparsity = (float(part) for part in text.split(":"))
        Configuration(pipeline.NONE, weight_bits=bits, sparsity=sparsity)
    except ValueError as error:
        raise flags.ValidationError(
            f"--operating_points={text}: bits:sparsity with bits 2-8, 16 or 32 and sparsity in "
            f"[0, 1) ({error})"
        ) from None
    return bits, sparsity


def nonempty(flag: flags.FlagHolder) -> list[str]:
    """What is in a list flag, each once; an empty list is an error that names the flag."""
    values = [text.strip() for text in flag.value if text.strip()]
    if not values:
        raise flags.ValidationError(f"--{flag.name} is an empty list: give at least one value")
    return list(dict.fromkeys(values))
