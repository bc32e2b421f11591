"""A frame symbol by symbol: a new symbol with a cache, and all symbols at once without one."""

import dataclasses
from typing import Any

import jax

from experiments.profiling.artefacts import Artefact, program_bytes
from wfm_jax.evaluate.latency import Call
from wfm_jax.model import Batch, ModelConfig, build_streaming, prepare_pilots
from wfm_jax.model.block_causal import VIEWS


def forms(config: ModelConfig, params: Any) -> list[Artefact]:
    """The block-causal model with the same parameters; none for a model without its views.

    Its answers are those of another model than the one that sees whole frames: it has to be trained
    as such. What it takes does not depend on its weights.
    """
    if not set(VIEWS) <= set(config.views):
        return []
    config = dataclasses.replace(config, views=VIEWS)
    stream, own = build_streaming(config, jax.random.key(0))
    params = {name: params[name] for name in own}
    begin, step, whole = jax.jit(stream.begin), jax.jit(stream.step), jax.jit(stream.apply)

    def halfway(batch: Batch) -> tuple[Any, Any]:
        """The cache after half of a frame, and the next symbol."""
        pilots, units = jax.jit(lambda b: prepare_pilots(config, b.frame.csi, b.inputs.modulation))(
            batch
        )
        symbols = batch.frame.grid * units.gain[:, None, None] * units.ramp[:, None, :]
        cache, middle = begin(params, pilots), config.link.n_symbols // 2
        for i in range(middle):
            cache, _ = step(params, cache, symbols[:, i])
        return cache, symbols[:, middle]

    def a_symbol(batch: Batch) -> Call:
        cache, symbol = halfway(batch)
        return lambda: jax.block_until_ready(step(params, cache, symbol))

    def all_symbols(batch: Batch) -> Call:
        inputs = _of_views(batch)
        return lambda: jax.block_until_ready(whole(params, inputs))

    return [
        Artefact(
            "streaming, one symbol (JAX)",
            None,
            None,
            a_symbol,
            lambda batch: program_bytes(step.lower(params, *halfway(batch)).compile()),
        ),
        Artefact(
            "the same, uncached (JAX)",
            None,
            None,
            all_symbols,
            lambda batch: program_bytes(whole.lower(params, _of_views(batch)).compile()),
        ),
    ]


def _of_views(batch: Batch) -> Any:
    """The inputs without the views that are of whole frames."""
    views, visible = (
        {name: of[name] for name in VIEWS} for of in (batch.inputs.views, batch.inputs.visible)
    )
    return batch.inputs._replace(views=views, visible=visible)
