"""A configuration: one point of a sweep, and what of it matters."""

import dataclasses
import functools
import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from wfm_jax import compress
from wfm_jax.results.rows import config_id
from wfm_jax.sweep import allowed, compression
from wfm_jax.sweep import pipeline as pipelines
from wfm_jax.sweep.own import Format, by_name, name_of
from wfm_jax.train.hidden import HiddenWeights

_OF_GRID = ("quant_format", "bound", "group_size", "scale", "rounding")


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What is asked of one student; the columns of the same names are in every result row.

    Attributes:
        pipeline: stages joined by ``-``.
        sparsity: share of the prunable weights that ``P`` removes, in [0, 1).
        weight_bits: bits of the encoder's kernels after ``Q``: 2-8, 16 or 32 (floating point).
        allocation: pairs of a kernel's or table's path and its bits, 2-8, instead of those: mixed
            precision.
        table_bits: least bits of embeddings and heads after ``Q``, 2-8.
        vector_bits: bits of norms and biases after ``Q``: 2-8, or 16 (float16).
        act_bits: bits of what enters the encoder's kernels after ``Q``: as ``weight_bits``.
        temperature: T of ``KD``.
        alpha: weight of distillation in ``KD``, in [0, 1].
        learning_rate: peak of each training stage.
        steps: optimizer steps in all, split evenly over the training stages.
        recovery_steps: of these, steps of task loss at the end.
        seed: of the data stream, the ties and the initial draws.
        student: ``same`` architecture as the teacher, or ``smaller``; ``same:grid+csi`` reads only
            these views.
        init: ``teacher`` (its weights) or ``scratch``.
        score_on: what ``P`` scores: the ``current`` (snapped) or the ``latent`` weights.
        train_from: what training after ``Q`` starts from: ``snapped`` or ``latent`` weights.
        quant_format: the grid of the encoder's kernels after ``Q``: ``integer`` (symmetric),
            ``affine``, ``nf4``, or ``nf4_double``, whose scales are quantized too; or a
            :class:`wfm_jax.sweep.own.Format`.
        bound: the scale convention of integers: ``restricted`` or ``half_step``.
        group_size: inputs of a kernel that share a scale; None for a whole output channel.
        scale: how ``Q`` calibrates integers; ``auto`` is mse up to 3 bits and absmax above,
            ``learned`` trains the scales with the weights.
        rounding: how ``Q`` makes integers of the encoder's kernels: the ``nearest``, by ``gptq``,
            or the nearest on rows that ``awq`` multiplied.
        rank_share: numbers that ``L`` stores of a kernel, over those there were, in (0, 1].
        feature_weight: what matching the residual streams weighs in ``KD`` beside the answers.
        relation_weight: the same of which frames are alike.
        attention_weight: the same of attention maps.
        distribution: how ``P`` spreads sparsity over layers; heads and neurons: ``global`` or
            ``uniform``.
        structure: what ``P`` removes together. ``2:4`` removes half, whatever ``sparsity`` says.
        schedule: how sparse each ``P`` of several makes it: ``one-shot``, all of it at the first,
            or ``cubic``, in steps that become smaller and arrive at the last.
        score: what a weight is worth to ``P``: ``magnitude``, ``taylor``, ``wanda``, ``random``, or
            a function ``score(w, stats, key) -> scores`` as of :mod:`wfm_jax.compress.scores`.
    """

    pipeline: str
    sparsity: float = 0.5
    weight_bits: float = 8
    temperature: float = 2.0
    alpha: float = 0.9
    learning_rate: float = 1e-3
    steps: int = 100
    recovery_steps: int = 0
    seed: int = 0
    student: str = "same"
    init: str = "teacher"
    score_on: str = "current"
    train_from: str = "snapped"
    scale: str = "auto"
    rounding: str = "nearest"
    distribution: str = "global"
    structure: str = compression.UNSTRUCTURED
    schedule: str = compression.ONE_SHOT
    score: str | compress.Score = "magnitude"
    act_bits: float = 32
    table_bits: float = 8
    vector_bits: float = 16
    quant_format: str | Format = "integer"
    bound: compress.Bound = "restricted"
    group_size: int | None = None
    allocation: tuple[tuple[str, float], ...] = ()
    rank_share: float = 0.5
    feature_weight: float = 0.0
    relation_weight: float = 0.0
    attention_weight: float = 0.0

    def __post_init__(self):
        allowed.check(self)

    @property
    def own_bits(self) -> int | None:
        """Of a format that has bits and blocks of its own."""
        if isinstance(self.quant_format, Format):
            return self.quant_format.bits
        return 4 if self.quant_format.startswith("nf4") else None

    @property
    def rebuilding(self) -> tuple[str, ...]:
        """Stages at the start of the pipeline that leave an architecture of its own."""
        return pipelines.rebuilding(pipelines.parse(self.pipeline))

    @property
    def shrinks_last(self) -> bool:
        """Whether what is handed over is cut smaller."""
        return pipelines.parse(self.pipeline)[len(self.rebuilding) :][-1:] == ("S",)

    @property
    def hidden_weights(self) -> HiddenWeights:
        """What matched layers weigh in KD."""
        return HiddenWeights(self.feature_weight, self.relation_weight, self.attention_weight)

    @property
    def grid(self) -> compression.Grid:
        """The kind of grid of the kernels."""
        if self.own_bits is not None:
            return compression.Grid(self.quant_format)
        if self.quant_format == "affine":
            return compression.Grid("affine", group_size=self.group_size)
        learned = compression.LEARNED if self.scale == compression.LEARNED else "integer"
        kind = "awq" if self.rounding == "awq" else learned
        return compression.Grid(kind, self.bound, self.group_size)

    @property
    def quantizes_activations(self) -> bool:
        """Whether it hands over a model of quantized activations."""
        return "Q" in self.stages and self.act_bits < 16

    @property
    def stored_vector_bits(self) -> float:
        """Bits of norms and biases; where ``Q`` leaves everything in float32, so are they."""
        return 32 if self.weight_bits == 32 else self.vector_bits

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages that a cohort goes through, the common recovery included.

        What rebuilds it at the start is behind it then, and S at the end before it.

        With ``student=same`` started from the teacher, KD at alpha = 1 before any P or Q compares
        the teacher with itself: its gradient is zero, and it is left out.
        """
        stages = self._effective()
        return (*stages, "FT") if self.recovery_steps else stages

    def _effective(self) -> tuple[str, ...]:
        stages = pipelines.parse(self.pipeline)[len(self.rebuilding) :]
        stages = stages[:-1] if self.shrinks_last else stages
        if self.rebuilding:
            return stages
        if self.student == "same" and self.init == "teacher" and self.alpha == 1.0:
            changed = next((i for i, s in enumerate(stages) if s != "KD"), len(stages))
            stages = stages[changed:]
        return stages

    def stage_steps(self) -> tuple[int, ...]:
        """Optimizer steps of each stage of :attr:`stages`; the earlier ones take a remainder."""
        training = [i for i, s in enumerate(self.stages) if s in pipelines.TRAINING_STAGES]
        steps = [0] * len(self.stages)
        if self.recovery_steps:
            steps[training.pop()] = self.recovery_steps
        for rank, i in enumerate(training):
            rest = self.steps - self.recovery_steps
            steps[i] = rest // len(training) + (rank < rest % len(training))
        return tuple(steps)

    def done_steps(self, stage: int, at: int) -> int:
        """Optimizer steps it has done ``at`` steps after this place of :attr:`stages` began."""
        steps = (*self.stage_steps(), 0)
        return sum(steps[:stage]) + min(at, steps[stage])

    def sparsity_at(self, stage: int) -> float:
        """Sparsity that the ``P`` at this place of :attr:`stages` arrives at."""
        number, done = self.stages.count("P"), self.stages[: stage + 1].count("P")
        if self.schedule == compression.ONE_SHOT or not number:
            return self.sparsity
        return float(
            compress.cubic_sparsity(done, start=0, end=number, final=np.float32(self.sparsity))
        )

    def canonical(self) -> dict[str, Any]:
        """The settings that matter, by column name; None where a setting changes nothing.

        ``auto`` scales are resolved, so that configurations which differ in name only are one.
        """
        stages = (
            *self.rebuilding,
            *self._effective(),
            *(("S",) if self.shrinks_last else ()),
        )
        trains = any(s in pipelines.TRAINING_STAGES for s in self.stages)
        before_prune = stages[: stages.index("P")] if "P" in stages else ()
        unused = set()
        if "P" not in stages:
            unused |= {"sparsity", "score_on", "distribution", "structure", "score"}
        if self.stages.count("P") < 2:
            unused |= {"schedule"}
        if self.structure == compression.TWO_OF_FOUR:
            unused |= {"sparsity", "distribution"}
        if "Q" not in before_prune:
            unused |= {"score_on"}
        if "Q" not in stages:
            unused |= {"weight_bits", "act_bits", "table_bits", "vector_bits"}
            unused |= {"train_from", "allocation", *_OF_GRID}
        if self.weight_bits >= 8 and not self.allocation:
            unused |= {"table_bits"}
        if self.weight_bits == 32:
            unused |= {"vector_bits"}
        if self.quant_format != "integer":
            unused |= {"bound", "scale", "rounding"}
        if "L" not in stages:
            unused |= {"rank_share"}
        if self.rounding == "gptq":  # has no latent weights
            unused |= {"train_from"}
        if "KD" not in stages:
            unused |= {"temperature", "alpha", *allowed.WEIGHT_OF.values()}
        if not trains:
            unused |= {"learning_rate", "train_from", "steps"}
        if not trains and "P" not in stages and self.init == "teacher":
            unused |= {"seed"}
        fields = self.columns()
        fields |= {
            "pipeline": pipelines.text(stages),
            "scale": self.resolved_scale,
            "table_bits": max(self.table_bits, self.weight_bits),
        }
        return {name: None if name in unused else value for name, value in fields.items()}

    def replace(self, **changes: Any) -> "Configuration":
        """This configuration with other settings."""
        return dataclasses.replace(self, **changes)

    def columns(self) -> dict[str, Any]:
        """The settings as they were asked, as a row holds them; one's own by their names."""
        allocation = json.dumps(dict(sorted(self.allocation))) if self.allocation else None
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        own = {name: name_of(fields[name]) for name in allowed.OWN}
        return {**fields, **own, "allocation": allocation}

    @property
    def resolved_scale(self) -> str:
        """``scale`` with ``auto`` resolved."""
        if self.scale != "auto" or self.allocation:
            return self.scale
        return "mse" if self.weight_bits <= 3 else "absmax"

    @functools.cached_property
    def config_id(self) -> str:
        """Hash of :meth:`canonical`."""
        return config_id(self.canonical())


def from_columns(
    columns: Mapping[str, Any], beside: Collection[Configuration] = ()
) -> Configuration:
    """The configuration of :meth:`Configuration.columns`.

    Args:
        columns: what it gave.
        beside: configurations that know what is not ours by its name.
    """
    allocation = json.loads(columns["allocation"] or "{}")
    fields = {**columns, "allocation": tuple(allocation.items())}
    for name in allowed.OWN:
        if fields[name] not in allowed.CHOICES[name]:
            known = by_name(getattr(c, name) for c in beside)
            fields[name] = known.get(fields[name], fields[name])
    return Configuration(**fields)


def distinct(configurations: list[Configuration]) -> list[Configuration]:
    """The first of every set of configurations that are the same thing, in order."""
    first: dict[str, Configuration] = {}
    for configuration in configurations:
        first.setdefault(configuration.config_id, configuration)
    return list(first.values())
