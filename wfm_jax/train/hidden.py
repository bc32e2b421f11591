"""What lies inside the teacher: a student that matches its hidden layers beside its answers.

Three parts, each a loss of order one, mean over the matched layers:

- *features*: the residual stream behind a block, through a linear map that is trained beside the
  student and left behind (FitNets, arXiv 1412.6550);
- *relations*: which frames of the batch are alike (arXiv 1907.09682);
- *attention*: which token looks at which, mean over the heads (arXiv 2004.02984).

Which parts there are is static, what they weigh is traced.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax import compress
from wfm_jax.model import At, Forward, Inputs, ModelConfig, Outputs, recording

Part = Literal["features", "relations", "attention"]
PARTS: tuple[Part, ...] = get_args(Part)

HiddenLosses = dict[Part, jax.Array]


class HiddenWeights(NamedTuple):
    """What the parts weigh beside distillation of the answers; float32 scalars, may be traced.

    Weights of parts that :class:`Hidden` does not have are not read.
    """

    features: ArrayLike
    relations: ArrayLike
    attention: ArrayLike

    def total(self, losses: HiddenLosses) -> jax.Array:
        """The weighted sum of the losses, a float32 scalar."""
        return jnp.sum(jnp.stack([getattr(self, part) * loss for part, loss in losses.items()]))


@dataclasses.dataclass(frozen=True)
class Hidden:
    """What is matched between a student and its teacher; static.

    Layers are paired by :func:`wfm_jax.compress.uniform_layer_map`.

    Attributes:
        student: the student's architecture.
        teacher: the teacher's, of at least as many layers and, but for relations, as many tokens.
        parts: of :data:`PARTS`; what is not listed costs nothing.

    Raises:
        ValueError: no or unknown parts, a student of more layers or other tokens than its teacher,
            or attention to match where no pair of layers has any in both.
    """

    student: ModelConfig
    teacher: ModelConfig
    parts: tuple[Part, ...] = PARTS

    def __post_init__(self):
        if not self.parts or set(self.parts) - set(PARTS):
            raise ValueError(f"parts must be some of {', '.join(PARTS)}, got {self.parts}")
        pairs, tokens = self.layers, (self.student.n_tokens, self.teacher.n_tokens)
        if len(set(tokens)) > 1 and set(self.parts) != {"relations"}:
            raise ValueError(f"student and teacher need the same tokens, got {tokens}")
        if "attention" in self.parts and not self.attention_layers:
            raise ValueError(
                f"attention to match needs a pair of layers that have some, got heads "
                f"{self.student.heads} and {self.teacher.heads}, paired {pairs}"
            )

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """Pairs of a student's layer and its teacher's."""
        found = compress.uniform_layer_map(self.student.n_layers, self.teacher.n_layers)
        return tuple(enumerate(found))

    @property
    def attention_layers(self) -> tuple[tuple[int, int], ...]:
        """Those pairs that have attention in both."""
        return tuple(
            (i, j) for i, j in self.layers if self.student.heads[i] and self.teacher.heads[j]
        )


class Maps(NamedTuple):
    """Feature maps of a student, one a pair of layers, and where they start from.

    Attributes:
        key: typed PRNG key, which stays.
        layers: float32, trained.
    """

    key: jax.Array
    layers: tuple[compress.FeatureMap, ...]


def new_maps(hidden: Hidden, key: jax.Array) -> Maps:
    """Maps at their start: the identity where the widths are equal."""
    return _maps(key, [(hidden.student.d_model, hidden.teacher.d_model)] * len(hidden.layers))


def restart_maps(maps: Maps) -> Maps:
    """Maps as they were when they were new."""
    return _maps(maps.key, [layer.kernel.shape for layer in maps.layers])


def _maps(key: jax.Array, widths: Iterable[tuple[int, ...]]) -> Maps:
    return Maps(
        key,
        tuple(
            compress.match_init(*pair, key=jax.random.fold_in(key, i))
            for i, pair in enumerate(widths)
        ),
    )


class Layers(NamedTuple):
    """What a model's matched layers gave, frame by frame, in the order of the pairs.

    Attributes:
        outputs: float32[batch, tokens, d_model] each; none if neither features nor relations are
            matched.
        attention: float32[batch, 1, tokens, tokens] each, mean over the heads; none if attention is
            not matched.
    """

    outputs: tuple[jax.Array, ...] = ()
    attention: tuple[jax.Array, ...] = ()


class Seeing(Protocol):
    """A forward pass that shows its matched layers."""

    def __call__(
        self, params: Any, inputs: Inputs, *, at: At | None = None
    ) -> tuple[Outputs, Layers]: ...


def seeing(hidden: Hidden | None, apply: Forward, of: Literal["student", "teacher"]) -> Seeing:
    """The forward pass of the student or the teacher, with what the other is compared with.

    Args:
        hidden: what is matched; None for nothing, and then this is the forward pass alone.
        apply: the model's forward pass, built without ``remat``.
        of: whose it is.
    """
    if hidden is None:
        return lambda params, inputs, **at: (apply(params, inputs, **at), Layers())
    side = 0 if of == "student" else 1
    has_outputs = bool({"features", "relations"} & set(hidden.parts))
    has_attention = "attention" in hidden.parts
    outputs = [f"block_{pair[side]}/output" for pair in hidden.layers if has_outputs]
    shares = [
        f"block_{pair[side]}/attention/share" for pair in hidden.attention_layers if has_attention
    ]
    recorded = recording(apply, [*outputs, *shares])

    def see(params: Any, inputs: Inputs, *, at: At | None = None) -> tuple[Outputs, Layers]:
        answer, passed = recorded(params, inputs, at=at)
        batch = inputs.modulation.shape[0]
        return answer, Layers(
            tuple(passed[p].reshape(batch, -1, passed[p].shape[-1]) for p in outputs),
            tuple(jnp.mean(passed[p], axis=1, keepdims=True) for p in shares),
        )

    return see


def hidden_losses(
    hidden: Hidden, maps: tuple[compress.FeatureMap, ...], student: Layers, teacher: Layers
) -> HiddenLosses:
    """A scalar a part, mean over the layers.

    ``features``: squared error over the variance of the teacher's features: one for a student that
    says their mean. ``relations``: squared error of the frames' similarities, summed over the
    others and averaged over the frames; at most four. ``attention``: KL divergence in nats, mean
    over queries.

    Args:
        hidden: what is matched.
        maps: a map a pair of layers, if features are.
        student: as its layers are now.
        teacher: of the same frames; gets no gradient.
    """
    losses: HiddenLosses = {}
    streams = list(zip(student.outputs, teacher.outputs, strict=True))
    if "features" in hidden.parts:
        matched = zip(maps, streams, strict=True)
        losses["features"] = _mean([_unexplained(each, *pair) for each, pair in matched])
    if "relations" in hidden.parts:
        losses["relations"] = _mean([_unlike(*pair) for pair in streams])
    if "attention" in hidden.parts:
        shares = zip(student.attention, teacher.attention, strict=True)
        losses["attention"] = _mean([jnp.mean(compress.attention_loss(*pair)) for pair in shares])
    return losses


def _unexplained(
    feature_map: compress.FeatureMap, student: jax.Array, teacher: jax.Array
) -> jax.Array:
    variance = jnp.mean(jnp.var(teacher, axis=(0, 1)))
    error = jnp.mean(compress.match_loss(feature_map, student, teacher))
    return error / jnp.maximum(jax.lax.stop_gradient(variance), 1e-6)


def _unlike(student: jax.Array, teacher: jax.Array) -> jax.Array:
    batch = student.shape[0]
    return batch * compress.similarity_loss(student.reshape(batch, -1), teacher.reshape(batch, -1))


def _mean(losses: list[jax.Array]) -> jax.Array:
    return jnp.mean(jnp.stack(losses))
