"""Writes runs as one HTML page that needs no network: verdict, pictures, table, commands.

The findings in words; size against quality with filters; orders as paired differences; what each
task loses; bit errors over SNR; sensitivity; latency; every row, sorted and searched, and the
command that makes it again. Several --workdir are shown together. What cannot be read of a folder
is said on the page.

  python -m experiments.report --workdir=runs/laptop
  python -m experiments.report --workdir=runs/a --workdir=runs/b --html=both.html
  python -m experiments.report --workdir=runs/laptop --cells=runs/sensitivity \\
      --profiles=runs/profile
"""

from absl import flags

from experiments import launch, report_page
from wfm_jax.results.plan import Plan

flags.adopt_module_key_flags(launch)
_HTML = flags.DEFINE_string("html", None, "The file to write; default: report.html in --workdir.")
_CELLS = flags.DEFINE_multi_string(
    "cells", [], "Folder of experiments.sensitivity, whose heat map is shown too."
)
_PROFILES = flags.DEFINE_multi_string(
    "profiles", [], "Folder or file of experiments.profile, whose latencies are shown too."
)


def main() -> None:
    path, runs = report_page.write(
        launch.workdirs(), _HTML.value, cells=_CELLS.value, profiles=_PROFILES.value
    )
    for run in runs:
        for note in run.notes:
            print(f"{run.name}: {note}.")
    print(f"The page is {path}; open it in a browser.")


def plan() -> Plan:
    """What it would do."""
    return report_page.plan(launch.workdirs(), _HTML.value)


if __name__ == "__main__":
    launch.launch(main, plan)
