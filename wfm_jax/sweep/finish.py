"""The end of a cohort: every configuration is measured, and its row is on disk.

Each process measures the configurations on its own devices; the first one writes what all found.
"""

import pathlib
import time
from typing import Any

from wfm_jax.results import atomic, rows, status
from wfm_jax.sweep import processes
from wfm_jax.sweep.cohort import Cohort
from wfm_jax.sweep.devices import own_share
from wfm_jax.sweep.group import Group
from wfm_jax.sweep.handover import everybody, one_of
from wfm_jax.sweep.run import FINISH, ROWS, Run


def finish_cohort(run: Run, group: Group, cohort: Cohort, began: float) -> None:
    """Rows of everybody in a finished cohort that has none yet.

    Args:
        run: the sweep.
        group: the cohort's.
        cohort: at the end of its pipelines.
        began: when it started, ``time.monotonic()``; its time is shared by its rows.

    Raises:
        Stopped: a signal came; rows so far are on disk.
    """
    members, known = cohort.configurations, run.finished()
    run.tell(f"{group.name}: measuring, {len(members)} to go", stage=status.MEASURING)
    share_s = (time.monotonic() - began) / len(members)
    first, own = own_share(everybody(cohort.students, choices=cohort.choices))
    for place in range(cohort.width // processes.count()):
        i, found = first + place, None
        if i < len(members) and members[i].config_id not in known:
            with run.doing(FINISH, 1.0, program=(group.name, "examine")):
                deployed = one_of(own, place, members[i], cohort.choices)
                deployed = deployed._replace(diverged_at=cohort.diverged_at[i])
                row = run.examiner.examine(group.problem, members[i], deployed, share_s)
                found = row if processes.count() == 1 else _packed(run, row)
        _write(run, processes.from_each(found))
        if any_left := sum(c.config_id not in known for c in members[place + 1 :]):
            run.tell(f"{group.name}: measuring, {any_left} to go")
        run.raise_if_asked()


def _packed(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    """A row with the files that belong to it, as a JSON value."""
    files = run.examiner.take_files(row["config_id"]) if not processes.is_first() else {}
    return {"row": row, "files": {name: processes.to_text(data) for name, data in files.items()}}


def _write(run: Run, found: list[Any]) -> None:
    """Puts what the processes found on disk; the files first."""
    there = [one for one in found if one is not None]

    def write() -> None:
        for one in there:
            for name, text in one.get("files", {}).items():
                path = pathlib.Path(run.folder) / name
                atomic.write_bytes(path, processes.to_bytes(text))
            rows.append_row(run.folder / ROWS, one.get("row", one))

    if there:
        processes.agree(write)
        run.wrote(one.get("row", one) for one in there)
