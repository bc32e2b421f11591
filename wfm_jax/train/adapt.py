"""Adapting a trained model to another link, from a fixed set of labelled frames.

What may move is a method: the heads alone, low-rank updates of chosen kernels, or everything. All
of them are trained by the same program, a function of trained leaves and of a base that stays as it
is. Frames are drawn once; an epoch reads each of them once, in another order, the modulation token
masked in half of them at random.

Part of the labelled frames is held back: the leaves with the lowest loss on those are the answer,
among them the start, so that too many steps or too high a rate do no harm there.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from wfm_jax import compress
from wfm_jax.model import Batch, ModelConfig, build, to_batch
from wfm_jax.signal import link
from wfm_jax.train.losses import TaskWeights, task_losses
from wfm_jax.train.optimizer import adam, learning_rate_at

LABELLED_STREAM, START_STREAM, ORDER_STREAM, BLIND_STREAM = 0xADA7, 0x10DA, 0x0DE5, 0xB11D
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
        ranks: globs, each with the rank of the updates of its kernels; other leaves that match a
            glob are passed over, and a kernel that matches several has the rank of the first.
        scale: an update is this times the product of its factors: alpha over rank in LoRA's terms.
    """

    ranks: tuple[tuple[str, int], ...]
    scale: float = 1.0

    def __post_init__(self):
        for pattern, rank in self.ranks:
            if rank < 1:
                raise ValueError(f"the rank for {pattern} must be at least 1, got {rank}")
        if not 0.0 < self.scale < float("inf"):
            raise ValueError(f"scale must be positive and finite, got {self.scale}")

    def start(self, params: Params, *, key: jax.Array) -> dict[str, compress.Factors]:
        """Factors that change nothing yet; ValueError where a glob matches no kernel, or for a rank
        that a kernel does not have."""
        factors: dict[str, compress.Factors] = {}
        for i, (pattern, rank) in enumerate(self.ranks):
            new = compress.lora_init(params, pattern, rank, key=jax.random.fold_in(key, i)).factors
            factors = new | factors
        return factors

    def effective(self, params: Params, trained: dict[str, compress.Factors]) -> Params:
        """``params`` with the updates added."""
        return compress.lora_apply(params, self.adapters(trained))

    def adapters(self, trained: dict[str, compress.Factors]) -> compress.Adapters:
        """The factors with their scale, to be merged or stored."""
        return compress.Adapters(trained, jnp.float32(self.scale))


@dataclasses.dataclass(frozen=True)
class AdaptSettings:
    """How a model is adapted.

    Attributes:
        steps: optimizer steps.
        batch_size: frames a step.
        held_back: share of the labelled frames held back to choose among ``looks``.
        looks: how often the held-back frames are looked at, evenly over the steps.
        blind_fraction: share of frames whose modulation token is masked.
        weights: of the tasks.
    """

    steps: int = 300
    batch_size: int = 32
    held_back: float = 0.2
    looks: int = 10
    blind_fraction: float = 0.5
    weights: TaskWeights = TaskWeights()

    def __post_init__(self):
        for name in ("steps", "batch_size", "looks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.looks > self.steps:
            raise ValueError(f"looks must be at most steps={self.steps}, got {self.looks}")
        if not 0.0 < self.held_back < 1.0:
            raise ValueError(f"held_back must be between 0 and 1, got {self.held_back}")
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
    frames = _draw_chunks(config, -(-n_frames // _CHUNK), key)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n_frames], frames)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _draw_chunks(config: link.LinkConfig, n_chunks: int, key: jax.Array) -> link.Frame:
    def chunk(index: jax.Array) -> link.Frame:
        return link.sample_frames(config, key=jax.random.fold_in(key, index), batch_size=_CHUNK)

    return jax.lax.map(chunk, jnp.arange(n_chunks))


def split(settings: AdaptSettings, n_frames: int) -> tuple[int, int]:
    """How many of the labelled frames are held back (the last ones), and how many trained on; at
    least one each."""
    n_held = min(max(round(settings.held_back * n_frames), 1), n_frames - 1)
    return n_held, n_frames - n_held


def look_steps(settings: AdaptSettings) -> np.ndarray:
    """int[1 + looks], after how many steps the held-back frames are looked at: first after none."""
    return np.round(np.linspace(0, settings.steps, settings.looks + 1)).astype(int)


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

        order = _order(settings, n_train, jax.random.fold_in(key, ORDER_STREAM))
        key_of_blind = jax.random.fold_in(key, BLIND_STREAM)

        def step(number: jax.Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
            (trained, optimizer), index = state, order[number]
            key_blind = jax.random.fold_in(key_of_blind, number)
            blind = jax.random.bernoulli(key_blind, settings.blind_fraction, index.shape)
            grads = jax.grad(loss_of)(trained, _masked(config, _take(train, index), blind))
            rate = learning_rate_at(number, settings.steps, peak)
            updates, optimizer = adam(rate).update(grads, optimizer, trained)
            return optax.apply_updates(trained, updates), optimizer

        def look(carry: tuple[Any, Any], reach: tuple[jax.Array, jax.Array]):
            state, (kept, least) = carry
            state = jax.lax.fori_loop(*reach, step, state)
            loss = loss_of(state[0], held_back)
            better = loss < least  # not where it is NaN
            kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), state[0], kept)
            return (state, (kept, jnp.where(better, loss, least))), loss

        # The first look is at the start: a stretch of no steps.
        ends = jnp.asarray(look_steps(settings), jnp.int32)
        reaches = (jnp.concatenate([jnp.zeros((1,), jnp.int32), ends[:-1]]), ends)
        carry = (start, adam(0.0).init(start)), (start, jnp.float32(jnp.inf))
        (_, (trained, least)), losses = jax.lax.scan(look, carry, reaches)
        best = jnp.argmax(losses == least)
        return Adapted(trained, method.effective(params, trained), best, losses)

    def adapt(params: Params, frames: link.Frame, *, seed: int, learning_rate: float) -> Adapted:
        key = jax.random.key(seed)
        start = method.start(params, key=jax.random.fold_in(key, START_STREAM))
        return program(params, start, frames, key, jnp.float32(learning_rate))

    return adapt


def _masked(config: ModelConfig, batch: Batch, blind: jax.Array) -> Batch:
    """A batch of known modulations with those masked that are to be blind."""
    token = jnp.where(blind, config.n_modulations, batch.frame.modulation)
    return batch._replace(inputs=batch.inputs._replace(modulation=token), blind=blind)


def _order(settings: AdaptSettings, n_train: int, key: jax.Array) -> jax.Array:
    """int32[steps, batch_size], which frames a step reads: every epoch has each of them once."""
    wanted = settings.steps * settings.batch_size
    keys = jax.random.split(key, -(-wanted // n_train))
    epochs = jax.vmap(lambda key: jax.random.permutation(key, n_train))(keys)
    return epochs.reshape(-1)[:wanted].reshape(settings.steps, settings.batch_size)


def _take(batch: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: x[index], batch)
