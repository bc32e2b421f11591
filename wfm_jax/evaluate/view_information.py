"""Which view tells what, by argument: what there is to lose when a view is removed.

``yes``: what receivers read for the task is in the view. ``part``: the view depends on it, but what
receivers read is gone. ``no``: the view says nothing of it. A task that several views tell is told
by the best of them.

All other views are functions of ``iq``: the elements by an FFT of each symbol without its prefix,
``csi`` by dividing the pilots among the elements, the spectrogram by windows over the samples.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from wfm_jax.model.config import VIEWS

Level = Literal["yes", "part", "no"]
TASKS = ("modulation", "bits", "channel", "snr", "k", "los", "delay_spread")


class Told(NamedTuple):
    """Whether a view tells a task, and why."""

    level: Level
    reason: str


_GRID = "the received elements, pilots among them; the prefix repeats what they say"
_IQ = "the elements are its FFT, symbol by symbol"
_PILOTS = "the channel at the pilots, of which it is a property"
_POWERS = "powers follow |h| over frequency, blurred by data and window; no phase"

INFORMATION: dict[str, dict[str, Told]] = {
    "grid": dict.fromkeys(TASKS, Told("yes", _GRID)),
    "iq": dict.fromkeys(TASKS, Told("yes", _IQ)),
    "csi": {
        "modulation": Told("no", "pilots are the same for every constellation"),
        "bits": Told("no", "no data element is in it"),
        "channel": Told("yes", "the channel at the pilots; between them it is interpolated"),
        "snr": Told("yes", "pilot symbols of a channel that stands still differ by noise alone"),
        "k": Told("yes", _PILOTS),
        "los": Told("yes", _PILOTS),
        "delay_spread": Told("yes", _PILOTS),
    },
    "spectrogram": {
        "modulation": Told("part", "powers spread more with more rings; three elements mix in one"),
        "bits": Told("no", "powers without phase, fewer numbers than the elements have"),
        "channel": Told("no", "powers without phase"),
        "snr": Told("part", "noise fills the fades, but data moves the powers as well"),
        "k": Told("part", _POWERS),
        "los": Told("part", _POWERS),
        "delay_spread": Told("part", _POWERS),
    },
}


def told_by(views: Sequence[str], task: str) -> Told:
    """The best that the views tell of a task, and why; the first of equals in ``VIEWS``.

    Raises:
        ValueError: no view, an unknown view or task.
    """
    if unknown := [view for view in views if view not in VIEWS]:
        raise ValueError(f"views are {', '.join(VIEWS)}, got {unknown[0]!r}")
    if not views:
        raise ValueError(f"at least one of the views {', '.join(VIEWS)} is needed")
    if task not in TASKS:
        raise ValueError(f"tasks are {', '.join(TASKS)}, got {task!r}")
    order: tuple[Level, ...] = ("no", "part", "yes")
    present = [INFORMATION[view][task] for view in VIEWS if view in views]
    return max(present, key=lambda told: order.index(told.level))
