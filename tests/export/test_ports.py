"""Arrays are what a program asks for, or one line says what is wrong with which."""

import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.export.ports import BATCH, Port, check_arrays

PORTS = (
    Port("grid", (BATCH, 4, 2), "complex64", "V", "Elements."),
    Port("modulation", (BATCH,), "int32", "index", "Which.", highest=4),
)


def arrays(batch, **changed):
    return {
        "grid": np.zeros((batch, 4, 2), np.complex64),
        "modulation": np.full((batch,), 4, np.int32),
    } | changed


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_any_batch_size_is_returned(batch):
    assert check_arrays(PORTS, arrays(batch)) == batch
    assert check_arrays(PORTS, {k: jnp.asarray(v) for k, v in arrays(batch).items()}) == batch


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "arrays must be grid, modulation, got none"),
        ({"grid": 0}, "arrays must be grid, modulation, got grid"),
        (arrays(1, iq=0), "arrays must be grid, modulation, got grid, modulation, iq"),
        (
            arrays(3, grid=np.zeros((3, 4, 2))),
            "grid must be complex64[batch, 4, 2] with batch at least 1, got float64[3, 4, 2]",
        ),
        (
            arrays(3, grid=np.zeros((4, 2), np.complex64)),
            "grid must be complex64[batch, 4, 2] with batch at least 1, got complex64[4, 2]",
        ),
        (arrays(0), "grid must be complex64[batch, 4, 2] with batch at least 1, "
                    "got complex64[0, 4, 2]"),
        (
            arrays(3, modulation=np.zeros(2, np.int32)),
            "modulation must be int32[batch] with batch 3 as of grid, got int32[2]",
        ),
        (
            arrays(3, modulation=[0, 1, 2]),
            "modulation must be int32[batch] with batch 3 as of grid, got list",
        ),
        (arrays(3, modulation=np.int32([0, 5, 1])), "modulation must be 0 to 4, got 0 to 5"),
        (arrays(3, modulation=np.int32([0, 2, -1])), "modulation must be 0 to 4, got -1 to 2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(given, line):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        check_arrays(PORTS, given)
    assert str(caught.value) == line


def test_a_port_prints_as_a_line():
    assert str(PORTS[0]) == "grid: complex64[batch, 4, 2], V"
