"""Levels on an axis as they are typed: first:last:step, or a,b,..."""

import math

from absl import flags


def parse_levels(name: str, text: str) -> tuple[float, ...]:
    """The levels, each once, in the order in which they are written; a bad text is an error that
    names its flag."""
    try:
        if ":" not in text:
            found = [float(part) for part in text.split(",") if part.strip()]
        else:
            first, last, step = (float(part) for part in text.split(":"))
            if not (step > 0.0 and first <= last and (last - first) / step < 1000):
                raise ValueError("first <= last and a step above 0 are needed")
            count = math.floor((last - first) / step + 1e-9) + 1
            found = [round(first + i * step, 9) for i in range(count)]
        if not found or not all(-100.0 <= level <= 200.0 for level in found):
            raise ValueError("at least one number from -100 to 200 is needed")
    except ValueError as error:
        raise flags.ValidationError(
            f"--{name}={text}: write first:last:step or a,b,... ({error})"
        ) from None
    return tuple(dict.fromkeys(found))
