"""An axis of file sizes: logarithmic, with a few round numbers on it, however short it is."""

from typing import Any

import numpy as np

_DIGITS = (  # coarse to fine
    (1, 2, 5),
    (1, 1.5, 2, 3, 5, 7),
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9),
    *(tuple(np.arange(10, 100, step) / 10) for step in (5, 2, 1)),
)
_FEWEST = 3


def size_ticks(low: float, high: float) -> np.ndarray:
    """Round numbers from ``low`` to ``high``: of the coarsest kind that has three of them."""
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = np.empty(0)
    for digits in _DIGITS:
        ticks = np.outer(powers, digits).ravel()
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if ticks.size >= _FEWEST:
            break
    return ticks


def show_sizes(axes: Any, low: float, high: float, *, pad: float = 1.0) -> None:
    """Makes the x axis of a Matplotlib axes one of kB from ``low`` to ``high``, times ``pad``."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log")
    axes.set_xlim(low / pad, high * pad)
    axes.xaxis.set_major_locator(FixedLocator(size_ticks(low / pad, high * pad).tolist()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda kilobytes, _: f"{kilobytes:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
