"""The order study's questions, declared before its run.

Eight contrasts, one primary score, one margin. Whatever else is read from the rows is exploratory.
"Established" means a Holm-adjusted p-value below :data:`LEVEL` over all declared contrasts, also
those that the rows at hand cannot answer. The literature is cited by its arXiv numbers.

The primary score is the share of the teacher's GMI that a file keeps, in points: zero is the null
model (all prunable weights zero), 100 the teacher. GMI is what the receiver is for, it is smooth
(every bit of every test frame counts), and relative to its own teacher it compares over teachers.
A file below null counts as null, which anybody can have: how far below says nothing of use, and
would decide every mean. ``retention``, the smallest over tasks, jumps from task to task; it is
exploratory here.

Added when all rows were in: what a point is worth differs by teacher, for null models differ (GMI
fractions of .64, .46 and -4.6 in the study on two cores, whose teachers all have .88). Signs, and
with them p-values, do not depend on it; means over teachers do. So the verdict says what a point is
worth, and tells the same differences in GMI itself.
"""

import math
from typing import Literal, NamedTuple

LEVEL = 0.05
MARGIN = 0.5
"""Points of the primary score that make no difference: .002 of GMI fraction, or 0.09 dB of SNR in
the laptop study (half of what the 99 % criterion allows)."""

SIZES = 9
"""File sizes at which the arms are compared, evenly spaced in log bytes."""


class Score(NamedTuple):
    """What is compared.

    Attributes:
      name: for people.
      column: of the rows.
      unit: of a difference.
      share: as points from null to teacher, at least 0; else the column times ``factor``.
      factor: of the column.
      least: what the column counts as where it is less.
      smaller_is_better: as for errors.
    """

    name: str
    column: str
    unit: str
    share: bool = False
    factor: float = 1.0
    least: float = -math.inf
    smaller_is_better: bool = False


PRIMARY = Score("GMI kept", "gmi_fraction", "points", share=True)
OTHERS = (
    Score("GMI itself", "gmi_fraction", "points", factor=100.0, least=0.0),
    Score("SNR loss", "snr_loss_db", "dB", smaller_is_better=True),
    Score("AMC accuracy", "amc_accuracy", "points", factor=100.0),
    Score("channel NMSE", "channel_nmse_db", "dB", smaller_is_better=True),
    Score("worst-task retention", "retention", "points", factor=100.0),
)


class Arm(NamedTuple):
    """Which rows a side of a contrast takes; several pipelines count alike.

    Attributes:
      pipelines: of its rows.
      student, init, score_on, train_from: of its rows; what a pipeline does not have is usual.
      recovery: whether they end in the common recovery steps.
      order: of ``P`` and ``Q``, whichever of the two damages the model less (or more) alone at the
        operating point comes first; or any order.
    """

    pipelines: tuple[str, ...]
    student: str = "same"
    init: str = "teacher"
    score_on: str = "current"
    train_from: str = "snapped"
    recovery: bool = False
    order: Literal["any", "weaker first", "stronger first"] = "any"


class Claim(NamedTuple):
    """What others found: 1 if the first arm is better, -1 if the second is, 0 if neither is."""

    who: str
    sign: Literal[-1, 0, 1]


class Contrast(NamedTuple):
    """A question, and the two arms whose difference answers it.

    Attributes:
      question: in plain words.
      a_name, a: the first arm, its name short (``+r`` with recovery).
      b_name, b: the second; the estimate is the score of ``a`` minus that of ``b``, at equal bytes.
      literature: what others found of it.
    """

    question: str
    a_name: str
    a: Arm
    b_name: str
    b: Arm
    literature: tuple[Claim, ...] = ()


_THESIS = "the thesis"
_LLM = "2511.19495 (LLM)"
_CIFAR = "2604.04988 (CIFAR)"
_SPARSE_FIRST = "2405.20935 (sparsify first)"
_WEAKER_FIRST = "2603.18426 (theory)"
_BOTH_ORDERS = (
    *("P-Q", "P-Q-KD", "P-KD-Q", "KD-P-Q"),
    *("Q-P", "Q-P-KD", "Q-KD-P", "KD-Q-P"),
)

CONTRASTS = (
    Contrast(
        "Of the thesis's two orders, is quantizing first better than pruning first?",
        *("Q-P-KD", Arm(("Q-P-KD",))),
        *("P-Q-KD", Arm(("P-Q-KD",))),
        (Claim(_THESIS, 0), Claim(_CIFAR, -1), Claim(_SPARSE_FIRST, -1)),
    ),
    Contrast(
        "Is it better to distil before quantizing than after, if nothing follows?",
        *("P-KD-Q", Arm(("P-KD-Q",))),
        *("P-Q-KD", Arm(("P-Q-KD",))),
        (Claim(_THESIS, -1), Claim(_CIFAR, -1), Claim(_LLM, 1)),
    ),
    Contrast(
        "And if both end in the common recovery steps?",
        *("P-KD-Q+r", Arm(("P-KD-Q",), recovery=True)),
        *("P-Q-KD+r", Arm(("P-Q-KD",), recovery=True)),
        (Claim(_THESIS, -1), Claim(_CIFAR, -1), Claim(_LLM, 1)),
    ),
    Contrast(
        "Does distilling do more than fine-tuning alone?",
        *("P-Q-KD", Arm(("P-Q-KD",))),
        *("P-Q-FT", Arm(("P-Q-FT",))),
    ),
    Contrast(
        "In a smaller student, is distillation better last than first?",
        *("KD last", Arm(("P-Q-KD", "Q-P-KD"), student="smaller", recovery=True)),
        *("KD first", Arm(("KD-P-Q", "KD-Q-P"), student="smaller", recovery=True)),
        (Claim(_THESIS, 1), Claim(_CIFAR, 1)),
    ),
    Contrast(
        "Of P and Q, should the one go first that damages less alone?",
        *("weaker first", Arm(_BOTH_ORDERS, recovery=True, order="weaker first")),
        *("stronger first", Arm(_BOTH_ORDERS, recovery=True, order="stronger first")),
        (Claim(_WEAKER_FIRST, 1),),
    ),
    Contrast(
        "Does it help that P after Q scores the snapped weights and not the latent ones?",
        *("snapped", Arm(("Q-P-KD",))),
        *("latent", Arm(("Q-P-KD",), score_on="latent")),
        (Claim(_SPARSE_FIRST, -1),),
    ),
    Contrast(
        "Is compressing the teacher better than training the same bytes from scratch?",
        *("compressed", Arm(("P-Q-KD", "Q-P-KD"))),
        *("from scratch", Arm(("P-Q-FT", "Q-P-FT"), init="scratch")),
    ),
)
