"""Latency, throughput, memory and bytes of the forms of a model, beside what a slot allows."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.profiling import artefacts, references, streaming
from experiments.profiling.artefacts import Artefact
from wfm_jax.evaluate import latency
from wfm_jax.evaluate.peak_memory import onnx_peak_bytes
from wfm_jax.export.onnx_model import feed
from wfm_jax.model import Batch, ModelConfig, sample_batch
from wfm_jax.results.progress import Progress
from wfm_jax.signal.link import LinkConfig

AGAINST = "ONNX float32"
Row = dict[str, Any]


class Settings(NamedTuple):
    """What to measure.

    Attributes:
        batch_sizes: frames of a call.
        n_calls: of each form at each batch size.
        longest_s: of all forms at one batch size.
        shrink: share of each layer's heads and neurons that the shrunk forms lack.
        n_threads: of ONNX Runtime.
    """

    batch_sizes: tuple[int, ...] = (1, 32)
    n_calls: int = 300
    longest_s: float = 30.0
    shrink: float = 0.5
    n_threads: int = 1


def slot_ms(link: LinkConfig) -> float:
    """How long a frame is on the air: what a receiver has time for before the next one is there."""
    return 1e3 * link.n_samples / link.sample_rate_hz


def run(
    config: ModelConfig, params: Any, settings: Settings, folder: pathlib.Path, progress: Progress
) -> list[Row]:
    """A row for each form and batch size, classical receivers at the end.

    Args:
        config: the model.
        params: float32, a nested dict.
        settings: what to measure.
        folder: of the files, which stay there.
        progress: one step a turn of all.
    """
    progress.say("Writing the files, and what is compiled")
    forms = artefacts.forms(
        config, params, folder, shrink=settings.shrink, n_threads=settings.n_threads
    )
    beside = [*streaming.forms(config, params), *references.classical(config)]
    return measure([*forms, *beside], config, settings, progress)


def measure(
    forms: Sequence[Artefact], config: ModelConfig, settings: Settings, progress: Progress
) -> list[Row]:
    """Rows of these forms, timed in turns on the same frames."""
    rows = []
    for batch_size in settings.batch_sizes:
        batch = _frames(config, batch_size)
        times = latency.time_in_turns(
            {form.name: form.at(batch) for form in forms},
            n_calls=settings.n_calls,
            longest_s=settings.longest_s,
            warm=lambda n=batch_size: progress.start(f"{n} at a time", settings.n_calls),
            after_turn=lambda: progress.advance(1),
        )
        rows += [_row(form, batch, times, config.link) for form in forms]
    return rows


def _frames(config: ModelConfig, batch_size: int) -> Batch:
    draw = jax.jit(lambda key: sample_batch(config, key=key, batch_size=batch_size))
    return draw(jax.random.key(batch_size))


def _row(form: Artefact, batch: Batch, times: dict[str, np.ndarray], link: LinkConfig) -> Row:
    n_frames, own = batch.inputs.modulation.shape[0], times[form.name]
    found = latency.quantiles(own)
    memory = form.memory_bytes
    if form.path is not None:
        needs = onnx_peak_bytes(form.path, feed(batch.inputs))
    else:
        needs = memory(batch) if memory else None
    return {
        "form": form.name,
        "batch_size": n_frames,
        **found._asdict(),
        "frames_per_s": 1e3 * n_frames / found.p50_ms,
        "times_faster": latency.times_faster(times[AGAINST], own) if AGAINST in times else None,
        "slots": found.p95_ms / (n_frames * slot_ms(link)),
        "size_bytes": form.size_bytes,
        "memory_bytes": needs,
        "memory_is": "measured" if form.path is not None else "of the compiled program",
    }
