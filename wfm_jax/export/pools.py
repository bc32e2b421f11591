"""Which integers of a packed file are written together, and in which order.

Integers of one kind are one array whatever tensor they are from: few histograms, each of many
integers. Weights are ordered by the step of their grid, so that neighbours are alike: pruning by
magnitude leaves few weights of a channel of small ones, and no small codes in one of large ones. A
reader knows the steps by then. On the nano teacher at 4 bits, 75 % and 90 % of its kernels pruned,
these take 3.9 % and 6.0 % less than the entropy of each kernel's own histogram.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wfm_jax.export.coarse import to_codes
from wfm_jax.export.grids import Grid
from wfm_jax.export.header import Record

SIDE = ("scales", "zero_points", "rows")
WEIGHTS = ("pruned", "matrices", "vectors")


class Pool(NamedTuple):
    """An array of the stream.

    Attributes:
      section: of ``SIDE``, what a reader needs first; or of ``WEIGHTS``: those of tensors with a
        keep mask, of other tensors of two axes or more, of vectors.
      kind: what else they have in common: how scales are stored, or grid and bits of weights.
      members: the places of the tensors among the records.
    """

    section: str
    kind: tuple
    members: tuple[int, ...]


def pools(records: Sequence[Record]) -> list[Pool]:
    """The arrays of the stream, in the order in which they are read."""
    members: dict[tuple, list[int]] = {}
    for i, record in enumerate(records):
        for section in counts(record):
            weights = section in WEIGHTS
            kind = (record.grid, record.bits) if weights else (record.scales, record.bits)
            kind = () if section == "rows" else kind
            members.setdefault((section, kind), []).append(i)
    found = [Pool(section, kind, tuple(at)) for (section, kind), at in members.items()]
    return sorted(found, key=lambda pool: (*SIDE, *WEIGHTS).index(pool.section))


def counts(record: Record) -> dict[str, int]:
    """How many integers a tensor has, by section."""
    sections = record.form.integers()
    if has_rows(record):
        sections["rows"] = record.shape[0]
    return sections | {section_of(record): record.size}


def section_of(record: Record) -> str:
    """The section of a tensor's weights."""
    if record.pruned:
        return "pruned"
    return "matrices" if len(record.shape) > 1 else "vectors"


def has_rows(record: Record) -> bool:
    """Whether the file says which rows of a tensor hold anything: of matrices with a keep mask."""
    return bool(record.pruned) and len(record.shape) == 2


def live_rows(integers: np.ndarray) -> np.ndarray:
    """1 for each row of ``[in, out]`` that is not all zeros, int32 ``[in]``."""
    return np.asarray(integers.any(axis=1), np.int32)


def order(members: Sequence[tuple[Grid, Record, Mapping[str, np.ndarray]]]) -> np.ndarray:
    """The order of a pool's weights: by the leading 16 bits of the step, 0 in rows of nothing.

    Args:
      members: of each tensor the grid, the record, and the integers by section that were read
        before its weights.

    Returns:
      int ``[n]``, which of the joined weights comes first, second and so on; those of equal steps
      as they lie in memory.
    """
    keys = []
    for grid, record, integers in members:
        steps = grid.steps(tuple(record.shape))
        keys.append((steps * integers["rows"][:, None] if has_rows(record) else steps).ravel())
    leading = to_codes(np.concatenate(keys).astype(np.float32), 7).astype(np.uint16)
    return np.argsort(leading, kind="stable")
