"""Watch a sweep that runs, or look at one that stopped, from another terminal or machine.

Reads the run folder and writes nothing. Shows what the sweep shows on its own terminal: its cohorts
with stage and time left, the best configuration so far, those that diverged, rows done; and whether
it runs, by whom, or stopped, or is finished. Goes on until the sweep ends; ctrl-C ends the watching
alone. Without a terminal it prints once.

  python -m experiments.watch --workdir=runs/laptop
  python -m experiments.watch --workdir=runs/laptop --once
"""

import sys
import time

from absl import flags
from rich.console import Console
from rich.live import Live

from experiments import launch
from wfm_jax.results.plan import Fact, Plan
from wfm_jax.results.status_view import WIDTH
from wfm_jax.results.watch import RUNNING, look, look_view

flags.adopt_module_key_flags(launch)
_ONCE = flags.DEFINE_bool("once", False, "Print what is to be seen now, and end.")
_EVERY_S = flags.DEFINE_float(
    "every_s", 2.0, "Seconds between two looks, 0.1 or more.", lower_bound=0.1
)


def main() -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.width = min(console.width, WIDTH)
    if _ONCE.value or not console.is_terminal:
        console.print(_view(console))
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        try:
            while True:
                live.update(_view(console), refresh=True)
                if look(launch.WORKDIR.value).state != RUNNING:
                    return
                time.sleep(_EVERY_S.value)
        except KeyboardInterrupt:  # of the watching, not of the sweep
            return


def _view(console: Console):
    return look_view(look(launch.WORKDIR.value), now=time.time(), height=console.size.height - 2)


def plan() -> Plan:
    """What it would do."""
    found = look(launch.WORKDIR.value)
    return Plan("watch a sweep", (Fact("the sweep", found.state, found.words),))


if __name__ == "__main__":
    launch.launch(main, plan)
