"""What a receiver without a network takes: classical preprocessing, and LMMSE with a demapper."""

from typing import Any

import jax

from experiments.profiling.artefacts import Artefact, program_bytes
from wfm_jax.evaluate.latency import Call
from wfm_jax.model import Batch, ModelConfig, prepare
from wfm_jax.signal import receivers

_COVARIANCE_SEED = 0


def classical(config: ModelConfig) -> list[Artefact]:
    """The preprocessing in front of every form, and the classical receiver instead of it all.

    LMMSE knows the hall's covariance and the noise; it aligns the timing, estimates the channel and
    demaps the data exactly. Neither is a file.
    """
    link = config.link
    key = jax.random.key(_COVARIANCE_SEED)
    covariance = jax.jit(lambda: receivers.ensemble_covariance(link, key=key))()

    def lmmse(batch: Batch) -> Any:
        frame = batch.frame
        aligned = receivers.align_timing(link, frame.grid, frame.csi)
        estimate = receivers.estimate_lmmse(link, aligned.csi, frame.n0, covariance)
        return receivers.demap(link, aligned.grid, estimate, frame.n0, frame.modulation).llr

    def preprocess(batch: Batch) -> Any:
        return prepare(config, batch.frame, batch.inputs.modulation)[0]

    return [
        _compiled("preprocessing (JAX)", preprocess),
        _compiled("LMMSE receiver (JAX)", lmmse),
    ]


def _compiled(name: str, function: Any) -> Artefact:
    program = jax.jit(function)

    def at(batch: Batch) -> Call:
        return lambda: jax.block_until_ready(program(batch))

    return Artefact(name, None, None, at, lambda b: program_bytes(program.lower(b).compile()))
