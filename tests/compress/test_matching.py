"""What lies between a model's input and its answers: features, relations, attention, layers."""

import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from scipy import stats

from wfm_jax.compress import (
    FeatureMap,
    attention_loss,
    match_init,
    match_loss,
    similarities,
    similarity_loss,
    uniform_layer_map,
)

RNG = np.random.default_rng(3)
TEMPERATURES = (0.5, 1.0, 3.0)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


STUDENT, TEACHER = normal(7, 3), normal(7, 5)
MAPS = FeatureMap(normal(3, 5), normal(5))
STUDENT_MAPS, TEACHER_MAPS = (jax.nn.softmax(2 * normal(2, h, 6, 6)) for h in (2, 3))

LOSSES = {
    "features": (functools.partial(match_loss, MAPS), STUDENT, TEACHER),
    "relations": (similarity_loss, STUDENT, TEACHER),
    "attention": (attention_loss, STUDENT_MAPS, TEACHER_MAPS),
}
every_loss = pytest.mark.parametrize("loss, student, teacher", LOSSES.values(), ids=LOSSES)


def total(loss):
    return lambda s, t: jnp.sum(loss(s, t))


@every_loss
def test_pulls_the_student_only_and_as_finite_differences_say(loss, student, teacher):
    by_student, by_teacher = jax.grad(total(loss), (0, 1))(student, teacher)
    assert float(jnp.abs(by_student).max()) > 1e-3
    assert not bool(by_teacher.any())
    jax.test_util.check_grads(
        lambda s: total(loss)(s, teacher), (student,), order=1, modes=["rev"], rtol=2e-2, atol=2e-2
    )


@every_loss
def test_compiled_is_eager(loss, student, teacher):
    np.testing.assert_allclose(
        jax.jit(loss)(student, teacher), loss(student, teacher), rtol=1e-4, atol=1e-6
    )


@every_loss
def test_vmap_is_one_by_one(loss, student, teacher):
    students = jnp.stack([student, student[::-1]])
    many = jax.vmap(loss, (0, None))(students, teacher)
    for one, of in zip(many, students, strict=True):
        np.testing.assert_allclose(one, loss(of, teacher), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "loss, x",
    [
        (functools.partial(match_loss, match_init(5, 5, key=jax.random.key(0))), TEACHER),
        (similarity_loss, TEACHER),
        (attention_loss, TEACHER_MAPS),
        (functools.partial(attention_loss, temperature=3.0), TEACHER_MAPS),
    ],
)
def test_exactly_zero_where_student_and_teacher_agree(loss, x):
    for wrap in (lambda f: f, jax.jit):
        value, gradient = wrap(jax.value_and_grad(total(loss)))(x, x + 0)
        assert value == 0
        assert not bool(gradient.any())


def test_features_are_those_of_the_formula():
    mapped = np.asarray(STUDENT, np.float64) @ np.asarray(MAPS.kernel) + np.asarray(MAPS.bias)
    expected = np.mean((mapped - np.asarray(TEACHER)) ** 2, axis=-1)
    np.testing.assert_allclose(match_loss(MAPS, STUDENT, TEACHER), expected, rtol=1e-5)


def test_training_the_map_finds_the_least_squares_one():
    """Its gradient vanishes at NumPy's solution, and at no other map."""
    students, teachers = normal(40, 3), normal(40, 5)
    rows = np.concatenate([students, np.ones((40, 1))], axis=1)
    best, *_ = np.linalg.lstsq(rows, np.asarray(teachers), rcond=None)
    best = FeatureMap(*(jnp.asarray(part, jnp.float32) for part in (best[:3], best[3])))

    def loss(maps):
        return jnp.mean(match_loss(maps, students, teachers))

    assert max(float(jnp.abs(g).max()) for g in jax.grad(loss)(best)) < 1e-6
    other = match_init(3, 5, key=jax.random.key(1))
    assert max(float(jnp.abs(g).max()) for g in jax.grad(loss)(other)) > 0.1
    assert loss(best) < loss(other)


def test_a_fresh_map_keeps_the_size_of_features():
    """Its entries are normal with variance one over the student's width."""
    kernel, bias = match_init(64, 200, key=jax.random.key(2))
    assert not bool(bias.any())
    assert stats.kstest(np.ravel(kernel) * 8, "norm").pvalue > 1e-3
    keys = jax.random.split(jax.random.key(3), 4)
    many = jax.vmap(lambda key: match_init(3, 5, key=key))(keys)
    assert many.kernel.shape == (4, 3, 5)


def test_bad_features():
    with pytest.raises(ValueError, match=r"widths 5 and 5 do not fit a map from 3 to 5$"):
        match_loss(MAPS, TEACHER, TEACHER)
    with pytest.raises(ValueError, match="widths must be at least 1, got 0 and 3"):
        match_init(0, 3, key=jax.random.key(0))


def test_relations_are_those_of_the_formula():
    def square(x):
        products = np.asarray(x, np.float64) @ np.asarray(x, np.float64).T
        return products / np.linalg.norm(products, axis=1, keepdims=True)

    expected = np.linalg.norm(square(STUDENT) - square(TEACHER)) ** 2 / 7**2
    np.testing.assert_allclose(similarity_loss(STUDENT, TEACHER), expected, rtol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(similarities(STUDENT), axis=1), 1, rtol=1e-5)


def test_relations_know_no_basis_and_no_unit():
    turn, _ = np.linalg.qr(RNG.normal(size=(5, 5)))
    turned = 3 * TEACHER @ jnp.asarray(turn, jnp.float32)
    assert float(similarity_loss(turned, TEACHER)) < 1e-12
    wider = jnp.concatenate([turned, jnp.zeros((7, 4))], axis=1)
    assert float(similarity_loss(wider, TEACHER)) < 1e-12


def test_relations_of_nothing_are_finite():
    silent = STUDENT.at[2].set(0)
    for student in (silent, 0 * STUDENT):
        value, gradient = jax.value_and_grad(similarity_loss)(student, TEACHER)
        assert bool(jnp.isfinite(value))
        assert bool(jnp.isfinite(gradient).all())
    with pytest.raises(ValueError, match="need the same examples"):
        similarity_loss(STUDENT, TEACHER[:5])


@pytest.mark.parametrize("t", TEMPERATURES)
def test_attention_is_the_divergence_of_the_mean_maps(t):
    def softened(maps):
        mean = np.asarray(maps, np.float64).mean(axis=1) ** (1 / t)
        return mean / mean.sum(axis=-1, keepdims=True)

    expected = t**2 * stats.entropy(softened(TEACHER_MAPS), softened(STUDENT_MAPS), axis=-1)
    found = attention_loss(STUDENT_MAPS, TEACHER_MAPS, t)
    assert found.shape == (2, 6)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_temperatures_may_be_a_vmapped_axis():
    over = jax.vmap(functools.partial(attention_loss, STUDENT_MAPS, TEACHER_MAPS))
    for one, t in zip(over(jnp.array(TEMPERATURES)), TEMPERATURES, strict=True):
        expected = attention_loss(STUDENT_MAPS, TEACHER_MAPS, t)
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6)


def test_attention_that_is_certain_has_finite_gradients():
    """Also behind the softmax, where the student's share of what the teacher looks at is zero."""
    scores = jnp.array([[[0.0, 300.0, -300.0]]])
    certain = jax.nn.softmax(-scores)

    def loss(scores):
        return jnp.sum(attention_loss(jax.nn.softmax(scores), certain))

    value, gradient = jax.value_and_grad(loss)(scores)
    assert bool(jnp.isfinite(value))
    assert bool(jnp.isfinite(gradient).all())
    near = jax.grad(loss)(jnp.array([[[0.0, 10.0, -10.0]]]))
    np.testing.assert_allclose(near, [[[0.0, 1.0, -1.0]]], atol=1e-3)  # student minus teacher


def test_bad_attention():
    with pytest.raises(ValueError, match=r"number of heads alone, got \(2, 2, 6, 6\) and \(2, 3"):
        attention_loss(STUDENT_MAPS, TEACHER_MAPS[..., :4])
    with pytest.raises(ValueError, match="temperature must be positive"):
        attention_loss(STUDENT_MAPS, TEACHER_MAPS, 0.0)


@pytest.mark.parametrize("n_teacher", range(1, 13))
def test_layers_are_evenly_spaced(n_teacher):
    assert uniform_layer_map(n_teacher, n_teacher) == tuple(range(n_teacher))
    for n_student in range(1, n_teacher + 1):
        layers = uniform_layer_map(n_student, n_teacher)
        assert layers[-1] == n_teacher - 1
        assert list(layers) == sorted(set(layers))
        even = np.arange(1, n_student + 1) * n_teacher / n_student - 1
        assert np.abs(np.array(layers) - even).max() <= 0.5
    with pytest.raises(ValueError, match=f"1 to {n_teacher} layers"):
        uniform_layer_map(n_teacher + 1, n_teacher)
