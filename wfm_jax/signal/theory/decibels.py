"""Arguments in dB to linear scale: the one place where NaN is refused."""

import numpy as np
from scipy import special

_HIGHEST_DB = 2800.0  # stands for +inf: its square roots and ratios stay finite


def finite_or_infinite(name: str, value: np.ndarray | float) -> np.ndarray:
    """``value`` as float64[...].

    Raises:
        ValueError: an entry is NaN; the message says ``name``.
    """
    value = np.asarray(value, np.float64)
    if np.isnan(value).any():
        raise ValueError(f"{name} must not be NaN, got {value}")
    return value


def power_ratio(name: str, value_db: np.ndarray | float) -> np.ndarray:
    """10^(dB/10) as float64[...]: 0 at -inf and 1e280 from 2800 dB on, at +inf too.

    Raises:
        ValueError: an entry is NaN; the message says ``name``.
    """
    return 10.0 ** (np.minimum(finite_or_infinite(name, value_db), _HIGHEST_DB) / 10.0)


def scattered_share(k_db: np.ndarray | float) -> np.ndarray:
    """q = 1/(1 + K) as float64[...]: 1 in Rayleigh fading (-inf dB), 0 without fading (+inf dB).

    Raises:
        ValueError: ``k_db`` is NaN somewhere.
    """
    return special.expit(-finite_or_infinite("k_db", k_db) * np.log(10.0) / 10.0)
