"""The suite ``shrink``: what structure is worth in time.

Heads and neurons are masked, then cut out; the forward pass is timed dense, masked and shrunk, each
its own compiled program, in turns. Masks alone save nothing: the products run densely. What bounds
the gain is what shrinking leaves alone, tokenizers, attention maps' tokens, norms and heads; the
operations of matrix products say how much could be saved at most.
"""

import datetime
import os
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benchmarks.timing import in_turns, ratios
from wfm_jax import compress
from wfm_jax.evaluate.products import frame_products
from wfm_jax.model import ModelConfig, build, sample_batch
from wfm_jax.model.couplings import couplings, shrink_model
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.sweep.study import devices, versions

DENSE, MASKED, SHRUNK = "dense", "masked", "shrunk"


class Settings(NamedTuple):
    """What to run.

    Attributes:
        models: architectures by name.
        sparsity: share of the heads and neurons that go.
        batch_sizes: frames of a forward pass.
        rounds: paired runs.
    """

    models: dict[str, ModelConfig]
    sparsity: float = 0.5
    batch_sizes: tuple[int, ...] = (1, 32)
    rounds: int = 7


def run(settings: Settings, progress: Progress | None = None) -> dict[str, Any]:
    """Runs the suite; the result is what the JSON file holds."""
    progress = progress or Silent()
    progress.start("benchmark", len(settings.models) * len(settings.batch_sizes) * settings.rounds)
    load_before = os.getloadavg()
    cases = [
        _case(name, config, batch_size, settings, progress)
        for name, config in settings.models.items()
        for batch_size in settings.batch_sizes
    ]
    return {
        "suite": "shrink",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "settings": {"sparsity": settings.sparsity, "rounds": settings.rounds},
        "versions": versions(),
        "devices": devices(),
        "cores": os.cpu_count(),
        "load_average": {"before": load_before[0], "after": os.getloadavg()[0]},
        "cases": cases,
    }


class Variant(NamedTuple):
    """A model to time: architecture and parameters."""

    config: ModelConfig
    params: Any


def variants(config: ModelConfig, sparsity: float) -> dict[str, Variant]:
    """The model dense, with its units masked, and with them cut out; random parameters."""
    _, params = build(config, jax.random.key(0))
    method = compress.prune_units(sparsity, couplings(config), distribution="uniform")
    _, state = method.update(params, method.init(params, key=jax.random.key(1)))
    units = {name: np.asarray(mask) for name, mask in state.units.items()}
    return {
        DENSE: Variant(config, params),
        MASKED: Variant(config, method.apply(params, state)),
        SHRUNK: Variant(*shrink_model(config, params, units)),
    }


def _case(
    name: str, config: ModelConfig, batch_size: int, settings: Settings, progress: Progress
) -> dict[str, Any]:
    found = variants(config, settings.sparsity)
    inputs = sample_batch(config, key=jax.random.key(2), batch_size=batch_size).inputs
    calls = {variant: _forward(of, inputs) for variant, of in found.items()}
    times = in_turns(
        calls,
        settings.rounds,
        after_round=lambda: progress.advance(1, f"{name}, {batch_size} frames"),
    )
    return {
        "model": name,
        "batch_size": batch_size,
        "variants": {
            variant: {
                "parameters": sum(leaf.size for leaf in jax.tree.leaves(of.params)),
                "macs_per_frame": sum(
                    product.macs
                    for product in frame_products(
                        of.config, build(of.config, jax.random.key(0))[0], of.params
                    )
                ),
                "seconds": times[variant],
                "ms": 1e3 * statistics.median(times[variant]),
                "times_faster": ratios(times[DENSE], times[variant]),
            }
            for variant, of in found.items()
        },
    }


def _forward(variant: Variant, inputs: Any) -> Callable[[], object]:
    apply = jax.jit(build(variant.config, jax.random.key(0))[0])
    return lambda: jax.block_until_ready(apply(variant.params, inputs))
