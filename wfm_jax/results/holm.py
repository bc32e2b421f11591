"""Several tests at once: Holm's step-down correction.

S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979.
"""

from collections.abc import Sequence

import numpy as np


def adjusted(p_values: Sequence[float]) -> np.ndarray:
    """P-values that may each be held against one level: below it, at most that often is any of the
    rejected hypotheses true, however the tests depend on each other.

    The smallest is multiplied by the number of tests, the next by one less, and so on; none falls
    below one before it, none exceeds 1.

    Args:
        p_values: [m], one a test, in [0, 1].

    Returns:
        float64[m], in the same order.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
