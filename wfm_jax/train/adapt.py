"""Adapting a trained model to another link, from a fixed set of labelled frames.

What may move is a method: the heads alone, low-rank updates of chosen kernels, or everything. All
of them are trained by the same program, a function of trained leaves and of a base that stays as it
is. Frames are drawn once; an epoch reads each of them once, in another order, the modulation token
masked in half of them at random.

Part of the labelled frames is held back: the leaves with the lowest loss on those are the answer,
among them the start, so that too many steps or too high a rate do no harm there.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from wfm_jax import compress
from wfm_jax.model import Batch, ModelConfig, build, to_batch
from wfm_jax.signal import link
from wfm_jax.train.losses import TaskWeights, task_losses
from wfm_jax.train.optimizer import adam, learning_rate_at

LABELLED_STREAM, START_STREAM, ORDER_STREAM = 0xADA7, 0x10DA, 0x0DE5
_CHUNK = 100

Params = dict[str, Any]


class Method(Protocol):
    """What is trained, and what the model then sees. Static: hashable."""

    def start(self, params: Params, *, key: jax.Array) -> Any:
        """The leaves to train, as they are before any step."""
        ...

    def effective(self, params: Params, trained: Any) -> Params:
        """The model's parameters, of the base and the trained leaves."""
        ...


@dataclasses.dataclass(frozen=True)
class Leaves:
    """Trains the leaves whose paths match, and leaves the others as they are.

    Attributes:
        pattern: a glob, or several.
    """

    pattern: str | tuple[str, ...]

    def start(self, params: Params, *, key: jax.Array) -> dict[str, jax.Array]:
        """The matching leaves by path; ValueError where there are none."""
        return compress.select(params, self.pattern)

    def effective(self, params: Params, trained: dict[str, jax.Array]) -> Params:
        """``params`` with the trained leaves in their places."""
        return compress.unflatten(params, trained)


@dataclasses.dataclass(frozen=True)
class LowRank:
    """Trains low-rank updates of the kernels whose paths match; the base stays as it is.

    Attributes:
        pattern: a glob, or several; kernels only, other leaves that match are passed over.
        rank: rank of each update.
        alpha: an update is alpha / rank times the product of its factors; None for alpha = rank.
    """

    pattern: str | tuple[str, ...]
    rank: int
    alpha: float | None = None

    def __post_init__(self):
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}")
        if self.alpha is not None and not self.alpha > 0.0:
            raise ValueError(f"alpha must be positive, got {self.alpha}")

    def start(self, params: Params, *, key: jax.Array) -> dict[str, compress.Factors]:
        """Factors that change nothing yet; ValueError where no kernel matches."""
        return compress.lora_init(params, self.pattern, self.rank, key=key).factors

    def effective(self, params: Params, trained: dict[str, compress.Factors]) -> Params:
        """``params`` with the updates added."""
        return compress.lora_apply(params, self.adapters(trained))

    def adapters(self, trained: dict[str, compress.Factors]) -> compress.Adapters:
        """The factors with their scale, to be merged or stored."""
        alpha = self.rank if self.alpha is None else self.alpha
        return compress.Adapters(trained, jnp.float32(alpha / self.rank))


@dataclasses.dataclass(frozen=True)
class AdaptSettings:
    """How a model is adapted.

    Attributes:
        steps: optimizer steps.
        batch_size: frames a step.
        validation_fraction: share of the labelled frames held back to choose among ``looks``.
        looks: how often the held-back frames are looked at, evenly over the steps.
        blind_fraction: share of frames whose modulation token is masked.
        weights: of the tasks.
    """

    steps: int = 600
    batch_size: int = 32
    validation_fraction: float = 0.2
    looks: int = 20
    blind_fraction: float = 0.5
    weights: TaskWeights = TaskWeights()

    def __post_init__(self):
        for name in ("steps", "batch_size", "looks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.steps % self.looks:
            raise ValueError(f"looks must divide steps={self.steps}, got {self.looks}")
        if not 0.0 < self.validation_fraction < 1.0:
            raise ValueError(
                f"validation_fraction must be between 0 and 1, got {self.validation_fraction}"
            )
        if not 0.0 <= self.blind_fraction <= 1.0:
            raise ValueError(f"blind_fraction must be in [0, 1], got {self.blind_fraction}")


class Adapted(NamedTuple):
    """An adapted model.

    Attributes:
        trained: the leaves that were trained, of the best look.
        params: what the model sees of them: ordinary parameters.
        look: int32, which look was the best; 0 is the start.
        validation: float32[1 + looks], loss on the held-back frames.
    """

    trained: Any
    params: Params
    look: jax.Array
    validation: jax.Array


def draw_labelled(config: link.LinkConfig, n_frames: int, *, seed: int) -> link.Frame:
    """Labelled frames of a link, drawn once. Of one seed, fewer are the first of more.

    Raises:
        ValueError: fewer than two frames: one is to be held back.
    """
    if n_frames < 2:
        raise ValueError(f"at least 2 labelled frames are needed, got {n_frames}")
    key = jax.random.fold_in(jax.random.key(seed), LABELLED_STREAM)

    def chunk(index: jax.Array) -> link.Frame:
        return link.sample_frames(config, key=jax.random.fold_in(key, index), batch_size=_CHUNK)

    n_chunks = -(-n_frames // _CHUNK)
    frames = jax.jit(lambda: jax.lax.map(chunk, jnp.arange(n_chunks)))()
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n_frames], frames)


def split(settings: AdaptSettings, n_frames: int) -> tuple[int, int]:
    """How many of the labelled frames are held back (the last ones), and how many trained on; at
    least one each."""
    n_held = min(max(round(settings.validation_fraction * n_frames), 1), n_frames - 1)
    return n_held, n_frames - n_held


def make_adapt(
    config: ModelConfig, method: Method, settings: AdaptSettings
) -> Callable[..., Adapted]:
    """A compiled ``adapt(params, frames, *, seed, learning_rate) -> Adapted``.

    ``frames`` are labelled frames of the link, from :func:`draw_labelled`; ``seed`` is that of the
    factors and of the frames' order; ``learning_rate`` the peak of the warm-up and cosine. Keep it:
    it compiles once for as many frames.

    Args:
        config: the model, on the link to adapt to.
        method: what is trained.
        settings: how.
    """
    apply = build(config, jax.random.key(0))[0]

    @jax.jit
    def program(
        params: Params, start: Any, frames: link.Frame, key: jax.Array, peak: jax.Array
    ) -> Adapted:
        n_frames = frames.n0.shape[0]
        n_held, n_train = split(settings, n_frames)
        known = to_batch(config, frames, jnp.zeros((n_frames,), bool))
        train = _take(known, slice(n_train))
        # Each held-back frame twice: its modulation known, and masked.
        twice = jnp.concatenate([jnp.arange(n_train, n_frames)] * 2)
        held_back = _masked(config, _take(known, twice), jnp.arange(2 * n_held) >= n_held)

        def loss_of(trained: Any, batch: Batch) -> jax.Array:
            outputs = apply(method.effective(params, trained), batch.inputs)
            return settings.weights.total(task_losses(config, outputs, batch))

        def step(state: tuple[Any, Any], at: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
            (trained, optimizer), (number, index) = state, at
            key_blind = jax.random.fold_in(key, number)
            blind = jax.random.bernoulli(key_blind, settings.blind_fraction, index.shape)
            grads = jax.grad(loss_of)(trained, _masked(config, _take(train, index), blind))
            rate = learning_rate_at(number, settings.steps, peak)
            updates, optimizer = adam(rate).update(grads, optimizer, trained)
            return (optax.apply_updates(trained, updates), optimizer), None

        def look(carry: tuple[Any, Any], at: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
            state, (kept, least) = carry
            state, _ = jax.lax.scan(step, state, at)
            loss = loss_of(state[0], held_back)
            better = loss < least  # not where it is NaN
            kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), state[0], kept)
            return (state, (kept, jnp.where(better, loss, least))), loss

        order = _order(settings, n_train, jax.random.fold_in(key, ORDER_STREAM))
        numbers = jnp.arange(settings.steps).reshape(settings.looks, -1)
        at = (numbers, order.reshape(*numbers.shape, settings.batch_size))
        first = loss_of(start, held_back)
        carry = (start, adam(0.0).init(start)), (start, first)
        (_, (trained, least)), losses = jax.lax.scan(look, carry, at)
        losses = jnp.concatenate([first[None], losses])
        best = jnp.argmax(losses == least)
        return Adapted(trained, method.effective(params, trained), best, losses)

    def adapt(
        params: Params, frames: link.Frame, *, seed: int, learning_rate: float
    ) -> Adapted:
        key = jax.random.key(seed)
        start = method.start(params, key=jax.random.fold_in(key, START_STREAM))
        return program(params, start, frames, key, jnp.float32(learning_rate))

    return adapt


def _masked(config: ModelConfig, batch: Batch, blind: jax.Array) -> Batch:
    """A batch of known modulations with those masked that are to be blind."""
    token = jnp.where(blind, config.n_modulations, batch.frame.modulation)
    return batch._replace(inputs=batch.inputs._replace(modulation=token), blind=blind)


def _order(settings: AdaptSettings, n_train: int, key: jax.Array) -> jax.Array:
    """int32[steps * batch_size], which frame comes when: every epoch has each of them once."""
    wanted = settings.steps * settings.batch_size
    keys = jax.random.split(key, -(-wanted // n_train))
    epochs = jax.vmap(lambda key: jax.random.permutation(key, n_train))(keys)
    return epochs.reshape(-1)[:wanted]


def _take(batch: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: x[index], batch)
