"""The wireless foundation model: views to tokens, a transformer encoder, heads for every task.

The only room that imports flax. A model is built once, as a pure function and a plain nested dict
of arrays with string names (``block_0/attention/query/kernel``), every kernel ``[in, out]``:

    apply, params = build(ModelConfig(), key)
    outputs = apply(params, prepare(config, frame, modulation))

Activations pass points that have names (:mod:`points`), where they may be recorded
(:func:`recording`) or quantized (:func:`quantizing`, :func:`with_activations`).

A dense layer of the encoder may be stored as two factors of low rank (``ModelConfig.ranks``,
:func:`factorise_model`): two kernels then, ``block_0/mlp/up/reduce/kernel`` and
``block_0/mlp/up/expand/kernel``, which everything that reads kernels treats as it does others.

:func:`build_streaming` reads a frame symbol by symbol with the same parameters, and keeps what the
pilots and past symbols offered (:mod:`streaming`).
"""

from wfm_jax.model.activations import (
    Quantized,
    Ranges,
    calibrate_activations,
    observe_activations,
    observe_nothing_at,
    quantizing,
    quantizing_dynamically,
    with_activations,
)
from wfm_jax.model.batches import Batch, sample_batch, to_batch
from wfm_jax.model.block_causal import Pilots, pilots_of
from wfm_jax.model.config import (
    PRESETS,
    ModelConfig,
    dense_shapes,
    from_dict,
    preset,
    reading,
    smaller,
    to_dict,
)
from wfm_jax.model.couplings import couplings, shrink_model, shrunk_config
from wfm_jax.model.low_rank import factorise_model
from wfm_jax.model.model import build, param_shapes
from wfm_jax.model.outputs import Outputs, bit_llrs
from wfm_jax.model.points import (
    At,
    Forward,
    activation_points,
    attention_points,
    output_points,
    recording,
)
from wfm_jax.model.streaming import (
    Cache,
    Streaming,
    build_streaming,
    prepare_pilots,
    symbol_llrs,
)
from wfm_jax.model.student import start_reading, start_smaller
from wfm_jax.model.views import Inputs, prepare

__all__ = [
    "PRESETS",
    "At",
    "Batch",
    "Cache",
    "Forward",
    "Inputs",
    "ModelConfig",
    "Outputs",
    "Pilots",
    "Quantized",
    "Ranges",
    "Streaming",
    "activation_points",
    "attention_points",
    "bit_llrs",
    "build",
    "build_streaming",
    "calibrate_activations",
    "couplings",
    "dense_shapes",
    "factorise_model",
    "from_dict",
    "observe_activations",
    "observe_nothing_at",
    "output_points",
    "param_shapes",
    "pilots_of",
    "prepare",
    "prepare_pilots",
    "preset",
    "quantizing",
    "quantizing_dynamically",
    "reading",
    "recording",
    "sample_batch",
    "shrink_model",
    "shrunk_config",
    "smaller",
    "start_reading",
    "start_smaller",
    "symbol_llrs",
    "to_batch",
    "to_dict",
    "with_activations",
]
