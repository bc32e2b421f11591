"""The verdict of an order study: which order of pruning, quantization and distillation is better.

Reads the rows of sweeps (--space and presets as in experiments/presets/order_study.flags), of one
run or of several, one a teacher, and answers the contrasts that
wfm_jax/results/order_contrasts.py declares. Trains nothing; the same rows give the same verdict.
Leaves in --workdir: verdict.txt, exploratory.txt, order_contrasts.jsonl, contrasts.png,
contrasts_over_size.png, orders.png, and rows.parquet, which it can be given in turn. What an
earlier call left there is replaced.

  python -m experiments.order_study --rows=runs/order_a --rows=runs/order_b --workdir=DIR
  python -m experiments.order_study --rows=DIR/rows.parquet --shuffles=200 --workdir=OTHER
"""

import pathlib

from absl import flags

from experiments import launch
from wfm_jax.results.order_files import VERDICT, write_study
from wfm_jax.results.order_rows import FILES, read_study
from wfm_jax.results.plan import Fact, Plan, about, counted, disk_fact

flags.adopt_module_key_flags(launch)
_ROWS = flags.DEFINE_multi_string(
    "rows",
    [],
    f"Result rows: .jsonl, .parquet, or a folder with {' or '.join(FILES)}; may be given again.",
)
_SHUFFLES = flags.DEFINE_integer(
    "shuffles",
    0,
    "Repeat the analysis so often with exchanged labels; 5 % may establish something.",
    lower_bound=0,
    upper_bound=100_000,
)
_SHUFFLED_S, _OF_ROWS = 0.25, 2000
_SHUFFLE_SEED = flags.DEFINE_integer("shuffle_seed", 0, "Seed of the exchanges.", lower_bound=0)


def main() -> None:
    findings = write_study(
        read_study(_rows()),
        launch.WORKDIR.value,
        shuffles=_SHUFFLES.value,
        seed=_SHUFFLE_SEED.value,
    )
    folder = pathlib.Path(launch.WORKDIR.value).resolve()
    print((folder / VERDICT).read_text(encoding="utf-8"))
    print(f"Everything is in {folder}; open contrasts.png.")
    if broken := [same.name for same in findings.sanity if not same.holds]:
        raise ValueError(f"rows that must be the same differ: {'; '.join(broken)}")


def plan() -> Plan:
    """What it would do."""
    study = read_study(_rows())
    shuffled_s = _SHUFFLED_S * _SHUFFLES.value * len(study.compared) / _OF_ROWS
    facts = (
        Fact("rows", counted(len(study.rows), "row"), f"{len(study.compared)} are compared"),
        Fact("shuffles", f"{_SHUFFLES.value:,}", "of labels, the analysis repeated"),
        disk_fact(launch.WORKDIR.value, 1e6 + 1e3 * len(study.rows), "texts, pictures, rows"),
        Fact("time", about(10.0 + shuffled_s), "a shuffle as it took on two cores"),
    )
    return Plan("a verdict from rows", facts)


def _rows() -> list[str]:
    if not _ROWS.value:
        raise flags.ValidationError("--rows must be given: a file or folder of result rows")
    return _ROWS.value


if __name__ == "__main__":
    launch.launch(main, plan)
