import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import cubic_sparsity

SCHEDULE = dict(start=100, end=500, final=0.9, initial=0.2)
STEPS = jnp.arange(0, 700, 7)


def test_is_the_published_cubic():
    for step in (0, 100, 101, 250, 499, 500, 10_000):
        progress = min(max((step - 100) / 400, 0), 1)
        expected = 0.9 + (0.2 - 0.9) * (1 - progress) ** 3
        assert float(cubic_sparsity(step, **SCHEDULE)) == pytest.approx(expected, abs=1e-6)


def test_rises_from_start_to_end_and_nowhere_falls():
    values = np.asarray(cubic_sparsity(STEPS, **SCHEDULE))
    assert (np.diff(values) >= 0).all()
    assert (np.diff(values)[(STEPS[1:] > 100) & (STEPS[:-1] < 490)] > 0).all()
    assert (values[STEPS >= 500] == np.float32(0.9)).all()
    assert float(cubic_sparsity(3, start=3, end=9, final=0.75)) == 0


def test_half_way_seven_eighths_are_done():
    assert float(cubic_sparsity(50, start=0, end=100, final=0.8)) == pytest.approx(0.7)


def test_every_number_may_be_traced():
    def schedule(start, end, final, initial):
        return cubic_sparsity(STEPS, start=start, end=end, final=final, initial=initial)

    settings = [(100, 500, 0.9, 0.2), (0, 50, 0.5, 0.0), (300, 301, 0.99, 0.5)]
    many = jax.jit(jax.vmap(schedule))(*jnp.array(settings, jnp.float32).T)
    for row, setting in zip(many, settings, strict=True):
        np.testing.assert_allclose(row, schedule(*setting), atol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"final": 1.0}, r"final must be one number in \[0, 1\)"),
        ({"initial": -0.1}, r"initial must be one number in \[0, 1\)"),
        ({"initial": 0.95}, "initial must be at most final=0.9"),
        ({"end": 100}, "end must be later than start=100"),
    ],
)
def test_rejects_bad_numbers(change, message):
    with pytest.raises(ValueError, match=message):
        cubic_sparsity(0, **(SCHEDULE | change))
