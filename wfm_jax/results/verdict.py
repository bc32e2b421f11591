"""What a run found, in plain words and with its numbers."""

import math
from collections.abc import Sequence

from wfm_jax.results import naming
from wfm_jax.results.groups import Group, comparable, group_rows
from wfm_jax.results.naming import Row, number

GOAL = 0.95
_MOST_POINTS = 4  # in one sentence
_SIZE_CLASSES = ((16.0, math.inf), (8.0, 16.0), (0.0, 8.0))  # compression ratios
_TASKS = (  # column, words, factor, format, unit
    ("amc_accuracy", "AMC accuracy", 100, "+.1f", " points"),
    ("gmi_fraction", "GMI fraction", 1, "+.3f", ""),
    ("channel_nmse_db", "channel NMSE", 1, "+.2f", " dB"),
    ("k_mae_db", "K-factor error", 1, "+.2f", " dB"),
    ("snr_mae_db", "SNR error", 1, "+.2f", " dB"),
    ("los_accuracy", "LOS accuracy", 100, "+.1f", " points"),
    ("example_score", "score", 1, "+.4f", ""),
)


def closing_paragraph(rows: Sequence[Row]) -> str:
    """A few sentences on result rows: the winner, what it lost, the orders, KD against FT.

    The winner is the smallest file whose retention, less its interval, is at least 95 %; without
    one, the best of each size class is named. What cannot be said from these rows is said so.
    """
    return " ".join(sentences(rows))


def sentences(rows: Sequence[Row]) -> list[str]:
    """The sentences of :func:`closing_paragraph`; the first one names the winner."""
    groups = group_rows(rows)
    diverged = sum(naming.diverged(row) for row in naming.configurations(rows))
    if not groups:
        return [f"No configuration has a score; diverged: {diverged}."]
    teacher = naming.reference(rows, "teacher") or {}
    # Orders are compared where the student starts as the teacher, the mildest point first.
    alike = [g for g in groups if (g.row.get("student") or "same") == "same"] or groups
    found = [*_winner(groups, teacher), _orders(alike[::-1]), _distillation(alike[::-1])]
    if diverged:
        found.append(f"Left out because they diverged: {diverged}.")
    return found


def _winner(groups: list[Group], teacher: Row) -> list[str]:
    goal = f"{100 * GOAL:.0f} % of the teacher on every task"
    for group in groups:
        if group.retention - group.half_width >= GOAL:
            return [
                f"The smallest file that keeps {goal}, interval included, is "
                f"{naming.point_name(group.row)} with {_numbers(group)}.",
                *_losses(group, teacher),
            ]
    classes = [[g for g in groups if low <= g.ratio < high] for low, high in _SIZE_CLASSES]
    best = [_best(members)[0] for members in classes if members] or _best(groups)[:1]
    listed = "; ".join(f"{naming.point_name(group.row)} with {_numbers(group)}" for group in best)
    return [
        f"No configuration keeps {goal} once its interval is counted.",
        f"The highest retention by size class: {listed}.",
        *_losses(_best(best)[0], teacher),
    ]


def _losses(group: Group, teacher: Row) -> list[str]:
    parts = []
    for column, words, factor, form, unit in _TASKS:
        change = factor * (number(group.row, column) - number(teacher, column))
        if math.isfinite(change):
            parts.append(f"{words} {format(change, form)}{unit}")
    if math.isfinite(loss := number(group.row, "snr_loss_db")):
        parts.append(f"{loss:.2f} dB more SNR for the same BER in the worst constellation")
    if not parts:
        return []
    return [f"Against the teacher, {naming.point_name(group.row)} has {', '.join(parts)}."]


def _orders(groups: list[Group]) -> str:
    """Best and runner-up among the orders of P, Q and KD, else of P and Q, at each point."""
    for stages in (["KD", "P", "Q"], ["P", "Q"]):
        found = []
        for members in comparable(groups):
            orders = _best([g for g in members if sorted(naming.stages(g.row)) == stages])
            if len(orders) > 1:
                best, second = orders[:2]
                found.append(
                    f"at {_where(best)} {naming.pipeline_name(best.row)} ({_short(best)}) before "
                    f"{naming.pipeline_name(second.row)} ({_short(second)}), "
                    f"{_verdict(best, second)}"
                )
        if found:
            return _listing("Order:", found, "")
    return "No two orders were run at the same setting."


def _distillation(groups: list[Group]) -> str:
    """P-Q-KD against P-Q-FT, all else equal."""
    found = []
    for members in comparable(groups):
        distilled, tuned = (
            _best([g for g in members if g.row.get("pipeline") == name])
            for name in ("P-Q-KD", "P-Q-FT")
        )
        if distilled and tuned:
            gap = 100 * (distilled[0].retention - tuned[0].retention)
            found.append(
                f"{gap:+.1f} points of retention at {_where(tuned[0])}, "
                f"{_verdict(distilled[0], tuned[0])}"
            )
    nothing = "Distillation was not run beside plain fine-tuning at the same setting."
    return _listing("KD against plain fine-tuning (P-Q-KD, P-Q-FT):", found, nothing)


def _listing(start: str, found: list[str], nothing: str) -> str:
    if not found:
        return nothing
    more = len(found) - _MOST_POINTS
    tail = f"; and {more} more" if more > 0 else ""
    return f"{start} {'; '.join(found[:_MOST_POINTS])}{tail}."


def _best(groups: list[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: -group.retention)


def _verdict(one: Group, other: Group) -> str:
    decided = one.beats(other) or other.beats(one)
    return "beyond the intervals" if decided else "within the intervals"


def _where(group: Group) -> str:
    student = group.row.get("student") or "same"
    recovery = " with recovery" if group.row.get("recovery_steps") else ""
    point = naming.operating_point(group.row)
    return point + ("" if student == "same" else f" ({student} student)") + recovery


def _numbers(group: Group) -> str:
    smaller = f", {group.ratio:.1f}x smaller" if math.isfinite(group.ratio) else ""
    return f"{_share(group)} retention in {group.size_kb:.1f} kB{smaller}"


def _short(group: Group) -> str:
    return f"{_share(group)}, {group.size_kb:.1f} kB"


def _share(group: Group) -> str:
    return f"{100 * group.retention:.1f} ± {100 * group.half_width:.1f} %"
