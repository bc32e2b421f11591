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

import jax
from absl import flags
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from experiments import export_flags, launch
from wfm_jax.export import forms
from wfm_jax.export.load_model import load_model
from wfm_jax.export.onnx_model import trtexec_line
from wfm_jax.model import sample_batch
from wfm_jax.results import atomic
from wfm_jax.results.naming import DASH, number, point_name, reference
from wfm_jax.results.progress import Bar
from wfm_jax.results.rows import read_rows

for _module in (launch, export_flags):
    flags.adopt_module_key_flags(_module)


def main() -> None:
    workdir, asked = pathlib.Path(launch.WORKDIR.value), export_flags.forms()
    rows, _ = read_rows(workdir / "results.jsonl")
    row = export_flags.chosen(rows)
    identity, name = row["config_id"], point_name(row)
    packed = workdir / "files" / f"{identity}.wfm"
    folder = export_flags.folder(workdir / "export" / identity)
    progress, model = Bar(), load_model(packed)
    draw = jax.jit(lambda key: sample_batch(model.config, key=key, batch_size=64).frame)
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

    table = Table(
        title=f"{name}, {identity}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False
    )
    for heading in ("file", "kB", "smaller", "bits that differ", "classes", "channel dB"):
        table.add_column(heading, justify="left" if heading == "file" else "right", no_wrap=True)
    for file in written:
        agreed = found[file.form]
        table.add_row(
            file.path.name,
            f"{file.size_bytes / 1e3:,.1f}",
            f"{teacher / file.size_bytes:.1f}x" if teacher > 0 else DASH,
            f"{agreed.bits:.3%}",
            f"{agreed.classes:.1%}",
            f"{agreed.channel_db:.1f}",
        )
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    console.print(
        "Smaller: than the teacher's float32 file. Differ: from the compressed model in JAX, on 64 "
        "frames\nthat it was told nothing of.",
        style="dim",
        highlight=False,
    )
    kept = {"retention", "retention_ci95", "size_bytes", "snr_loss_db", "pipeline", "config_id"}
    told = {
        "configuration": {column: row.get(column) for column in sorted(kept)},
        "files": {f.path.name: f.size_bytes for f in written},
        "differ": {f.path.name: found[f.form]._asdict() for f in written},
    }
    for file in written:
        if file.form == "onnx_tensorrt":
            told["trtexec"] = trtexec_line(file.path)
    atomic.write_bytes(folder / "export.json", json.dumps(told, indent=2).encode())
    print(f"Everything is in {folder.resolve()}.")


if __name__ == "__main__":
    launch.launch(main)
