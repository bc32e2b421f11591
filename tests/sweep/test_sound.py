"""A problem that is not what it says is refused in one line that names the argument."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.sweep import anybody
from wfm_jax.sweep.examples import score_examples
from wfm_jax.sweep.sound import check_problem
from wfm_jax.train.problem import Problem, squared_answers

PARAMS = anybody.fresh(jax.random.key(0))
SOUND = Problem(
    anybody.apply, PARAMS, anybody.batch, anybody.task_loss, score=anybody.score, prunable="*w"
)


def with_leaf(leaf):
    return {**PARAMS, "extra": leaf}


def on_host(key):
    x, labels = anybody.batch(key)
    return np.asarray(x), labels


BAD = {
    "text": ({"params": with_leaf("relu")}, "params must be float32 arrays, got str at extra"),
    "whole": (
        {"params": with_leaf(jnp.arange(3))},
        "params must be float32 arrays, got int32 at extra",
    ),
    "half": (
        {"params": with_leaf(jnp.ones(2, jnp.bfloat16))},
        "params must be float32 arrays, got bfloat16 at extra",
    ),
    "nan": ({"params": with_leaf(np.float32([np.nan]))}, "params must be finite, got NaN or"),
    "empty": ({"params": {}}, "params has no arrays"),
    "pattern": ({"prunable": "*kernel"}, "prunable: pattern .* matches no leaf; the nearest are"),
    "host": ({"batch": on_host}, "batch.key. cannot be traced by jax.jit: "),
    "one": (
        {"batch": lambda key: anybody.batch(key)[0]},
        "batch must return .inputs, labels., got",
    ),
    "uneven": (
        {"batch": lambda key: ({"a": jnp.ones((3, 2)), "b": jnp.ones(4)}, jnp.ones(3))},
        "batch must return inputs of equally many examples",
    ),
    "apply": ({"apply": lambda p, x: x @ p["first"]["w"].T}, "apply.params, inputs. fails on what"),
    "answer": (
        {"apply": lambda p, x: anybody.apply(p, x) / 0.0},
        "apply.params, inputs. gives NaN or infinity on what batch draws",
    ),
    "vector": (
        {"task_loss": lambda logits, labels: jnp.sum(logits, axis=1)},
        r"task_loss must return a float32 scalar, got float32\[32\]",
    ),
    "infinite": (
        {"task_loss": lambda logits, labels: jnp.log(0.0 * jnp.sum(logits))},
        "task_loss is NaN or infinite for the trained params",
    ),
    "distilled": (
        {"distillation_loss": lambda s, t, labels, temperature: s - t},
        r"distillation_loss must return a float32 scalar, got float32\[32, 4\]",
    ),
    "tuple": (
        {
            "apply": lambda p, x: (anybody.apply(p, x), x),
            "task_loss": lambda outputs, labels: jnp.sum(outputs[0]),
        },
        "distillation_loss fails on what apply answers: ",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_as_it_should_be_is_named(name):
    changes, words = BAD[name]
    with pytest.raises(ValueError, match=f"^{words}") as refused:
        check_problem(SOUND._replace(**changes))
    assert "\n" not in str(refused.value)


def test_sound_problems_pass():
    check_problem(SOUND)
    check_problem(SOUND._replace(distillation_loss=squared_answers))


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (None, "score is missing"),
        (lambda params: 0.5, r"score must give one number an example, .* got shape \(\)"),
        (lambda params: np.ones((3, 4)), r"score must give one number .* got shape \(3, 4\)"),
        (lambda params: params["third"], "score.params. fails: 'third'"),
    ],
)
def test_scores_are_one_number_an_example(score, words):
    with pytest.raises(ValueError, match=words) as refused:
        score_examples(SOUND._replace(score=score), PARAMS)
    assert "\n" not in str(refused.value)


def test_squared_answers_sum_over_arrays():
    student = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([[3.0]])}
    teacher = {"a": jnp.array([0.0, 2.0]), "b": jnp.array([[1.0]])}
    assert float(squared_answers(student, teacher, None, 2.0)) == 0.5 + 4.0
