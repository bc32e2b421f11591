"""Pipelines as data: a string of stages, and what it means.

``P`` prunes, ``Q`` quantizes, ``KD`` distils, ``FT`` fine-tunes on the task loss alone; stages are
joined by ``-``, and ``none`` is the empty pipeline. ``S`` cuts out the heads and neurons that ``P``
removed: right after a ``P`` that is first, or last of all. ``L`` stores the encoder's kernels as
products of two thin ones: first of all, or right after such a ``P-S``. What ``P-S``, ``L`` and
``P-S-L`` leave at the start is an architecture of its own, and what follows acts on its kernels.
"""

import itertools

NONE = "none"
TRAINING_STAGES = ("KD", "FT")
STAGES = ("P", "Q", *TRAINING_STAGES, "S", "L")
REBUILDING = (("P", "S", "L"), ("P", "S"), ("L",))


def parse(pipeline: str) -> tuple[str, ...]:
    """Stages of a pipeline, first to last.

    >>> parse("Q-P-KD")
    ('Q', 'P', 'KD')

    Raises:
        ValueError: a stage that is none of P, Q, KD, FT, S, L; an S that is neither in P-S at the
            start nor at the end behind a P; an L that is neither first nor behind such a P-S.
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
    rest = stages[len(rebuilding(stages)) :]
    if "S" in rest[:-1] or (rest[-1:] == ("S",) and "P" not in rest):
        raise ValueError(
            f"S in pipeline {pipeline!r}: it follows a P that is the first stage, or ends a "
            "pipeline that has a P"
        )
    if "L" in rest:
        raise ValueError(
            f"L in pipeline {pipeline!r}: it is the first stage, or follows P-S at the start"
        )
    return stages


def rebuilding(stages: tuple[str, ...]) -> tuple[str, ...]:
    """The stages at the start that leave an architecture of its own, maybe none."""
    return next((start for start in REBUILDING if stages[: len(start)] == start), ())


def text(stages: tuple[str, ...]) -> str:
    """The pipeline of these stages."""
    return "-".join(stages) or NONE


def orders(stages: tuple[str, ...] = ("P", "Q", "KD")) -> tuple[str, ...]:
    """Every sequence of the stages without repetition: sixteen for P, Q and KD.

    >>> orders(("P", "Q"))
    ('none', 'P', 'Q', 'P-Q', 'Q-P')
    """
    return tuple(
        text(sequence)
        for length in range(len(stages) + 1)
        for sequence in itertools.permutations(stages, length)
    )


CONTROLS = ("FT", "P-Q-FT", "Q-P-FT")
DEFAULT = orders() + CONTROLS
"""The sixteen orders of P, Q and KD, and the three controls that fine-tune instead."""
