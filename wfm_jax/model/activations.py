"""Activations of the model, quantized: with the range of the batch, or with calibrated ones.

What is quantized are the inputs of the blocks' dense layers (:func:`activation_points`), on a grid
of their own each; attention maps, the residual stream, tokenizers and heads stay in floating point.
Ranges and bits are data: ranges a dict by point, of which a sweep has one a configuration, bits a
scalar of which 16 and more leave everything as it is. So one program serves all configurations:

    ranges = calibrate_activations(apply, params, batches, points, compress.min_max_range)
    outputs = apply(params, inputs, at=quantizing(ranges, bits))

While training, ranges are dynamic, those of the batch; after a stage they are calibrated anew on
what the model has become, and at export frozen.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.typing import ArrayLike

from wfm_jax.compress import (
    ActivationRange,
    Observed,
    RangeRule,
    calibrate,
    dynamic_range,
    fake_quant_activation,
    observe,
    observe_nothing,
)
from wfm_jax.model.outputs import Outputs
from wfm_jax.model.points import At, Forward, recording
from wfm_jax.model.views import Inputs

N_BINS = 8192

Ranges = Mapping[str, ActivationRange]
"""By point, float32 scalars; or stacked along a leading config axis."""


def quantizing(ranges: Ranges, bits: ArrayLike) -> At:
    """``at`` that snaps activations to the grid of their point; other points are left alone.

    Straight through where the range reaches, as :func:`wfm_jax.compress.fake_quant_activation`.

    Args:
        ranges: of the points to quantize.
        bits: scalar: 2 to 8, or 16 and more for no change, bit for bit; may be traced.

    Raises:
        ValueError: concrete bits other than these.
    """

    def at(point: str, x: jax.Array) -> jax.Array:
        return fake_quant_activation(x, ranges[point], bits) if point in ranges else x

    return at


def quantizing_dynamically(points: Sequence[str], bits: ArrayLike) -> At:
    """``at`` that snaps activations to the grid over their own range: nothing is clipped.

    A frame's answers then depend a little on the frames beside it: for training, not for use.

    Args:
        points: those to quantize, from :func:`activation_points`.
        bits: as of :func:`quantizing`.
    """

    def at(point: str, x: jax.Array) -> jax.Array:
        return fake_quant_activation(x, dynamic_range(x), bits) if point in points else x

    return at


class Quantized(NamedTuple):
    """A configuration with quantized activations: all of it is data.

    Attributes:
        params: what the forward pass sees, compression of weights applied.
        ranges: of every point of :func:`activation_points`.
        act_bits: scalar, of activations.
    """

    params: Any
    ranges: Ranges
    act_bits: ArrayLike


def with_activations(
    apply: Forward, points: Sequence[str]
) -> Callable[[Quantized, Inputs], Outputs]:
    """The forward pass of a model whose parameters come with ranges and bits.

    For whatever takes ``apply`` and ``params``, such as ``wfm_jax.evaluate.many.make_scorer``:
    one program scores configurations of any ranges and bits.

    Args:
        apply: the model.
        points: :func:`activation_points` of it.

    Returns:
        ``quantized(Quantized(params, ranges, act_bits), inputs) -> Outputs``. It raises ValueError
        for ranges of other points than these: a point without one would stay in floating point.
    """
    wanted = set(points)

    def quantized(model: Quantized, inputs: Inputs) -> Outputs:
        if wrong := sorted(wanted ^ set(model.ranges)):
            raise ValueError(f"ranges must be of exactly the model's points; look at {wrong}")
        return apply(model.params, inputs, at=quantizing(model.ranges, model.act_bits))

    return quantized


def observe_nothing_at(points: Sequence[str], n_bins: int = N_BINS) -> dict[str, Observed]:
    """The state that :func:`observe_activations` starts from."""
    return {point: observe_nothing(n_bins) for point in points}


def observe_activations(
    apply: Forward,
    params: Any,
    inputs: Inputs,
    seen: Mapping[str, Observed],
    *,
    at: At | None = None,
) -> dict[str, Observed]:
    """``seen`` with the activations of a batch added, at the points it has.

    Args:
        apply: the model, built without ``remat``.
        params: what the forward pass sees.
        inputs: the batch.
        seen: what was observed before, from :func:`observe_nothing_at`.
        at: quantization that is in force while observing: with :func:`quantizing_dynamically` a
            point's range is that of what it receives from points quantized before it.

    Raises:
        ValueError: points that the model does not have.
    """
    _, passed = recording(apply, seen)(params, inputs, at=at)
    return {point: observe(before, passed[point]) for point, before in seen.items()}


def calibrate_activations(
    apply: Forward,
    params: Any,
    batches: Inputs,
    points: Sequence[str],
    rule: RangeRule,
    *,
    at: At | None = None,
) -> dict[str, ActivationRange]:
    """The range of every point over some batches.

    Pure: jit it, and vmap it over configurations' ``params`` and over the bits of ``rule``.

    Args:
        apply: the model, built without ``remat``.
        params: what the forward pass sees.
        batches: every leaf [n_batches, batch, ...].
        points: from :func:`activation_points`.
        rule: how much to clip, such as ``wfm_jax.compress.min_max_range``.
        at: as of :func:`observe_activations`.

    Raises:
        ValueError: no points, no batches, or points that the model does not have; outside ``jit``
            also activations that are not finite.
    """
    if not batches.modulation.shape[0]:
        raise ValueError("calibration needs activations: there are no batches")

    def add(seen: dict[str, Observed], inputs: Inputs) -> tuple[dict[str, Observed], None]:
        return observe_activations(apply, params, inputs, seen, at=at), None

    return calibrate(jax.lax.scan(add, observe_nothing_at(points), batches)[0], rule)
