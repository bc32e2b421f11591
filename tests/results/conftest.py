"""Rows that look like a study's: sixteen orders and controls at four operating points."""

import itertools
import math

import numpy as np
import pytest

TEACHER_BYTES = 704_000


@pytest.fixture
def study():
    return make_study()


def make_study(seed=0):
    """References and configurations whose scores fall with compression and rise with training."""
    rng = np.random.default_rng(seed)
    rows = [reference("teacher", 1.0, TEACHER_BYTES), reference("null", 0.0, TEACHER_BYTES)]
    rows += [
        {"kind": "reference", "pipeline": name, "channel_nmse_db": -20.0 - i, "ber_16": 0.02}
        for i, name in enumerate(("ls", "lmmse", "genie"))
    ]
    orders = ["-".join(o) for n in (1, 2, 3) for o in itertools.permutations(("P", "Q", "KD"), n)]
    for bits, sparsity in ((8, 0.5), (4, 0.5), (4, 0.75), (2, 0.9)):
        rows += [configuration(o, bits, sparsity, rng) for o in [*orders, "P-Q-FT", "Q-P-FT"]]
    rows = list(
        {(r["pipeline"], r.get("weight_bits"), r.get("sparsity")): r for r in rows}.values()
    )
    rows.append(configuration("none", None, None, rng))
    rows.append(configuration("P-Q", 2, 0.9, rng) | {"status": "diverged", "retention": None})
    return rows


def reference(name, retention, size):
    return scores(retention, 0.003) | {
        "kind": "reference",
        "pipeline": name,
        "size_bytes": size,
        "compression_ratio": 1.0,
        "status": "ok",
    }


def configuration(pipeline, bits, sparsity, rng):
    """A configuration with plausible size and scores."""
    stages = pipeline.split("-")
    bits = bits if "Q" in stages else None
    sparsity = sparsity if "P" in stages else None
    b, s = bits or 32, sparsity or 0.0
    entropy = -s * math.log2(s) - (1 - s) * math.log2(1 - s) if s else 0.0
    size = int((9000 + 176_000 * ((1 - s) * b + entropy) / 8) * rng.uniform(0.97, 1.03))
    damage = 0.015 * (32 / b) ** 0.9 * ("Q" in stages) + 0.3 * s**3
    healing = {"KD": 0.15, "FT": 0.22}.get(stages[-1], 0.8 if "KD" in stages else 1.0)
    retention = 1 - damage * healing * rng.uniform(0.7, 1.3) - 0.002
    row = scores(retention, 0.004 + 0.02 * damage)
    return row | {
        "config_id": f"{rng.integers(1 << 48):012x}",
        "kind": "configuration",
        "pipeline": pipeline,
        "weight_bits": bits,
        "sparsity": sparsity,
        "student": "same",
        "seed": 0,
        "status": "ok",
        "size_bytes": size,
        "compression_ratio": TEACHER_BYTES / size,
        "recovery_steps": 0,
    }


def scores(retention, ci):
    """Scores of a model that keeps ``retention`` of the teacher on every task."""
    values = {
        "amc_accuracy": 0.25 + 0.67 * retention,
        "gmi_fraction": 0.4 + 0.5 * retention,
        "ber_16": 0.003 + 0.1 * (1 - retention),
        "snr_loss_db": 8 * (1 - retention),
        "channel_nmse_db": -21 + 8 * (1 - retention),
        "k_mae_db": 1.8 + 4 * (1 - retention),
        "snr_mae_db": 0.6 + 5 * (1 - retention),
        "los_accuracy": 0.8 + 0.16 * retention,
        "retention": retention,
    }
    return values | {f"{name}_ci95": ci * (8 if "db" in name else 1) for name in values}
