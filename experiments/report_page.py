"""Runs as a report page, with the command of every row; what the mains report and sweep share."""

import importlib.util
import pathlib
from collections.abc import Sequence

from experiments import reproduce
from wfm_jax.results.plan import Fact, Plan, counted, disk_fact
from wfm_jax.results.report import extras, page
from wfm_jax.results.report.run_folder import Run, flags_of, read_run

NAME = "report.html"
_PAGE_BYTES, _ROW_BYTES = 5e6, 800.0


def can_be_drawn() -> bool:
    """Whether plotly is there, which draws the page's pictures."""
    return importlib.util.find_spec("plotly") is not None


def write(
    workdirs: Sequence[str],
    html: str | None = None,
    *,
    cells: Sequence[str] = (),
    profiles: Sequence[str] = (),
) -> tuple[pathlib.Path, list[Run]]:
    """Writes the page and says where it is, and of what.

    Args:
        workdirs: run folders of sweeps.
        html: of the file; by default ``report.html`` in the first folder.
        cells: folders or files of ``experiments.sensitivity``.
        profiles: folders or files of ``experiments.profile``.

    Raises:
        ValueError, OSError: a folder that is none, or a page that cannot be written; one line.
    """
    runs, path = _asked(workdirs, html)
    page.write_page(
        runs,
        path,
        commands=[reproduce.commands(run.rows, flags_of(run)) for run in runs],
        cells=[extras.read_cells(folder) for folder in (*cells, *_beside(workdirs, extras.CELLS))],
        profiles=[
            extras.read_profile(folder)
            for folder in (*profiles, *_beside(workdirs, extras.PROFILE))
        ],
    )
    return path.resolve(), runs


def plan(workdirs: Sequence[str], html: str | None = None) -> Plan:
    """What :func:`write` would do; the same errors."""
    runs, path = _asked(workdirs, html)
    n_rows = sum(len(run.rows) for run in runs)
    facts = [
        Fact(f"run {run.name}", counted(len(run.rows), "row"), "; ".join(run.notes)) for run in runs
    ]
    facts += [
        Fact("page", path.name, "replaced" if path.exists() else "new"),
        disk_fact(path.parent, _PAGE_BYTES + _ROW_BYTES * n_rows, "pictures' code and rows"),
        Fact("time", "seconds", "nothing is compiled"),
    ]
    return Plan("a report page", tuple(facts))


def _asked(workdirs: Sequence[str], html: str | None) -> tuple[list[Run], pathlib.Path]:
    """The runs, and the file that their page goes to."""
    names = _names([pathlib.Path(folder).resolve() for folder in workdirs])
    runs = [read_run(folder, name) for folder, name in zip(workdirs, names, strict=True)]
    path = pathlib.Path(html) if html else pathlib.Path(workdirs[0]) / NAME
    if not path.parent.is_dir():
        raise ValueError(f"--html={path}: there is no folder {path.parent}")
    return runs, path


def _beside(workdirs: Sequence[str], name: str) -> list[str]:
    """The run folders that hold such a file too."""
    return [folder for folder in workdirs if (pathlib.Path(folder) / name).is_file()]


def _names(folders: Sequence[pathlib.Path]) -> list[str]:
    """Names of folders, with as many parents as tell them apart."""
    for depth in range(1, 9):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]
