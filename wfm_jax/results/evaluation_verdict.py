"""Where a model stands, in words: what was aimed at, whether it holds, and its worst case."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from wfm_jax.results.evaluation_rows import constellations, select
from wfm_jax.results.rows import Row


class Aim(NamedTuple):
    """A limit on a difference to a classical receiver, over a range of SNRs.

    Attributes:
        metric: of the rows.
        words: what the limit is about.
        limit: in ``unit``; a loss, so that less is better.
        snr_range_db: both ends belong to it.
        unit: of the limit.
        factor: from the rows' values to losses in ``unit``.
        by_constellation: whether it must hold for each of them.
    """

    metric: str
    words: str
    limit: float
    snr_range_db: tuple[float, float]
    unit: str
    factor: float
    by_constellation: bool = False


AIMS = (
    Aim("behind_lmmse_db", "Bits behind LMMSE", 0.3, (5.0, 25.0), "dB", 1.0, True),
    Aim(
        "amc_minus_likelihood",
        "Modulation below the likelihood classifier behind LMMSE",
        3.0,
        (10.0, 30.0),
        "points",
        -100.0,
    ),
    Aim("nmse_over_lmmse_db", "Channel NMSE over that of LMMSE", 0.5, (0.0, 20.0), "dB", 1.0),
)


def closing_paragraph(found: Sequence[Row], aims: Sequence[Aim] = AIMS) -> str:
    """A few sentences on rows of ``evaluation_rows.COLUMNS``: each aim, the gap to a known channel,
    and where the model is ahead of LMMSE."""
    sentences = [_sentence(found, aim) for aim in aims]
    return " ".join([*sentences, *_gap_to_genie(found), *_ahead(found)])


class _Point(NamedTuple):
    loss: float
    high: float
    where: str


def _sentence(found: Sequence[Row], aim: Aim) -> str:
    low, high = aim.snr_range_db
    aimed = f"{aim.words}, at most {aim.limit:g} {aim.unit} from {low:g} to {high:g} dB:"
    points, unread = _points(found, aim)
    if not points:
        return f"{aimed} none could be read." if unread else f"{aimed} nothing was measured there."
    worst = max(points, key=lambda point: point.loss)
    missed = sum(point.loss > aim.limit for point in points)
    digits = 1 if aim.unit == "points" else 2
    case = f"{worst.where} with {worst.loss:+.{digits}f} {aim.unit}"
    case += f" (95 % interval up to {worst.high:+.{digits}f})" if math.isfinite(worst.high) else ""
    said = f"{aimed} no, not at {missed} of {len(points)} points" if missed else f"{aimed} yes"
    said += f"; the worst is {case}"
    beyond = sum(point.high > aim.limit for point in points)
    if beyond and not missed:
        said += f"; {beyond} of {len(points)} intervals reach beyond"
    return said + (f"; {unread} more could not be read." if unread else ".")


def _points(found: Sequence[Row], aim: Aim) -> tuple[list[_Point], int]:
    """The points in range that have a value, and how many have none."""
    points, unread = [], 0
    for m in constellations(found) if aim.by_constellation else [None]:
        for row in select(found, "model", aim.metric, bits_per_symbol=m):
            if not aim.snr_range_db[0] <= row["snr_db"] <= aim.snr_range_db[1]:
                continue
            if row["value"] is None:
                unread += 1
                continue
            ends = [aim.factor * row[name] for name in ("low", "high") if row[name] is not None]
            where = f"{2**m}-QAM at {row['snr_db']:g} dB" if m else f"{row['snr_db']:g} dB"
            points.append(_Point(aim.factor * row["value"], max(ends, default=math.nan), where))
    return points, unread


def _gap_to_genie(found: Sequence[Row]) -> list[str]:
    """One sentence: the range of the gap over constellations and SNRs of the first aim."""
    low, high = AIMS[0].snr_range_db
    curves = [
        select(found, "model", "behind_genie_db", bits_per_symbol=m) for m in constellations(found)
    ]
    gaps = [
        row["value"]
        for curve in curves
        for row in curve
        if low <= row["snr_db"] <= high and row["value"] is not None
    ]
    if not gaps:
        return []
    return [
        f"The gap to a receiver that knows the channel is {min(gaps):.2f} to {max(gaps):.2f} dB "
        f"there."
    ]


def _ahead(found: Sequence[Row]) -> list[str]:
    """A sentence a reference: at which points the whole interval is on the model's side."""
    sentences = []
    for metric, words in (
        ("behind_lmmse_db", "LMMSE"),
        ("behind_lmmse_true_db", "LMMSE told the frame's own profile"),
    ):
        parts = []
        for m in constellations(found):
            curve = select(found, "model", metric, bits_per_symbol=m)
            ahead = [row["high"] is not None and row["high"] < 0.0 for row in curve]
            if any(ahead):
                parts.append(f"{2**m}-QAM at {_stretches([r['snr_db'] for r in curve], ahead)} dB")
        where = "; ".join(parts) or "nowhere"
        sentences.append(f"Ahead of {words}, interval included: {where}.")
    return sentences


def _stretches(levels: Sequence[float], ahead: Sequence[bool]) -> str:
    """Neighbours in a row are told by their ends: ``0, 5 to 20``."""
    parts = []
    for is_ahead, members in itertools.groupby(zip(ahead, levels, strict=True), lambda x: x[0]):
        stretch = [f"{level:g}" for _, level in members]
        if is_ahead:
            parts.append(" to ".join(dict.fromkeys([stretch[0], stretch[-1]])))
    return ", ".join(parts)
