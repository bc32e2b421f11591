"""Points of the model: where activations have a name and may be looked at or replaced.

===============================  ================================  ==============================
point                            what passes                       shape
===============================  ================================  ==============================
block_0/attention/input          input of query, key and value     [batch * tokens, d_model]
block_0/attention/query/reduced  input of query/expand             [batch * tokens, rank]
block_0/attention/key/reduced    input of key/expand               [batch * tokens, rank]
block_0/attention/value/reduced  input of value/expand             [batch * tokens, rank]
block_0/attention/share          who attends to whom, float32      [batch, heads, tokens, tokens]
block_0/attention/mixed          input of out                      [batch * tokens, inner]
block_0/attention/out/reduced    input of out/expand               [batch * tokens, rank]
block_0/mlp/input                input of up                       [batch * tokens, d_model]
block_0/mlp/up/reduced           input of up/expand                [batch * tokens, rank]
block_0/mlp/hidden               input of down                     [batch * tokens, neurons]
block_0/mlp/down/reduced         input of down/expand              [batch * tokens, rank]
block_0/output                   residual stream behind the block  [batch * tokens, d_model]
===============================  ================================  ==============================

A forward pass calls ``at(point, x)`` at each of them and goes on with what it gets. These are calls
in the model, not an interception of its layers: what they change is in every program made of it,
an exported one too. A branch that a block lacks has no points, and only a layer that is stored as
two factors (:mod:`wfm_jax.model.dense`) has one between them.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import jax

from wfm_jax.model.config import ModelConfig
from wfm_jax.model.outputs import Outputs
from wfm_jax.model.views import Inputs

At = Callable[[str, jax.Array], jax.Array]
"""``at(point, x)``, what goes on from a point: of the shape and dtype of ``x``."""


class Forward(Protocol):
    """The model as a pure function, as :func:`wfm_jax.model.build` returns it."""

    def __call__(self, params: Any, inputs: Inputs, *, at: At | None = None) -> Outputs:
        """The outputs; ``at`` is called at every point, None leaves all activations alone."""
        ...


_OF_ATTENTION = (
    "attention/input",
    "attention/query/reduced",
    "attention/key/reduced",
    "attention/value/reduced",
    "attention/mixed",
    "attention/out/reduced",
)
_OF_MLP = ("mlp/input", "mlp/up/reduced", "mlp/hidden", "mlp/down/reduced")


def unchanged(point: str, x: jax.Array) -> jax.Array:
    """What passes a point, as it is: shape, dtype and values."""
    del point
    return x


def within(at: At, name: str) -> At:
    """``at`` for a part of the model that does not know its own name."""
    return lambda point, x: at(f"{name}/{point}", x)


def activation_points(config: ModelConfig) -> tuple[str, ...]:
    """What enters the kernels of the blocks, in the order in which it passes.

    What a deployment with integer products quantizes: the inputs of dense layers and, of those
    that are factored, of the second factor.
    """
    points = _points(config, _OF_ATTENTION, _OF_MLP)
    between = {f"{layer}/reduced" for layer, _ in config.ranks}
    return tuple(p for p in points if p in between or not p.endswith("/reduced"))


def attention_points(config: ModelConfig) -> tuple[str, ...]:
    """The attention maps of the blocks that have attention."""
    return _points(config, ("attention/share",), ())


def output_points(config: ModelConfig) -> tuple[str, ...]:
    """The residual stream behind each block."""
    return tuple(f"block_{i}/output" for i in range(config.n_layers))


def _points(
    config: ModelConfig, of_attention: tuple[str, ...], of_mlp: tuple[str, ...]
) -> tuple[str, ...]:
    found = []
    for i, (heads, width) in enumerate(zip(config.heads, config.mlp_widths, strict=True)):
        names = (of_attention if heads else ()) + (of_mlp if width else ())
        found += [f"block_{i}/{name}" for name in names]
    return tuple(found)


def recording(
    apply: Forward, points: Iterable[str]
) -> Callable[..., tuple[Outputs, dict[str, jax.Array]]]:
    """``recorded(params, inputs, *, at=None) -> (outputs, activations)``, by point.

    Pure: what passed comes back beside the outputs, so it may be jitted, vmapped and
    differentiated. Recorded is what arrives at a point, before ``at``; shapes are in the table of
    :mod:`wfm_jax.model.points`.

    Args:
        apply: the model, built without ``remat`` (which keeps no activations).
        points: those to record.

    Raises:
        ValueError: when called, for points that the model does not have; lists those it has.
    """
    wanted = frozenset(points)

    def recorded(params: Any, inputs: Inputs, *, at: At | None = None):
        passed: dict[str, jax.Array] = {}
        met = []

        def note(point: str, x: jax.Array) -> jax.Array:
            met.append(point)
            if point in wanted:
                passed[point] = x
            return x if at is None else at(point, x)

        outputs = apply(params, inputs, at=note)
        if missing := sorted(wanted - set(met)):
            raise ValueError(f"the model has no {', '.join(missing)}, only {', '.join(met)}")
        return outputs, passed

    return recorded
