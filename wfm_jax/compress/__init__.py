"""Functional compression of anybody's parameters: pruning, quantization, distillation.

A method is a `Transform`, three pure functions after optax: ``init`` makes a state that changes
nothing, ``update`` is the compression stage (it decides on masks and scales), ``apply`` gives the
parameters that the forward pass sees, differentiable straight through. `chain` composes methods,
`matching` restricts them to parameters by path. Parameters are any pytree of arrays, states are
plain pytrees of arrays, and the numbers of a method may be traced: a sweep over sparsities and
bits is one ``vmap``.

>>> import jax, jax.numpy as jnp
>>> key = jax.random.key(0)
>>> params = {"dense": {"kernel": jax.random.normal(key, (8, 4)), "bias": jnp.ones(4)}}
>>> def compress(sparsity, bits):
...     method = chain(matching("*/kernel", magnitude_prune(sparsity)), quantize(bits))
...     params_, state = method.update(params, method.init(params, key=key))
...     return method.apply(params_, state)
>>> sweep = jax.vmap(compress)(jnp.array([0.0, 0.5, 0.75]), jnp.array([8, 4, 2]))
>>> jnp.sum(sweep["dense"]["kernel"] == 0, axis=(1, 2)) >= jnp.array([0, 16, 24])
Array([ True,  True,  True], dtype=bool)

The array functions underneath (`keep_mask`, `fake_quant`, the scales, the distillation losses)
need no transform and can be used by themselves; so can what trains a part of the parameters only,
low-rank adapters (`lora_init`, `lora_apply`) and chosen leaves (`select`), or scales beside them
(`lsq_init`, `lsq_apply`). Activations are quantized where a model calls `fake_quant_activation`,
with the batch's range or one from `observe` and `calibrate`. Beside answers, a student can match
its teacher's features, relations and attention maps (`match_loss`, `similarity_loss`,
`attention_loss`), whatever their widths, heads and depths. Which tensor suffers from what is
measured by `evaluate_cells` and estimated by `expected_increases`; `allocate` chooses bits by it.
Nothing here imports a layer library.
"""

from wfm_jax.compress.activations import (
    ActivationRange,
    dynamic_range,
    fake_quant_activation,
    symmetric_scale,
)
from wfm_jax.compress.affine import (
    AffineGrid,
    affine_grid,
    dequantize_affine,
    fake_quant_affine,
    min_max_grid,
    quantize_integers_affine,
)
from wfm_jax.compress.allocation import Allocation, allocate, quantized_bytes
from wfm_jax.compress.attention_matching import attention_loss
from wfm_jax.compress.awq import AWQResult, awq
from wfm_jax.compress.awq_transform import AWQState, awq_quantize
from wfm_jax.compress.calibrate import (
    RangeRule,
    calibrate,
    entropy_range,
    min_max_range,
    mse_range,
    percentile_range,
)
from wfm_jax.compress.coarse_scales import coarse, round_up_scale
from wfm_jax.compress.couplings import Coupling, Part
from wfm_jax.compress.distill import blend, softened_bernoulli_kl, softened_kl, squared_error
from wfm_jax.compress.distributions import (
    Distribution,
    erk,
    globally,
    per_layer,
    per_output,
    uniformly,
)
from wfm_jax.compress.dynamic_map import Codes8
from wfm_jax.compress.erk import erk_kept
from wfm_jax.compress.feature_matching import FeatureMap, match_init, match_loss
from wfm_jax.compress.fisher import expected_increase, expected_increases
from wfm_jax.compress.gather import gather_statistics
from wfm_jax.compress.gguf_blocks import (
    Q4_0,
    Q8_0,
    q4_0_dequantize,
    q4_0_quantize,
    q8_0_dequantize,
    q8_0_quantize,
)
from wfm_jax.compress.gptq import GPTQResult, gptq, gptq_with_report
from wfm_jax.compress.gptq_transform import GPTQState, gptq_quantize
from wfm_jax.compress.gradients import gradient_statistics
from wfm_jax.compress.half import HalfState, store_half
from wfm_jax.compress.layer_map import uniform_layer_map
from wfm_jax.compress.learned_scale import lsq_apply, lsq_fake_quant, lsq_init, lsq_scale
from wfm_jax.compress.lora import (
    Adapters,
    AdapterSize,
    Factors,
    Merged,
    lora_apply,
    lora_init,
    lora_merge,
    lora_size,
    lora_unmerge,
)
from wfm_jax.compress.low_rank import LowRankState, factorise, low_rank, rank_of_share
from wfm_jax.compress.masks import global_keep_masks, keep_mask, uniform_keep_masks
from wfm_jax.compress.nf4 import NF4, NF4State, QuantizedAbsmax, nf4, nf4_dequantize, nf4_quantize
from wfm_jax.compress.observe import Observed, merge_observed, observe, observe_nothing
from wfm_jax.compress.paths import Pattern, flatten, matches, select, unflatten
from wfm_jax.compress.prune import PruneState, magnitude_prune, prune, sparsity_achieved
from wfm_jax.compress.quantize import QuantizeState, ScaleRule, auto_scale, kernels, quantize
from wfm_jax.compress.quantize_affine import AffineState, quantize_affine
from wfm_jax.compress.scales import mse_scale, percentile_scale
from wfm_jax.compress.schedule import cubic_sparsity
from wfm_jax.compress.scores import Score, magnitude, random_score, taylor, wanda
from wfm_jax.compress.sensitivity import (
    LEFT_ALONE,
    Strategy,
    cells,
    evaluate_cells,
    prune_by,
    quantize_by,
)
from wfm_jax.compress.shrink import kept_units, shrink, shrink_scales
from wfm_jax.compress.similarity import similarities, similarity_loss
from wfm_jax.compress.snapping import SnapState, snapping
from wfm_jax.compress.statistics import (
    LeafStats,
    Stats,
    input_statistics,
    mean_statistics,
    merge_statistics,
)
from wfm_jax.compress.structured import UnitState, prune_units
from wfm_jax.compress.structures import NM, Blocks, Inputs, Outputs, Structure, Unstructured
from wfm_jax.compress.surrogate import straight_through
from wfm_jax.compress.transform import Transform, chain, identity, matching
from wfm_jax.compress.uniform import (
    Bound,
    absmax_scale,
    dequantize,
    fake_quant,
    quantize_integers,
)
from wfm_jax.compress.vectors import HALF_BITS, VectorState, store_vectors

__all__ = [
    "HALF_BITS",
    "LEFT_ALONE",
    "NF4",
    "NM",
    "Q4_0",
    "Q8_0",
    "AWQResult",
    "AWQState",
    "ActivationRange",
    "AdapterSize",
    "Adapters",
    "AffineGrid",
    "AffineState",
    "Allocation",
    "Blocks",
    "Bound",
    "Codes8",
    "Coupling",
    "Distribution",
    "Factors",
    "FeatureMap",
    "GPTQResult",
    "GPTQState",
    "HalfState",
    "Inputs",
    "LeafStats",
    "LowRankState",
    "Merged",
    "NF4State",
    "Observed",
    "Outputs",
    "Part",
    "Pattern",
    "PruneState",
    "QuantizeState",
    "QuantizedAbsmax",
    "RangeRule",
    "ScaleRule",
    "Score",
    "SnapState",
    "Stats",
    "Strategy",
    "Structure",
    "Transform",
    "UnitState",
    "Unstructured",
    "VectorState",
    "absmax_scale",
    "affine_grid",
    "allocate",
    "attention_loss",
    "auto_scale",
    "awq",
    "awq_quantize",
    "blend",
    "calibrate",
    "cells",
    "chain",
    "coarse",
    "cubic_sparsity",
    "dequantize",
    "dequantize_affine",
    "dynamic_range",
    "entropy_range",
    "erk",
    "erk_kept",
    "evaluate_cells",
    "expected_increase",
    "expected_increases",
    "factorise",
    "fake_quant",
    "fake_quant_activation",
    "fake_quant_affine",
    "flatten",
    "gather_statistics",
    "global_keep_masks",
    "globally",
    "gptq",
    "gptq_quantize",
    "gptq_with_report",
    "gradient_statistics",
    "identity",
    "input_statistics",
    "keep_mask",
    "kept_units",
    "kernels",
    "lora_apply",
    "lora_init",
    "lora_merge",
    "lora_size",
    "lora_unmerge",
    "low_rank",
    "lsq_apply",
    "lsq_fake_quant",
    "lsq_init",
    "lsq_scale",
    "magnitude",
    "magnitude_prune",
    "match_init",
    "match_loss",
    "matches",
    "matching",
    "mean_statistics",
    "merge_observed",
    "merge_statistics",
    "min_max_grid",
    "min_max_range",
    "mse_range",
    "mse_scale",
    "nf4",
    "nf4_dequantize",
    "nf4_quantize",
    "observe",
    "observe_nothing",
    "per_layer",
    "per_output",
    "percentile_range",
    "percentile_scale",
    "prune",
    "prune_by",
    "prune_units",
    "q4_0_dequantize",
    "q4_0_quantize",
    "q8_0_dequantize",
    "q8_0_quantize",
    "quantize",
    "quantize_affine",
    "quantize_by",
    "quantize_integers",
    "quantize_integers_affine",
    "quantized_bytes",
    "random_score",
    "rank_of_share",
    "round_up_scale",
    "select",
    "shrink",
    "shrink_scales",
    "similarities",
    "similarity_loss",
    "snapping",
    "softened_bernoulli_kl",
    "softened_kl",
    "sparsity_achieved",
    "squared_error",
    "store_half",
    "store_vectors",
    "straight_through",
    "symmetric_scale",
    "taylor",
    "unflatten",
    "uniform_keep_masks",
    "uniform_layer_map",
    "uniformly",
    "wanda",
]
