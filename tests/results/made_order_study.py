"""Rows of an order study made by a law, so that what there is to find is known."""

import itertools
import math
import zlib

import numpy as np

from wfm_jax.results.rows import complete_row

POINTS = ((8, 0.5), (4, 0.75), (3, 0.9), (2, 0.95))
NULL, TEACHER = 0.46, 0.88
ORDERS = ["-".join(o) for n in (1, 2, 3) for o in itertools.permutations(("P", "Q", "KD"), n)]
SCRATCH = {"init": "scratch"}
FACTORS = (("Q-P-KD", {"score_on": "latent"}), ("P-Q-FT", SCRATCH), ("Q-P-FT", SCRATCH))
PIPELINES = ["none", *ORDERS, "FT", "P-Q-FT", "Q-P-FT"]


def make_study(
    effects=None,
    *,
    seeds=10,
    teachers=3,
    noise=0.3,
    seed=0,
    pipelines=PIPELINES,
    students=("same", "smaller"),
    recoveries=(0, 50),
    factors=FACTORS,
):
    """References and configurations.

    Args:
        effects: points of GMI kept that a pipeline (or a triple of pipeline, student and recovery)
            gains; without any, pipelines of one operating point differ by noise alone.
        seeds: in all, spread over the teachers in turn.
        teachers: how many.
        noise: standard deviation of a file's points, and of what each teacher adds to all.
        seed: of the noise.
        pipelines, students, recoveries: to run.
        factors: pairs of a pipeline and what else than usual it is run with.
    """
    rng, effects = np.random.default_rng(seed), effects or {}
    names = [f"teacher{i}" for i in range(teachers)]
    rows = [reference(kind, name) for name in names for kind in ("teacher", "null")]
    for s, student, recovery in itertools.product(range(seeds), students, recoveries):
        for pipeline, (bits, sparsity) in itertools.product(pipelines, POINTS):
            gain = effects.get((pipeline, student, recovery > 0), effects.get(pipeline, 0.0))
            kept = 100.0 - damage(pipeline, bits, sparsity) + gain + noise * rng.normal()
            rows.append(
                configuration(pipeline, bits, sparsity, kept, seed=s, student=student,
                              recovery_steps=recovery, teacher_hash=names[s % teachers])
            )  # fmt: skip
        for pipeline, changes in factors:
            for bits, sparsity in POINTS:
                gain = effects.get((pipeline, *changes.values()), 0.0)
                kept = 100.0 - damage(pipeline, bits, sparsity) + gain + noise * rng.normal()
                rows.append(
                    configuration(pipeline, bits, sparsity, kept, seed=s, student=student,
                                  recovery_steps=recovery, teacher_hash=names[s % teachers],
                                  **changes)
                )  # fmt: skip
    distinct = {(row["teacher_hash"], row["config_id"]): complete_row(row) for row in rows}
    return list(distinct.values())


def damage(pipeline, bits, sparsity):
    """Points lost by what a pipeline does, whatever its order: the more, the smaller the file."""
    stages = pipeline.split("-")
    return 4.0 * (8 / bits - 1) / 3 * ("Q" in stages) + 8.0 * sparsity**4 * ("P" in stages)


def reference(kind, teacher):
    gmi = {"teacher": TEACHER, "null": NULL}[kind]
    return {
        "config_id": f"{kind}-{teacher}",
        "kind": "reference",
        "pipeline": kind,
        "status": "ok",
        "params_total": 190_000,
        "size_bytes": 760_000,
        "gmi_fraction": gmi,
        "teacher_hash": teacher,
        "test_frames_hash": "frames",
    }


def configuration(pipeline, bits, sparsity, kept, **more):
    """A row whose GMI keeps so many points."""
    stages = pipeline.split("-")
    bits = float(bits) if "Q" in stages else None
    sparsity = sparsity if "P" in stages else None
    trains = bool({"KD", "FT"} & {*stages}) or bool(more["recovery_steps"])
    after_q = "P" in stages and "Q" in stages[: stages.index("P")]
    row = {
        "kind": "configuration",
        "status": "ok",
        "pipeline": pipeline,
        "init": "teacher",
        "structure": "unstructured" if sparsity else None,
        "score_on": "current" if after_q else None,
        "scale": ("mse" if bits <= 3 else "absmax") if bits else None,
        "weight_bits": bits,
        "sparsity": sparsity,
        "steps": 200 if trains else None,
        "alpha": 0.9 if "KD" in stages else None,
        "student": "same",
        "gmi_fraction": NULL + (TEACHER - NULL) * kept / 100.0,
        "amc_accuracy": 0.5 + 0.0036 * kept,
        "snr_loss_db": 0.17 * (100.0 - kept),
        "retention": kept / 100.0,
        "device": "cpu cpu",
        "test_frames_hash": "frames",
    } | more
    if not trains and sparsity is None:
        row["seed"] = None
    s, b = sparsity or 0.0, bits or 32.0
    entropy = -s * math.log2(s) - (1 - s) * math.log2(1 - s) if s else 0.0
    weights = {"same": 150_000, "smaller": 75_000}[row["student"]]
    row["size_bytes"] = int(40_000 + weights * ((1 - s) * b + entropy) / 8 + len(pipeline))
    settings = ("pipeline", "init", "score_on", "weight_bits", "sparsity", "structure", "seed")
    settings += ("student", "recovery_steps", "alpha", "scale")
    identity = "|".join(str(row.get(name)) for name in settings)
    row["config_id"] = f"{zlib.crc32(identity.encode()):08x}"
    return row
