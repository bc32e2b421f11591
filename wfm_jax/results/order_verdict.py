"""The verdict of an order study: a page of plain text."""

import itertools
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from wfm_jax.results import naming, sign_flips
from wfm_jax.results.order_contrasts import LEVEL, MARGIN, PRIMARY, Claim, Score
from wfm_jax.results.order_points import Unit, point_worth
from wfm_jax.results.order_rows import StudyRows
from wfm_jax.results.order_sanity import Sameness
from wfm_jax.results.order_study import Answer, Estimate
from wfm_jax.results.order_teachers import over_teachers
from wfm_jax.results.sign_flips import Interval

WIDTH = 100
_LONGEST_LIST = 8


class Findings(NamedTuple):
    """All that a study says.

    Attributes:
      study: its rows.
      units: its seeds.
      answers: to the declared contrasts, in the primary score.
      others: answers in other scores, exploratory.
      sanity: rows that must be the same.
      shuffled: runs with exchanged labels that established something, of how many; None if there
        were none.
    """

    study: StudyRows
    units: Sequence[Unit]
    answers: Sequence[Answer]
    others: Sequence[tuple[Score, Sequence[Answer]]] = ()
    sanity: Sequence[Sameness] = ()
    shuffled: tuple[int, int] | None = None


def verdict(findings: Findings) -> str:
    """The page, of lines of at most 100 columns."""
    blocks = [
        _head(findings),
        _summary(findings.answers),
        *(_contrast(i, answer, findings) for i, answer in enumerate(findings.answers)),
        _checks(findings),
    ]
    return "\n\n".join(blocks) + "\n"


def _head(findings: Findings) -> str:
    rows, seeds = findings.study.compared, Counter(unit.teacher for unit in findings.units)
    teachers = _few([f"{name} ({n})" for name, n in seeds.items()])
    device = ", ".join(sorted({str(row["device"]) for row in rows}))
    steps = ", ".join(sorted({f"{row['steps']:,}" for row in rows if row["steps"]})) or "no"
    recovery = sorted({row["recovery_steps"] for row in rows if row["recovery_steps"]})
    of_these = f", with recovery the last {recovery[0]:,} of them on the task" if recovery else ""
    m, n = len(findings.answers), len(findings.units)
    teacher = naming.reference(findings.study.rows, "teacher")
    size = f" of {teacher['params_total']:,} parameters" if teacher else ""
    read = sorted({naming.student_views(row).replace("+", " and ") for row in rows} - {""})
    reading = f" Students read {', '.join(read)} only." if read else ""
    lines = [
        "The order of pruning (P), quantization (Q) and distillation (KD)",
        "",
        *_wrapped(
            f"Seeds: {n}, nested in {len(seeds)} {_plural('teacher', len(seeds))}{size}: "
            f"{teachers}.{reading} Files: {len(rows):,}. Device: {device}. Test frames: "
            f"{rows[0]['test_frames_hash']}, the same for all."
        ),
        *_wrapped(
            f"Equal budgets: every pipeline with KD or FT has {steps} optimizer steps{of_these}. "
            "Compared at equal bytes of the packed file, seed by seed."
        ),
        *_wrapped(
            f"Score: {PRIMARY.name}, in points: 0 is the null model (every prunable weight zero, "
            f"and what is below it), 100 the teacher; a point is {_worth(findings.study)}. "
            f"Declared before the run: {m} contrasts. Established: p < {_p(LEVEL)} in a sign-flip "
            f"test over seeds, corrected for {m} contrasts (Holm). Equivalent: not established, "
            f"and all of the interval that holds for {m} contrasts at once is within {MARGIN:g} "
            "points. Intervals are over seeds, of 95 %; how scores would move with other test "
            "frames is not in them."
        ),
        *_wrapped(_power(m, n)),
    ]
    return "\n".join(lines)


def _worth(study: StudyRows) -> str:
    """A point in units of its column, by teacher where teachers differ."""
    worth = [f"{value:.2g}".lstrip("0") for value in point_worth(study, PRIMARY).values()]
    if len(set(worth)) == 1:
        return f"{worth[0]} of GMI fraction"
    return f"{_few(worth)} of GMI fraction, by teacher, which means over teachers mix"


def _power(m: int, n: int) -> str:
    """Whether so few seeds can establish anything, in words; empty where they can."""
    least, needed = min(2.0 ** (1 - n), 1.0), sign_flips.least_seeds(1.0 - LEVEL / m)
    if n >= needed:
        return ""
    alone = " (it could not if it were the only one)" if least > LEVEL else ""
    return (
        f"TOO FEW SEEDS: {n} of them cannot have a p-value below {_p(least)}, and the smallest of "
        f"{m} is multiplied by {m}. So no contrast can be established{alone}; {needed} seeds can."
    )


def _summary(answers: Sequence[Answer]) -> str:
    lines = ["In short"]
    for kind in ("established", "equivalent", "not established", "not run"):
        found = [
            f"{i} ({_winner(answer)})" if kind == "established" else f"{i}"
            for i, answer in enumerate(answers, start=1)
            if answer.verdict == kind
        ]
        lines += _wrapped(f"{kind}: {', '.join(found) or 'none'}", "  ")
    return "\n".join(lines)


def _winner(answer: Answer) -> str:
    names = answer.contrast.a_name, answer.contrast.b_name
    better, worse = names if answer.difference > 0.0 else names[::-1]
    return f"{better} over {worse}"


def _contrast(i: int, answer: Answer, findings: Findings) -> str:
    contrast, estimate = answer.contrast, answer.estimate
    word = answer.verdict.upper()
    question = f"{i + 1}  {contrast.question}"
    head, *more = textwrap.wrap(question, WIDTH - 18, subsequent_indent="   ")
    lines = [f"{head:<{WIDTH - len(word) - 1}} {word}", *more]
    name = f"{contrast.a_name} minus {contrast.b_name}"
    if answer.verdict == "not run":
        return "\n".join([*lines, *_wrapped(f"{name}: {estimate.why}.", "   ")])
    m, n = len(findings.answers), len(estimate.units)
    result = (
        f"{name}: {answer.difference:+.2f} points {_interval(answer.interval)}; all {m} at once "
        f"{_interval(answer.together)}; p {_p(answer.p)}, corrected {_p(answer.p_holm)}; {n} "
        f"{_plural('seed', n)}{_left_out(answer)}."
    )
    sentences = (result, _teachers(estimate), _sizes(answer), _in_other_scores(i, findings))
    lines += _wrapped(" ".join(filter(None, sentences)), "   ")
    if contrast.literature:
        claims = (f"{claim.who}: {_held_against(claim, answer)}" for claim in contrast.literature)
        lines += _wrapped(f"Literature. {'; '.join(claims)}.", "   ")
    return "\n".join(lines)


def _left_out(answer: Answer) -> str:
    """Seeds that lack an arm, in words; where one diverged, leaving them out favours it."""
    estimate, contrast = answer.estimate, answer.contrast
    if not estimate.missing:
        return ""
    words = f", {estimate.missing} left out: an arm is missing or diverged"
    if any(estimate.failed):
        a, b = estimate.failed
        words += f" ({contrast.a_name} in {a}, {contrast.b_name} in {b}, which favours it)"
    return words


def _teachers(estimate: Estimate) -> str:
    found = over_teachers(estimate)
    if len(found.means) < 2:
        return "One teacher: nothing is known of others."
    each = _few([f"{mean:+.2f}" for mean in found.means.values()])
    agree = "the same sign" if found.agree else "not the same sign"
    differ = "" if math.isnan(found.p_differ) else f" (p {_p(found.p_differ)} that they differ)"
    return f"By teacher {each}: {agree}{differ}; teachers at large {_interval(found.interval)}."


def _in_other_scores(i: int, findings: Findings) -> str:
    parts = []
    for score, answers in findings.others:
        if math.isfinite(difference := answers[i].difference):
            sign = -1.0 if score.smaller_is_better else 1.0
            parts.append(f"{score.name} {sign * difference:+.2f} {score.unit}")
    return f"Also {', '.join(parts)}." if parts else ""


def _sizes(answer: Answer) -> str:
    sentences = []
    for panel in answer.estimate.panels:
        of = ""
        if len(answer.estimate.panels) > 1:
            of = f" ({panel.structure}, mean {panel.differences.mean():+.2f})"
        low, high = (f"{size / 1000:.3g}" for size in panel.size_bytes[[0, -1]])
        at = _decided(panel.band(), panel.size_bytes / 1000)
        start = panel.indifferent_from()
        if start is None:
            stops = f"nowhere known to stay within {MARGIN:g} points"
        elif start == panel.size_bytes[0]:
            stops = f"within {MARGIN:g} points throughout"
        else:
            stops = f"within {MARGIN:g} points from {start / 1000:.3g} kB up"
        sentences.append(f"Over {low} to {high} kB{of}: {at}; {stops}.")
    return " ".join(sentences)


def _decided(band: Sequence[Interval], kilobytes: np.ndarray) -> str:
    """Where the sign is known, in words."""
    groups = itertools.groupby(range(len(band)), lambda i: band[i].holds(0.0))
    runs = [list(group) for holds_zero, group in groups if not holds_zero]
    if not runs:
        return "the sign is known at no size"
    if len(runs[0]) == len(band):
        return "the sign is known at all sizes"
    ends = [dict.fromkeys(f"{kilobytes[i]:.3g}" for i in (run[0], run[-1])) for run in runs]
    return f"the sign is known at {', '.join(map(' to '.join, ends))} kB"


def _held_against(claim: Claim, answer: Answer) -> str:
    """Whether the answer agrees with a claim, in words."""
    contrast = answer.contrast
    said = {1: f"{contrast.a_name} better", -1: f"{contrast.b_name} better", 0: "neither better"}
    if answer.verdict == "not established":
        held = "left open"
    elif claim.sign == 0:
        held = "agrees" if answer.negligible else "contradicted"
    elif answer.verdict == "equivalent":
        held = "contradicted (equivalent)"
    else:
        held = "agrees" if claim.sign * answer.difference > 0.0 else "contradicted"
        held += f" by less than {MARGIN:g} points" * answer.negligible
    return f"{said[claim.sign]}, {held}"


def _checks(findings: Findings) -> str:
    lines = (line for text in _check_texts(findings) for line in _wrapped(text, "  "))
    return "\n".join(["Checks", *lines])


def _check_texts(findings: Findings) -> Iterator[str]:
    if findings.shuffled is None:
        yield "labels exchanged: not run (--shuffles=200 does)"
    else:
        found, runs = findings.shuffled
        most = LEVEL * runs + 3.0 * math.sqrt(LEVEL * (1.0 - LEVEL) * runs)
        held = "as it must be" if found <= most else "MORE THAN CHANCE ALLOWS"
        yield (
            f"labels exchanged within each seed, student, recovery and operating point: {found} of "
            f"{runs} runs established something, at most {most:.0f} may: {held}"
        )
    for score, answers in findings.others:
        yield f"the same test in {score.name}: {_beside(findings.answers, answers)}"
    for same in findings.sanity:
        if not same.exact + same.trained:
            yield f"{same.name}: nothing to compare"
            continue
        parts = []
        if same.exact:
            held = "equal in every bit" if same.holds else f"DIFFER by up to {same.worst_exact:.3g}"
            parts.append(f"{same.exact} {_plural('pair', same.exact)}, {held}")
        if same.trained:
            parts.append(
                f"{same.trained} {_plural('pair', same.trained)} with training, largest difference "
                f"of a score {same.worst_trained:.3g}"
            )
        yield f"{same.name}: {'; '.join(parts)}"
    diverged = sum(map(naming.diverged, findings.study.compared))
    yield f"diverged: {diverged} of {len(findings.study.compared):,} configurations"
    if aside := findings.study.aside:
        listed = _few([f"{n} with {setting}" for setting, n in aside.items()])
        yield f"set aside, at settings that most rows do not have: {listed}"
    yield "everything but the contrasts' verdicts is exploratory"


def _beside(answers: Sequence[Answer], others: Sequence[Answer]) -> str:
    """What another score says of the established contrasts, in words."""
    kinds: dict[str, list[str]] = {"same sign": [], "left open": [], "OTHER SIGN": []}
    for i, (answer, other) in enumerate(zip(answers, others, strict=True), start=1):
        if answer.verdict != "established" or other.verdict == "not run":
            continue
        if other.verdict != "established":
            kinds["left open"].append(f"{i}")
        else:
            alike = (answer.difference > 0.0) == (other.difference > 0.0)
            kinds["same sign" if alike else "OTHER SIGN"].append(f"{i}")
    parts = [f"{kind} {', '.join(found)}" for kind, found in kinds.items() if found]
    return "; ".join(parts) or "nothing is established to compare"


def _few(texts: Sequence[str]) -> str:
    more = len(texts) - _LONGEST_LIST
    return ", ".join(texts[:_LONGEST_LIST]) + (f" and {more} more" if more > 0 else "")


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _interval(of: Interval) -> str:
    if math.isinf(of.low) or math.isinf(of.high):
        return "[no interval]"
    return f"[{of.low:+.2f}, {of.high:+.2f}]"


def _p(value: float) -> str:
    """``.016``; ``1`` and ``<.001`` where three digits say no more."""
    if value < 0.0005:
        return "<.001"
    return f"{value:.3f}".rstrip("0").rstrip(".").removeprefix("0")


def _plural(word: str, n: int) -> str:
    return word if n == 1 else f"{word}s"
