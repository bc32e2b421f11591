"""A configuration: one point of a sweep, and what of it matters."""

import dataclasses
import itertools
import math
from typing import Any

from wfm_jax.results.rows import config_id
from wfm_jax.sweep import compression
from wfm_jax.sweep import pipeline as pipelines

BITS = (2, 3, 4, 5, 6, 7, 8, 16, 32)
CHOICES = {
    "student": ("same", "smaller"),
    "init": ("teacher", "scratch"),
    "score_on": ("current", "latent"),
    "train_from": ("snapped", "latent"),
    "scale": ("auto", *compression.SCALES),
    "rounding": compression.ROUNDINGS,
    "distribution": tuple(compression.DISTRIBUTIONS),
    "structure": compression.STRUCTURES,
    "score": tuple(compression.SCORES),
}


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What is asked of one student; the columns of the same names are in every result row.

    Attributes:
        pipeline: stages joined by ``-``.
        sparsity: share of the prunable weights that ``P`` removes, in [0, 1).
        weight_bits: bits of the encoder's kernels after ``Q``: 2-8, 16 or 32 (floating point).
        act_bits: bits of what enters the encoder's kernels after ``Q``: as ``weight_bits``.
        temperature: T of ``KD``.
        alpha: weight of distillation in ``KD``, in [0, 1].
        learning_rate: peak of each training stage.
        steps: optimizer steps in all, split evenly over the training stages.
        recovery_steps: of these, steps of task loss at the end.
        seed: of the data stream, the ties and the initial draws.
        student: ``same`` architecture as the teacher, or ``smaller``.
        init: ``teacher`` (its weights) or ``scratch``.
        score_on: what ``P`` scores: the ``current`` (snapped) or the ``latent`` weights.
        train_from: what training after ``Q`` starts from: ``snapped`` or ``latent`` weights.
        scale: how ``Q`` calibrates; ``auto`` is mse up to 3 bits and absmax above.
        rounding: how ``Q`` rounds the encoder's kernels: to the ``nearest``, or by ``gptq``.
        distribution: how ``P`` spreads sparsity over layers; heads and neurons: ``global`` or
            ``uniform``.
        structure: what ``P`` removes together. ``2:4`` removes half, whatever ``sparsity`` says.
        score: what a weight is worth to ``P``: ``magnitude``, ``taylor``, ``wanda``, ``random``.
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
    score: str = "magnitude"
    act_bits: float = 32

    def __post_init__(self):
        pipelines.parse(self.pipeline)
        if not 0.0 <= self.sparsity < 1.0:
            raise ValueError(f"sparsity must be in [0, 1), got {self.sparsity}")
        if self.weight_bits not in BITS:
            raise ValueError(f"weight_bits must be 2 to 8, 16 or 32, got {self.weight_bits}")
        if self.act_bits not in BITS:
            raise ValueError(f"act_bits must be 2 to 8, 16 or 32, got {self.act_bits}")
        if not (self.temperature > 0.0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha must be in [0, 1], got {self.alpha}")
        if not (self.learning_rate > 0.0 and math.isfinite(self.learning_rate)):
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.recovery_steps <= self.steps:
            raise ValueError(
                f"recovery_steps must be in 0...steps={self.steps}, got {self.recovery_steps}"
            )
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}"
                )
        if self.structure in compression.UNITS and self.distribution not in ("global", "uniform"):
            raise ValueError(
                f"distribution must be global or uniform for {self.structure}, "
                f"got {self.distribution!r}"
            )
        if "S" in pipelines.parse(self.pipeline) and self.structure not in compression.UNITS:
            raise ValueError(
                f"structure must be {', '.join(compression.UNITS)} in a pipeline with S, "
                f"got {self.structure!r}"
            )

    @property
    def shrinks_first(self) -> bool:
        """Whether the pipeline begins with P-S: what is left is an architecture of its own."""
        return pipelines.parse(self.pipeline)[:2] == pipelines.SHRINK_FIRST

    @property
    def shrinks_last(self) -> bool:
        """Whether what is handed over is cut smaller."""
        stages = pipelines.parse(self.pipeline)
        return stages[-1:] == ("S",) and stages != pipelines.SHRINK_FIRST

    @property
    def quantizes_activations(self) -> bool:
        """Whether it hands over a model of quantized activations."""
        return "Q" in self.stages and self.act_bits < 16

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages that a cohort goes through, the common recovery included.

        P-S at the start is behind it then, and S at the end before it.

        With ``student=same`` started from the teacher, KD at alpha = 1 before any P or Q compares
        the teacher with itself: its gradient is zero, and it is left out.
        """
        stages = self._effective()
        return (*stages, "FT") if self.recovery_steps else stages

    def _effective(self) -> tuple[str, ...]:
        stages = pipelines.parse(self.pipeline)
        stages = stages[2:] if self.shrinks_first else stages
        stages = stages[:-1] if self.shrinks_last else stages
        if self.shrinks_first:
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

    def canonical(self) -> dict[str, Any]:
        """The settings that matter, by column name; None where a setting changes nothing.

        ``auto`` scales are resolved, so that configurations which differ in name only are one.
        """
        stages = (
            *(pipelines.SHRINK_FIRST if self.shrinks_first else ()),
            *self._effective(),
            *(("S",) if self.shrinks_last else ()),
        )
        trains = any(s in pipelines.TRAINING_STAGES for s in self.stages)
        before_prune = stages[: stages.index("P")] if "P" in stages else ()
        unused = set()
        if "P" not in stages:
            unused |= {"sparsity", "score_on", "distribution", "structure", "score"}
        if self.structure == compression.TWO_OF_FOUR:
            unused |= {"sparsity", "distribution"}
        if "Q" not in before_prune:
            unused |= {"score_on"}
        if "Q" not in stages:
            unused |= {"weight_bits", "act_bits", "scale", "rounding", "train_from"}
        if self.rounding == "gptq":  # has no latent weights
            unused |= {"train_from"}
        if "KD" not in stages:
            unused |= {"temperature", "alpha"}
        if not trains:
            unused |= {"learning_rate", "train_from", "steps"}
        if not trains and "P" not in stages and self.init == "teacher":
            unused |= {"seed"}
        fields = dataclasses.asdict(self)
        fields |= {"pipeline": pipelines.text(stages), "scale": self.resolved_scale}
        return {name: None if name in unused else value for name, value in fields.items()}

    @property
    def resolved_scale(self) -> str:
        """``scale`` with ``auto`` resolved."""
        if self.scale != "auto":
            return self.scale
        return "mse" if self.weight_bits <= 3 else "absmax"

    @property
    def config_id(self) -> str:
        """Hash of :meth:`canonical`."""
        return config_id(self.canonical())


def product(operating_points: list[tuple[float, float]], **axes: list[Any]) -> list[Configuration]:
    """Every combination of the axes with every (weight_bits, sparsity), first axis slowest.

    Args:
        operating_points: (weight_bits, sparsity) pairs.
        **axes: lists of values by the name of a ``Configuration`` field.
    """
    configurations = []
    for weight_bits, sparsity in operating_points:
        for values in itertools.product(*axes.values()):
            fields: dict[str, Any] = {"weight_bits": weight_bits, "sparsity": sparsity}
            fields |= {"pipeline": pipelines.NONE} | dict(zip(axes, values, strict=True))
            configurations.append(Configuration(**fields))
    return configurations


def distinct(configurations: list[Configuration]) -> list[Configuration]:
    """The first of every set of configurations that are the same thing, in order."""
    first: dict[str, Configuration] = {}
    for configuration in configurations:
        first.setdefault(configuration.config_id, configuration)
    return list(first.values())
