"""An allocation of ``experiments.sensitivity`` as the value of a flag."""

import json
import os

from wfm_jax.results import sensitivity_rows

UNIFORM = "uniform"


def allocation(text: str) -> tuple[tuple[str, int], ...]:
    """Pairs of a tensor's path and its bits; none for ``uniform``.

    Args:
        text: ``uniform``, or ``FILE:BUDGET:NAME``: an ``allocation.jsonl``, the number of a budget
            in the order of the file, and the name of an allocation under it.

    Raises:
        ValueError: it is neither, or the file does not have it.
    """
    if text == UNIFORM:
        return ()
    file, _, choice = text.rpartition(":")
    file, _, number = file.rpartition(":")
    if not file or not number.isdigit():
        raise ValueError(
            f"an allocation is {UNIFORM}, or FILE:BUDGET:NAME like "
            "runs/sensitivity/allocation.jsonl:1:measured"
        )
    if not os.path.isfile(file):
        raise ValueError(f"no such file: {file}")
    rows, _ = sensitivity_rows.read_allocations(file)
    budgets = sensitivity_rows.distinct(rows, "budget")
    names = sensitivity_rows.distinct(rows, "configuration")
    if not 1 <= int(number) <= len(budgets) or choice not in names:
        raise ValueError(
            f"{file} has budgets 1 to {len(budgets)} and allocations {', '.join(names)}"
        )
    wanted = budgets[int(number) - 1], choice
    row = next(row for row in rows if (row["budget"], row["configuration"]) == wanted)
    return tuple(sorted(json.loads(row["bits"]).items()))
