"""Floats of few binary digits as integers: the leading bits of their float32 form.

The integers of numbers that are not negative are in the order of the numbers, and one apart where
the numbers are neighbours. So ``wfm_jax.compress.round_up_scale`` makes scales of which a file
holds some five bits each, and a histogram's counts take seven.
"""

import numpy as np

FRACTION_BITS = range(8)
_FLOAT32_FRACTION = 23


def fraction_bits_of(values: np.ndarray) -> int | None:
    """The least of ``FRACTION_BITS`` that hold all ``values`` bit for bit, None if none does.

    None also for a negative number, an infinity, a NaN.
    """
    values = np.asarray(values, np.float32)
    if np.signbit(values).any() or not np.isfinite(values).all():
        return None
    used = int(np.bitwise_or.reduce(_bits(values), axis=None)) & (1 << _FLOAT32_FRACTION) - 1
    lowest_used = (used & -used).bit_length() - 1 if used else _FLOAT32_FRACTION
    digits = _FLOAT32_FRACTION - lowest_used
    return digits if digits in FRACTION_BITS else None


def to_codes(values: np.ndarray, fraction_bits: int) -> np.ndarray:
    """int32 of the shape of ``values``, rounded down; of one ``127 << fraction_bits``."""
    bits = _bits(np.asarray(values, np.float32))
    return (bits >> _FLOAT32_FRACTION - fraction_bits).astype(np.int32)


def from_codes(codes: np.ndarray, fraction_bits: int) -> np.ndarray:
    """The float32 numbers of ``to_codes``."""
    bits = np.asarray(codes).astype(np.uint32) << np.uint32(_FLOAT32_FRACTION - fraction_bits)
    return bits.view(np.float32)


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(np.uint32).reshape(values.shape)
