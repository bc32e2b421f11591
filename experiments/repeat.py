"""Run rows of a sweep again from scratch, and hold them against what is stored.

Draws --repeat_rows finished configurations of the run in --run at random (or takes those of
--repeat_ids), runs each by the command that the report page shows for it, in a folder of its own in
--workdir, and says for every score whether it is within the stored 95 % interval. Leaves
repeated.jsonl, summary.txt and the runs; typed again, what has run does not run again. Ends with
code 1 where a score is not within.

  python -m experiments.repeat --run=runs/laptop --workdir=runs/repeated
  python -m experiments.repeat --run=experiments/results/laptop --repeat_rows=1 --workdir=DIR
"""

import io
import json
import pathlib
import shlex
import subprocess
import sys
from typing import Any

from absl import flags
from rich.console import Console

from experiments import launch, reproduce
from wfm_jax.results import atomic, repeated
from wfm_jax.results.naming import Row, configurations, point_name
from wfm_jax.results.plan import Fact, Plan, counted, disk_fact
from wfm_jax.results.report.run_folder import ROWS, Run, flags_of, read_run
from wfm_jax.results.rows import read_rows

flags.adopt_module_key_flags(launch)
_RUN = flags.DEFINE_string("run", None, "Folder of a sweep: its rows and its manifest.")
_N_ROWS = flags.DEFINE_integer(
    "repeat_rows", 3, "Configurations that are drawn.", lower_bound=1, upper_bound=1000
)
_SEED = flags.DEFINE_integer("repeat_seed", 0, "Seed of the draw.", lower_bound=0)
_IDS = flags.DEFINE_list(
    "repeat_ids", [], "Run these instead of drawing: config_ids, or their beginnings."
)
_ROW_BYTES = 5e7


def main() -> None:
    run, rows = _asked()
    workdir = pathlib.Path(launch.WORKDIR.value)
    scores = []
    for number, (row, command) in enumerate(zip(rows, _commands(run, rows), strict=True), 1):
        print(f"{number} of {len(rows)}: {point_name(row)}\n  {command}", flush=True)
        scores.append(repeated.compare(row, _run(row, command, workdir / row["config_id"])))
    every = [score for of in scores for score in of]
    lines = (f"{json.dumps(score._asdict() | {'within': score.within})}\n" for score in every)
    atomic.write_bytes(workdir / "repeated.jsonl", "".join(lines).encode())
    summary = io.StringIO()
    for console in (Console(file=summary, width=100), Console(width=100)):
        repeated.print_repeated(rows, scores, console)
    atomic.write_bytes(workdir / "summary.txt", summary.getvalue().encode())
    if not all(score.within for score in every):
        raise SystemExit(1)


def plan() -> Plan:
    """What it would do."""
    run, rows = _asked()
    facts = [Fact(f"run {run.name}", counted(len(run.rows), "row"), "; ".join(run.notes))]
    facts += [Fact("again", row["config_id"], point_name(row)) for row in rows]
    facts += [
        disk_fact(launch.WORKDIR.value, _ROW_BYTES * len(rows), "a run folder a row"),
        Fact("time", "that of a sweep a row", "its command with --dry_run says how long"),
    ]
    return Plan("rows run again", tuple(facts))


def _asked() -> tuple[Run, list[Row]]:
    if _RUN.value is None:
        raise flags.ValidationError("--run must be given: the folder of a sweep")
    run = read_run(_RUN.value)
    if run.manifest is None:
        raise flags.ValidationError(f"--run={_RUN.value}: without a manifest no command is known")
    if not _IDS.value:
        rows = repeated.choose(run.rows, _N_ROWS.value, _SEED.value)
    else:
        rows = [_by_id(run.rows, prefix) for prefix in _IDS.value]
    if not rows:
        raise flags.ValidationError(f"--run={_RUN.value}: no configuration has finished in it")
    return run, rows


def _by_id(rows: list[dict[str, Any]], prefix: str) -> Row:
    found = [row for row in configurations(rows) if row["config_id"].startswith(prefix)]
    if len(found) != 1:
        raise flags.ValidationError(
            f"--repeat_ids={prefix}: {len(found)} configurations of the run start so, one is needed"
        )
    return found[0]


def _commands(run: Run, rows: list[Row]) -> list[str]:
    found = reproduce.commands(rows, flags_of(run))
    for row, own in zip(rows, found.own, strict=True):
        if not own:
            raise ValueError(f"no command is known of {row['config_id']}")
    return [f"{found.shared} {own}" for own in found.own]


def _run(row: Row, command: str, folder: pathlib.Path) -> Row:
    """Runs a command of ours in a folder; the row that it leaves."""
    words = shlex.split(command)
    usual = f"--workdir={reproduce.WORKDIR}"
    words = [sys.executable, *(f"--workdir={folder}" if w == usual else w for w in words[1:])]
    if code := subprocess.run(words, check=False).returncode:
        raise ValueError(f"{row['config_id']}: its command ended with code {code}")
    (again,) = configurations(read_rows(folder / ROWS)[0])  # of another id in another version
    return again


if __name__ == "__main__":
    launch.launch(main, plan)
