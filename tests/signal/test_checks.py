"""Arrays that do not fit, in one line that names the argument."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.signal.checks import check_array

COMPLEX = np.zeros((2, 3), np.complex64)


def test_what_fits_passes():
    check_array("x", COMPLEX, "batch", 3)
    check_array("x", jnp.zeros((2, 3)), "batch", "n", real=True)
    check_array("x", np.zeros(3, int), "n", real=True)
    check_array("x", np.float64(1), real=True)
    for shape in ((3,), (2, 3), (4, 2, 3)):
        check_array("x", np.zeros(shape, np.complex128), 3, batched=True)


@pytest.mark.parametrize(
    "message, x, axes, options",
    [
        ("x must be complex [batch, 4], got complex64[2, 3]", COMPLEX, ("batch", 4), {}),
        ("x must be complex [n], got complex64[2, 3]", COMPLEX, ("n",), {}),
        ("x must be complex [a, b, 3], got complex64[2, 3]", COMPLEX, ("a", "b", 3), {}),
        ("x must be real [a, b], got complex64[2, 3]", COMPLEX, ("a", "b"), {"real": True}),
        ("x must be complex [a, b], got float32[2, 3]", COMPLEX.real, ("a", "b"), {}),
        ("x must be real [n], got bool[2]", np.zeros(2, bool), ("n",), {"real": True}),
        ("x must be complex [..., 4], got complex64[2, 3]", COMPLEX, (4,), {"batched": True}),
        (
            "x must be complex [..., a, b, 3], got complex64[2, 3]",
            COMPLEX,
            ("a", "b", 3),
            {"batched": True},
        ),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(message, x, axes, options):
    for call in (
        lambda: check_array("x", x, *axes, **options),
        lambda: jax.eval_shape(lambda y: check_array("x", y, *axes, **options), x),
    ):
        with pytest.raises(ValueError, match=r"^x must") as error:
            call()
        assert str(error.value) == message
