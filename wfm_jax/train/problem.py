"""What is compressed: a model, where its data come from, and what a good answer is.

A :class:`Problem` is all that training and a sweep know of a model. It is made of functions, after
optax, so any layer library will do, and any data that a function can draw from a key. The wireless
foundation model is one instance (:func:`wfm_jax.train.wireless.wireless`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from wfm_jax import compress
from wfm_jax.model import ModelConfig

Pair = tuple[Any, Any]
"""``(inputs, labels)``, any two pytrees of arrays; the examples are the first axis of inputs."""


def softened_classes(
    outputs: jax.Array, teacher: jax.Array, labels: Any, temperature: ArrayLike
) -> jax.Array:
    """Softened KL divergence of class logits, mean over the examples; see
    :func:`wfm_jax.compress.softened_kl`.

    Args:
        outputs: the student's logits, float32[..., classes].
        teacher: the teacher's, alike.
        labels: not read.
        temperature: T > 0; may be traced.
    """
    del labels
    return jnp.mean(compress.softened_kl(outputs, teacher, temperature))


def squared_answers(outputs: Any, teacher: Any, labels: Any, temperature: ArrayLike) -> jax.Array:
    """Squared error against the teacher's answers, mean over each array and summed over them: for
    regressions.

    Args:
        outputs: the student's answers, a pytree of real arrays.
        teacher: the teacher's, alike.
        labels: not read.
        temperature: not read.
    """
    del labels, temperature
    errors = jax.tree.map(lambda s, t: jnp.mean(compress.squared_error(s, t)), outputs, teacher)
    return jnp.sum(jnp.stack(jax.tree.leaves(errors)))


class Untold(NamedTuple):
    """Examples of a step that come on top of the batch, and that the teacher alone labels.

    Attributes:
        draw: ``draw(key) -> (inputs, labels)``; what ``label`` throws away of labels is not told.
        label: ``label(labels, teacher_outputs) -> labels``, of what the teacher says.
    """

    draw: Callable[[jax.Array], Pair]
    label: Callable[[Any, Any], Any]


class Inside(NamedTuple):
    """What is known of a model beyond its kernels. A model without it has no units to prune, no
    activations to quantize, no layers to match, and is never rebuilt.

    Attributes:
        config: the architecture.
        couplings: heads and neurons: what of several kernels goes together.
        points: activations that ``apply(params, inputs, at=...)`` lets through by name.
        rebuilt: ``rebuilt(config, params) -> Problem``, the same problem for another architecture.
    """

    config: ModelConfig
    couplings: tuple[compress.Coupling, ...]
    points: tuple[str, ...]
    rebuilt: Callable[[ModelConfig, Any], "Problem"]


class Problem(NamedTuple):
    """A trained model with its data and its losses; pure functions, traced in the training step.

    Attributes:
        apply: ``apply(params, inputs) -> outputs``, the forward pass; any pytrees.
        params: the trained parameters, a pytree of float32 arrays; the teacher's, and where
            students start.
        batch: ``batch(key) -> (inputs, labels)``, draws a step's examples inside the compiled step.
        task_loss: ``task_loss(outputs, labels) -> scalar``.
        distillation_loss: ``distillation_loss(outputs, teacher_outputs, labels, temperature) ->
            scalar``, zero where student and teacher agree.
        score: ``score(params) -> float[n_examples]``, how well each of a fixed set of test examples
            is answered; larger is better. It runs on the host, so it may be compiled or not. None
            where an examiner of its own measures.
        prunable: the kernels: which leaves of two axes or more are pruned and quantized; see
            :func:`wfm_jax.compress.matches`. A kernel of more axes is the matrix
            ``[all other axes, last axis]``. Other leaves of two axes or more are quantized, to
            ``table_bits`` at least; vectors are stored in ``vector_bits``.
        fresh: ``fresh(key) -> params``, new initial parameters, for ``init=scratch``.
        smaller: gives the problem of a smaller model, for ``student=smaller``: the same data, with
            its own ``apply``, start and score.
        reading: ``reading(views) -> Problem``, of the model that reads only these of its views; for
            ``student=same:grid+csi``.
        untold: examples that the teacher alone labels; None for no such.
        inside: what else is known of the model.
        hash: names the parameters in rows and checkpoints.
    """

    apply: Callable[..., Any]
    params: Any
    batch: Callable[[jax.Array], Pair]
    task_loss: Callable[[Any, Any], jax.Array]
    distillation_loss: Callable[[Any, Any, Any, Any], jax.Array] = softened_classes
    score: Callable[[Any], Any] | None = None
    prunable: compress.Pattern = "*kernel"
    fresh: Callable[[jax.Array], Any] | None = None
    smaller: Callable[[], "Problem"] | None = None
    reading: Callable[[tuple[str, ...]], "Problem"] | None = None
    untold: Untold | None = None
    inside: Inside | None = None
    hash: str = ""

    @property
    def config(self) -> ModelConfig | None:
        """The architecture, where it is known."""
        return None if self.inside is None else self.inside.config

    @property
    def batch_size(self) -> int:
        """Examples of a step."""
        inputs, _ = jax.eval_shape(self.batch, jax.random.key(0))
        return n_examples(inputs)


def n_examples(inputs: Any) -> int:
    """The length of the first axis."""
    return jax.tree.leaves(inputs)[0].shape[0]
