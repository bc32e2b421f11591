"""Flags of the axes of a sweep, and the configurations that they ask for."""

from absl import flags

from experiments import space_flag
from experiments.allocation_flag import UNIFORM
from experiments.field_text import field_value
from wfm_jax.sweep import pipeline, space
from wfm_jax.sweep.configuration import Configuration

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
    "student": flags.DEFINE_list(
        "students",
        ["same"],
        "Students: same (as the teacher), smaller; with :grid+csi they read these views only.",
    ),
    "init": flags.DEFINE_list(
        "inits", ["teacher"], "Students start as: teacher, scratch (random weights)."
    ),
    "seed": flags.DEFINE_list("seeds", ["0"], "Seeds of data stream, ties and initial draws."),
    "act_bits": flags.DEFINE_list("act_bits", ["32"], "Bits of activations after Q: 2-8, 16, 32."),
    "table_bits": flags.DEFINE_list(
        "table_bits", ["8"], "Least bits of embeddings and heads after Q: 2-8."
    ),
    "vector_bits": flags.DEFINE_list(
        "vector_bits", ["16"], "Bits of norms and biases after Q: 2-8, or 16 (float16)."
    ),
    "temperature": flags.DEFINE_list("temperatures", ["2"], "Distillation temperatures, above 0."),
    "alpha": flags.DEFINE_list("alphas", ["0.9"], "Weights of distillation in KD, 0 to 1."),
    "learning_rate": flags.DEFINE_list("learning_rates", ["1e-3"], "Peak learning rates, above 0."),
    "steps": flags.DEFINE_list("steps", ["200"], "Optimizer steps of a configuration."),
    "recovery_steps": flags.DEFINE_list(
        "recovery_steps", ["0"], "Of these, steps on the task loss alone at the end."
    ),
    "score_on": flags.DEFINE_list(
        "score_on",
        ["current"],
        "P scores the weights as they are (current) or as before Q (latent).",
    ),
    "train_from": flags.DEFINE_list(
        "train_from", ["snapped"], "Training after Q starts from snapped or latent weights."
    ),
    "quant_format": flags.DEFINE_list(
        "quant_formats", ["integer"], "Q's grid: integer, affine, nf4, nf4_double."
    ),
    "bound": flags.DEFINE_list(
        "bounds", ["restricted"], "Scales of integers: restricted, half_step."
    ),
    "group_size": flags.DEFINE_list(
        "group_sizes", ["none"], "Inputs that share a scale of Q, or none: all of an output."
    ),
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


_SPACE = flags.DEFINE_multi_string("space", None, space_flag.HELP)
_OF_POINTS = ("weight_bits", "sparsity")
FLAG_OF = {"pipeline": _PIPELINES, **dict.fromkeys(_OF_POINTS, _POINTS), **_AXES}
GROWABLE = ("space", *dict.fromkeys(flag.name for flag in FLAG_OF.values()))


def configurations() -> list[Configuration]:
    """What the axes and ``--space`` ask for; a bad value is an error that names its flag."""
    points = [_operating_point(text) for text in nonempty(_POINTS)]
    values = {f: _values(f, flag) for f, flag in FLAG_OF.items() if f not in _OF_POINTS}
    whole = [_completed(term, points, values) for term in _terms()]
    asked = sum(term.size for term in whole)
    if asked > space_flag.MOST:
        raise flags.ValidationError(
            f"the axes' flags and --space ask for {asked:,} configurations: at most "
            f"{space_flag.MOST:,}"
        )
    return [configuration for term in whole for configuration in _configurations(term)]


def _terms() -> list[space_flag.Term]:
    terms = []
    for text in _SPACE.value or ():
        try:
            terms.append(space_flag.term(text))
        except (ValueError, OSError) as error:
            raise flags.ValidationError(f"--space={text}: {error}") from None
    return terms or [space_flag.Term("", ())]


def _completed(
    term: space_flag.Term, points: list[tuple[float, float]], values: dict[str, list]
) -> space_flag.Term:
    """A term with the fields that it does not name, of which the axes' flags are grids."""
    named = term.fields
    for field in sorted(named):
        if field in FLAG_OF and FLAG_OF[field].present:
            raise flags.ValidationError(
                f"--space={term.text}: {field} is what --{FLAG_OF[field].name} gives: leave out "
                "one of them"
            )
    numbers = dict(zip(_OF_POINTS, zip(*points, strict=True), strict=True))
    rest = {field: numbers[field] for field in _OF_POINTS if field not in named}
    if len(rest) == 1:
        rest = {field: tuple(dict.fromkeys(of)) for field, of in rest.items()}
    axes = {field: of for field, of in values.items() if field not in named}
    of_points = space.zipped(**rest) if rest else space.grid()
    return term._replace(factors=(*term.factors, of_points, space.grid(**axes)))


def _configurations(term: space_flag.Term) -> list[Configuration]:
    try:
        return space.configurations(space.cross(*term.factors))
    except ValueError as error:
        start = f"--space={term.text}" if term.text else "flags do not go together"
        raise flags.ValidationError(f"{start}: {error}") from None


def _values(field: str, flag: flags.FlagHolder) -> list:
    values = []
    for text in nonempty(flag):
        try:
            values.append(field_value(field, text))
        except ValueError as error:
            raise flags.ValidationError(f"--{flag.name}={text}: {error}") from None
    return values


def _operating_point(text: str) -> tuple[float, float]:
    try:
        bits, sparsity = text.split(":")
        return field_value("weight_bits", bits), field_value("sparsity", sparsity)
    except ValueError as error:
        raise flags.ValidationError(
            f"--operating_points={text}: bits:sparsity with bits 2-8, 16 or 32 and sparsity in "
            f"[0, 1) ({error})"
        ) from None


def nonempty(flag: flags.FlagHolder) -> list[str]:
    """What is in a list flag, each once; an empty list is an error that names the flag."""
    values = [text.strip() for text in flag.value if text.strip()]
    if not values:
        raise flags.ValidationError(f"--{flag.name} is an empty list: give at least one value")
    return list(dict.fromkeys(values))
