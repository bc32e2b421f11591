import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.compress import blend, softened_bernoulli_kl, softened_kl, squared_error

S, T = jnp.asarray(np.random.default_rng(2).normal(0, 3, (2, 6, 5)), jnp.float32)
TEMPERATURES = (1.0, 2.0, 5.0)


@pytest.mark.parametrize("t", TEMPERATURES)
def test_classes_agree_with_optax(t):
    expected = t**2 * optax.losses.kl_divergence(jax.nn.log_softmax(S / t), jax.nn.softmax(T / t))
    np.testing.assert_allclose(softened_kl(S, T, t), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("t", TEMPERATURES)
def test_bits_are_classes_of_two(t):
    """A bit with LLR x is a pair of classes with logits (0, x)."""

    def pair(x):
        return jnp.stack([jnp.zeros_like(x), x], axis=-1)

    np.testing.assert_allclose(
        softened_bernoulli_kl(S, T, t), softened_kl(pair(S), pair(T), t), rtol=1e-4, atol=1e-6
    )


def test_bits_agree_with_float64():
    s, t = np.asarray(S, np.float64), np.asarray(T, np.float64)
    p, q = 1 / (1 + np.exp(-t)), 1 / (1 + np.exp(-s))
    expected = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    np.testing.assert_allclose(softened_bernoulli_kl(S, T, 1.0), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("t", TEMPERATURES)
def test_gradients_are_the_closed_forms(t):
    """d/ds T^2 KL(t/T || s/T) = T (softmax(s/T) - softmax(t/T)), and nothing for the teacher."""
    for loss, squash in ((softened_kl, jax.nn.softmax), (softened_bernoulli_kl, jax.nn.sigmoid)):
        by_s, by_t = jax.grad(lambda s, u, f=loss: jnp.sum(f(s, u, t)), (0, 1))(S, T)
        np.testing.assert_allclose(by_s, t * (squash(S / t) - squash(T / t)), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(by_t, np.zeros_like(T))


def test_written_out_gradients_agree_with_finite_differences():
    for loss in (softened_kl, softened_bernoulli_kl):
        jax.test_util.check_grads(
            lambda s, f=loss: jnp.sum(f(s, T, 2.0)),
            (S,),
            order=1,
            modes=["rev"],
            rtol=2e-2,
            atol=2e-2,
        )


@pytest.mark.parametrize("loss", [softened_kl, softened_bernoulli_kl, squared_error])
def test_exactly_zero_where_student_and_teacher_agree(loss):
    arguments = () if loss is squared_error else (3.0,)
    for logits in (S, 1000 * S):
        for wrap in (lambda f: f, jax.jit):
            value, gradient = wrap(
                jax.value_and_grad(lambda s, u: jnp.sum(loss(s, u, *arguments)))
            )(logits, logits)
            assert value == 0
            np.testing.assert_array_equal(gradient, np.zeros_like(S))


@settings(max_examples=60, deadline=None)
@given(
    s=st.floats(-1e4, 1e4, width=32),
    u=st.floats(-1e4, 1e4, width=32),
    t=st.sampled_from(TEMPERATURES),
)
def test_bits_are_finite_and_never_negative(s, u, t):
    value, gradient = jax.value_and_grad(softened_bernoulli_kl)(jnp.float32(s), jnp.float32(u), t)
    assert 0 <= value < np.inf
    assert abs(float(gradient)) <= t


def test_opposite_certain_bits_cost_their_llr():
    assert float(softened_bernoulli_kl(jnp.float32(-1e4), jnp.float32(1e4), 1.0)) == 1e4


def test_high_temperature_matches_logits():
    """T^2 keeps the loss: for T to infinity it is half the variance of the logit difference."""
    expected = jnp.var(S - T, axis=-1) / 2
    np.testing.assert_allclose(softened_kl(S, T, 100.0), expected, rtol=0.1)


def test_temperature_may_be_a_vmapped_axis():
    many = jax.vmap(lambda t: softened_kl(S, T, t))(jnp.array(TEMPERATURES))
    for one, t in zip(many, TEMPERATURES, strict=True):
        np.testing.assert_allclose(one, softened_kl(S, T, t), rtol=1e-5)


def test_shapes():
    assert softened_kl(S, T, 1.0).shape == (6,)
    assert softened_bernoulli_kl(S, T, 1.0).shape == squared_error(S, T).shape == (6, 5)


def test_squared_error_pulls_the_student_only():
    by_s, by_t = jax.grad(lambda s, u: jnp.sum(squared_error(s, u)), (0, 1))(S, T)
    np.testing.assert_allclose(by_s, 2 * (S - T))
    np.testing.assert_array_equal(by_t, np.zeros_like(T))


def test_blend_is_exact_at_its_ends():
    kd, task = jnp.array([0.1, 3.0]), jnp.array([1e8, 0.3])
    np.testing.assert_array_equal(blend(1.0, kd, task), kd)
    np.testing.assert_array_equal(blend(0.0, kd, task), task)
    np.testing.assert_allclose(blend(0.25, kd, task), 0.25 * kd + 0.75 * task)
    assert bool(jnp.isnan(blend(1.0, 0.0, jnp.inf)))


@pytest.mark.parametrize("t", [0.0, -1.0, float("nan"), float("inf")])
def test_rejects_a_bad_temperature(t):
    with pytest.raises(ValueError, match="temperature must be positive"):
        softened_kl(S, T, t)
