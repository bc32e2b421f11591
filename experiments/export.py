"""Turns a configuration of a sweep into files that a receiver can run, and checks what they answer.

Which one: --row, the start of its config_id; --under_bytes, the best whose packed file is so small;
or --within, the smallest that keeps so much of the teacher on every task. Each file is run on
frames at all SNRs beside the compressed model itself. Files go to --out, or to
WORKDIR/export/CONFIG_ID.

  python -m experiments.export --workdir=runs/laptop --under_bytes=100e3
  python -m experiments.export --workdir=runs/laptop --within=0.01 --forms=packed,onnx
  python -m experiments.export --workdir=runs/laptop --row=3fa9 --out=receiver
"""

import json
import pathlib
import sys
from collections.abc import Sequence

import jax
from absl import flags
from rich.console import Console

from experiments import export_flags, export_table, launch
from wfm_jax.evaluate.probe import Load, measure_pace, time_fact
from wfm_jax.export import forms
from wfm_jax.export.load_model import load_model
from wfm_jax.export.onnx_model import trtexec_line
from wfm_jax.model import sample_batch
from wfm_jax.results import atomic
from wfm_jax.results.naming import Row, number, point_name, reference
from wfm_jax.results.plan import Fact, Plan, counted, disk_fact
from wfm_jax.results.progress import Bar
from wfm_jax.results.rows import rows_so_far

for _module in (launch, export_flags):
    flags.adopt_module_key_flags(_module)
FRAMES = 64
KEPT = ("config_id", "pipeline", "retention", "retention_ci95", "size_bytes", "snr_loss_db")


def main() -> None:
    asked, (rows, row, packed, folder) = export_flags.forms(), _chosen()
    name, progress, model = point_name(row), Bar(), load_model(packed)
    draw = jax.jit(lambda key: sample_batch(model.config, key=key, batch_size=FRAMES).frame)
    try:
        progress.start("export", 2 * len(asked))
        written = forms.write(packed, asked, folder, name=name, progress=progress)
        frame, found = draw(jax.random.key(1)), {}
        for file in written:
            found[file.form] = forms.agreement(file, model, frame)
            progress.advance(1, f"ran {file.path.name}")
    finally:
        progress.close()
    teacher = number(reference(rows, "teacher") or {}, "size_bytes")
    console = Console(width=None if sys.stdout.isatty() else 100)
    export_table.print_table(f"{name}, {row['config_id']}", written, found, teacher, console)
    told = {
        "configuration": {column: row.get(column) for column in KEPT},
        "files": {f.path.name: f.size_bytes for f in written},
        "differ": {f.path.name: found[f.form]._asdict() for f in written},
    }
    for file in written:
        if file.form == "onnx_tensorrt":
            told["trtexec"] = trtexec_line(file.path)
    atomic.write_bytes(folder / "export.json", json.dumps(told, indent=2).encode())
    print(f"Everything is in {folder.resolve()}.")


def plan() -> Plan:
    """What it would do."""
    asked, (_, row, packed, folder) = export_flags.forms(), _chosen()
    facts = [Fact("configuration", point_name(row), f"{row['config_id']}, {packed}")]
    for form in asked:
        path = folder / forms.FILES[form]
        there = "is there and would be replaced" if path.exists() else "would be written"
        facts.append(Fact(form, path.name, there))
    n_bytes = 4.0 * number(row, "params_total") if row.get("params_total") else 1e6
    facts.append(
        Fact("checked on", counted(FRAMES, "frame"), "each file beside the compressed model")
    )
    facts.append(disk_fact(folder, n_bytes * len(asked), "at most float32 weights in each file"))
    load = Load(2.0 * FRAMES * len(asked), 2.0 * len(asked))  # of each file two programs
    facts.append(time_fact(load, measure_pace(load_model(packed).config, FRAMES)))
    return Plan("export", tuple(facts))


def _chosen() -> tuple[Sequence[Row], Row, pathlib.Path, pathlib.Path]:
    """All rows, the one that is asked for, its packed file, and the folder of what is written."""
    workdir = pathlib.Path(launch.WORKDIR.value)
    rows = rows_so_far(workdir / "results.jsonl")
    row = export_flags.chosen(rows)
    identity = row["config_id"]
    folder = export_flags.folder(workdir / "export" / identity)
    return rows, row, workdir / "files" / f"{identity}.wfm", folder


if __name__ == "__main__":
    launch.launch(main, plan)
