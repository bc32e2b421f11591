"""Pipelines as data: a string of stages, and what it means.

``P`` prunes, ``Q`` quantizes, ``KD`` distils, ``FT`` fine-tunes on the task loss alone; stages are
joined by ``-``, and ``none`` is the empty pipeline. ``S`` cuts out the heads and neurons that ``P``
removed: right after a ``P`` that is first, or last of all.
"""

import itertools

NONE = "none"
TRAINING_STAGES = ("KD", "FT")
STAGES = ("P", "Q", *TRAINING_STAGES, "S")
SHRINK_FIRST = ("P", "S")


def parse(pipeline: str) -> tuple[str, ...]:
    """Stages of a pipeline, first to last.

    Raises:
        ValueError: a stage that is none of P, Q, KD, FT, S, or an S that is neither in P-S at the
            start nor at the end behind a P.
    """
    if pipeline == NONE:
        return ()
    stages = tuple(pipeline.split("-"))
    for stage in stages:
        if stage not in STAGES:
            raise ValueError(
                f"unknown stage {stage!r} in pipeline {pipeline!r}: stages are "
                f"{', '.join(STAGES)}, joined by '-', or '{NONE}'"
            )
    for i, stage in enumerate(stages):
        first, last = stages[: i + 1] == SHRINK_FIRST, i == len(stages) - 1 and "P" in stages[:i]
        if stage == "S" and not (first or last):
            raise ValueError(
                f"S in pipeline {pipeline!r}: it follows a P that is the first stage, or ends a "
                "pipeline that has a P"
            )
    return stages


def text(stages: tuple[str, ...]) -> str:
    """The pipeline of these stages."""
    return "-".join(stages) or NONE


def orders(stages: tuple[str, ...] = ("P", "Q", "KD")) -> tuple[str, ...]:
    """Every sequence of the stages without repetition: sixteen for P, Q and KD."""
    return tuple(
        text(sequence)
        for length in range(len(stages) + 1)
        for sequence in itertools.permutations(stages, length)
    )


CONTROLS = ("FT", "P-Q-FT", "Q-P-FT")
DEFAULT = orders() + CONTROLS
"""The sixteen orders of P, Q and KD, and the three controls that fine-tune instead."""
