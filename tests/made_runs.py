"""Run folders as a sweep leaves them, with scores that were made up: nothing was trained."""

import itertools
import json

import numpy as np

from wfm_jax.evaluate.curves import write_curves
from wfm_jax.results import rows
from wfm_jax.results.manifest import Manifest, open_run
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.pipeline import DEFAULT

FLAGS = {"teacher": "auto", "teacher_hash": "t" * 16, "steps": ["200"], "batch_size": 16}
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><b>'&amp;%{x}"
_TEACHER = {
    "amc_accuracy": 0.86, "gmi_fraction": 0.88, "snr_loss_db": 0.0, "channel_nmse_db": -26.0,
    "k_mae_db": 3.0, "snr_mae_db": 0.86, "los_accuracy": 0.84, "retention": 1.0,
}  # fmt: skip
_WORST = {
    "amc_accuracy": 0.25, "gmi_fraction": 0.3, "snr_loss_db": 6.0, "channel_nmse_db": -12.0,
    "k_mae_db": 8.0, "snr_mae_db": 3.0, "los_accuracy": 0.8, "retention": -0.2,
}  # fmt: skip


def make(folder, configurations=None, *, seed=0, curves=True):
    """Writes manifest, rows, contrasts and curves into a folder, and returns it."""
    configurations = orders() if configurations is None else configurations
    rng = np.random.default_rng(seed)
    with open_run(folder, Manifest(FLAGS, {"jax": "0.10"}, ["cpu"])):
        pass
    found = [reference(name) for name in ("teacher", "null", "ls", "lmmse", "genie")]
    found += [row_of(configuration, rng) for configuration in configurations]
    rows.append_rows(folder / "results.jsonl", found)
    write_contrasts(folder, rng)
    if curves:
        write_curves(folder / "curves.parquet", [line for row in found for line in curve(row)])
    return folder


def orders(points=((8, 0.5), (4, 0.75), (3, 0.9))):
    """Every default pipeline at the points, each configuration once."""
    asked = [
        Configuration(pipeline, weight_bits=bits, sparsity=sparsity, steps=200)
        for (bits, sparsity), pipeline in itertools.product(points, DEFAULT)
    ]
    return list({configuration.config_id: configuration for configuration in asked}.values())


def many(n):
    """So many configurations that differ in learning rate and temperature."""
    rng = np.random.default_rng(1)
    pipelines = [name for name in DEFAULT if "KD" in name]
    return [
        Configuration(
            pipelines[i % len(pipelines)], weight_bits=int(rng.integers(2, 9)),
            sparsity=round(float(rng.uniform(0.3, 0.95)), 3), steps=200,
            learning_rate=float(rng.uniform(1e-4, 1e-2)), temperature=float(rng.uniform(1, 4)),
        )
        for i in range(n)
    ]  # fmt: skip


def reference(name):
    """A reference's row; the classical receivers lack what they cannot do."""
    scores = dict(_WORST if name == "null" else _TEACHER)
    if name in ("ls", "lmmse", "genie"):
        scores = {column: scores[column] for column in ("amc_accuracy", "gmi_fraction")}
    row = {"config_id": f"{name:_<12}", "kind": "reference", "pipeline": name, "status": "ok"}
    size = {"size_bytes": 760_858, "compression_ratio": 1.0} if name == "teacher" else {}
    return row | scores | size


def row_of(configuration, rng):
    """A row whose scores fall with compression, and less so where training ends it."""
    settings = configuration.canonical()
    bits, sparsity = settings["weight_bits"] or 32, settings["sparsity"] or 0.0
    size = int(60_000 + 700_000 * (1 - sparsity) * bits / 32 * rng.uniform(0.97, 1.03))
    healed = 0.3 if configuration.pipeline.endswith(("KD", "FT")) else 1.0
    damage = healed * (0.3 / bits + 0.3 * sparsity**4) * rng.uniform(0.7, 1.3)
    scores = {name: best + damage * (_WORST[name] - best) for name, best in _TEACHER.items()}
    scores |= {f"{name}_ci95": 0.01 * abs(_WORST[name] - best) for name, best in _TEACHER.items()}
    scores |= {f"ber_{2**m}": 0.003 * m * (1 + 9 * damage) for m in (2, 4, 6, 8)}
    scores |= {f"ber_{2**m}_ci95": 0.001 * m for m in (2, 4, 6, 8)}
    cost = {"size_bytes": size, "compression_ratio": 760_858 / size, "params_total": 190_067}
    labels = {"config_id": configuration.config_id, "kind": "configuration", "status": "ok"}
    hashes = {"teacher_hash": "t" * 16, "test_frames_hash": "f" * 16, "device": "cpu cpu"}
    cost |= {"flops": 15e6 * rng.uniform(0.9, 1.1), "bit_ops": 8e9 * bits / 32, "wall_s": 9.0}
    return settings | scores | cost | labels | hashes


def write_contrasts(folder, rng):
    """Differences of two pairs at three points."""
    lines = []
    for (a, b), (bits, sparsity) in itertools.product(
        (("P-Q-KD", "P-Q"), ("Q-P-KD", "P-Q-KD")), ((8.0, 0.5), (4.0, 0.75), (3.0, 0.9))
    ):
        for metric, scale in (("amc_accuracy", 0.04), ("gmi_fraction", 0.01)):
            difference = float(scale * rng.normal())
            lines.append({
                "a": a, "b": b, "weight_bits": bits, "sparsity": sparsity, "student": "same",
                "seed": 0, "ways": "", "metric": metric, "difference": difference,
                "low": difference - 0.01, "high": difference + 0.01,
            })  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "contrasts.jsonl").write_text(text)


def curve(row):
    """Bit error rates at ten SNRs, as ``curves.parquet`` has them."""
    labels = {"config_id": row["config_id"], "kind": row["kind"], "pipeline": row["pipeline"]}
    factor = 1.0 + 3.0 * (1.0 - row.get("retention", 0.9))
    return [
        labels | {"snr_db": snr_db, "bits_per_symbol": m, "k_bin": None, "metric": "ber",
                  "value": min(0.5, 0.01 * m * factor * 10 ** (-snr_db / 12))}
        for m in (2, 4, 6, 8)
        for snr_db in (0.0, 5.0, 10.0, 12.5, 15.0, 17.5, 20.0, 22.5, 25.0, 30.0)
    ]  # fmt: skip


def write_cells(folder):
    """Sensitivity of a few tensors, as ``experiments.sensitivity`` leaves it."""
    rng = np.random.default_rng(2)
    names = ("embed_iq", "block_0/attention/query", "block_0/mlp/up", "block_1/mlp/down", "head_k")
    levels = [("bits", 2.0), ("bits", 4.0), ("bits", 8.0), ("sparsity", 0.5), ("sparsity", 0.9)]
    cells = []
    for name, (method, level) in itertools.product(names, levels):
        rise = float(10 ** rng.uniform(-4, 1))
        cells.append({"method": method, "level": level, "tensor": f"{name}/kernel",
                      "task_loss_change": rise, "task_loss_change_low": rise - 0.05,
                      "task_loss_change_high": rise + 0.05})  # fmt: skip
    lines = [json.dumps(cell) + "\n" for cell in cells]
    (folder / "sensitivity.jsonl").write_text("".join(lines))
