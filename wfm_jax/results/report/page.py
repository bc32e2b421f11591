"""The report page: one HTML file with everything inside."""

import os
import string
from collections.abc import Sequence
from html import escape
from importlib import resources

from wfm_jax.results import atomic
from wfm_jax.results.report import content, prose
from wfm_jax.results.report.commands import Commands
from wfm_jax.results.report.embed import policy, safe_json
from wfm_jax.results.report.extras import Cells, Profile
from wfm_jax.results.report.run_folder import Run

_FOLDER = resources.files("wfm_jax.results.report") / "page"
_PROGRAMS = ("data", "elements", "row", "filters", "plots", "front", "orders", "tasks", "curves",
             "sensitivity", "latency", "table", "start")  # fmt: skip


def write_page(
    runs: Sequence[Run],
    path: str | os.PathLike,
    *,
    commands: Sequence[Commands | None] | None = None,
    cells: Sequence[Cells] = (),
    profiles: Sequence[Profile] = (),
) -> None:
    """Writes the page in one step: readers see the old one or the new one.

    Args:
        runs: one or more, from ``run_folder.read_run``.
        path: of the HTML file.
        commands: how to make the rows of each run again; None for a run where that is not known.
        cells: sensitivity, from ``extras.read_cells``.
        profiles: latency, from ``extras.read_profile``.

    Raises:
        ValueError: plotly is not installed; one line.
        OSError: the file cannot be written.
    """
    text = page(runs, plotly_program(), commands=commands, cells=cells, profiles=profiles)
    atomic.write_bytes(path, text.encode())


def plotly_program() -> str:
    """The text of plotly.js. Raises ValueError, one line, where plotly is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise ValueError(
            "the page's pictures are drawn by plotly, which is not installed: "
            "pip install 'wfm_jax[report]'"
        ) from None
    return get_plotlyjs()


def page(
    runs: Sequence[Run],
    plotly: str,
    *,
    commands: Sequence[Commands | None] | None = None,
    cells: Sequence[Cells] = (),
    profiles: Sequence[Profile] = (),
) -> str:
    """The HTML of :func:`write_page`, around a given text of plotly.js."""
    commands = list(commands) if commands is not None else [None] * len(runs)
    found = content.findings(runs)
    own = "".join(_part(f"{name}.js") for name in _PROGRAMS)
    own = f'"use strict";\n(() => {{\n{own}}})();\n'
    noted = [note for beside in (*cells, *profiles) for note in beside.notes]
    title = ", ".join(run.name for run in runs)
    return string.Template(_part("page.html")).substitute(
        title=escape(title),
        policy=escape(policy([plotly, own])),
        css=_part("page.css"),
        notes=prose.notes(found, [*content.differences(runs), *noted]),
        verdict=prose.verdict(found),
        runs=prose.runs(found, commands),
        data=safe_json(content.data(found, commands, cells, profiles)),
        curves=safe_json(content.curves(runs)),
        plotly=plotly,
        own=own,
    )


def _part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
