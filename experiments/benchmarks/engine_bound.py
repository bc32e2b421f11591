"""What a configuration-step costs at least, and what the device gives.

*Arithmetic*: the matrix products of a student's step and its share of the teacher's pass, at the
rate of one large product. *Memory*: parameters and both moments read and written, the gradient
written and read, mask and scales read, and what the step keeps for its backward pass written and
read once, at the rate of a pass over a large array. What is kept is counted from the compiled step
of one configuration: its temporaries at their most, which is where the backward pass begins. A
cache makes the second part no bound where all of it fits in there; a compiler that recomputes
instead of keeping gets below it too.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import machine

PASSES_OVER_PARAMETERS = 8  # parameters and two moments read and written, the gradient too


class Device(NamedTuple):
    """Per second: operations of one large matrix product by what it computes in, bytes."""

    matrix_operations: dict[str, float]
    memory_bytes: float


class Cost(NamedTuple):
    """Of a model's step.

    Attributes:
        student_operations: of a configuration's own products.
        teacher_operations: of the pass that all configurations share.
        state_bytes: parameters, moments, gradient, masks and scales, read and written.
        kept_bytes: what is kept for the backward pass, written and read.
    """

    student_operations: float
    teacher_operations: float
    state_bytes: float
    kept_bytes: float

    def arithmetic_s(self, width: int, per_second: float) -> float:
        return (self.student_operations + self.teacher_operations / width) / per_second

    def memory_s(self, per_second: float) -> float:
        return (self.state_bytes + self.kept_bytes) / per_second


def cost(
    forward_operations: float,
    teacher_operations: float,
    n_parameters: int,
    compression: Any,
    temporary_bytes: int,
) -> Cost:
    """The cost of a step: forward, and two products backward for each of its products.

    Args:
        forward_operations: of the matrix products of a student's forward pass.
        teacher_operations: of its teacher's.
        n_parameters: float32.
        compression: a student's masks and scales.
        temporary_bytes: of the compiled step of one configuration.
    """
    read = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(compression))
    state = PASSES_OVER_PARAMETERS * 4 * n_parameters + read
    return Cost(3.0 * forward_operations, teacher_operations, state, 2.0 * temporary_bytes)


def measure(computes: tuple[str, ...]) -> Device:
    """The device's rates; larger arrays where it is no CPU, so that launching is not timed."""
    is_cpu = jax.default_backend() == "cpu"
    size, big_bytes = (2048, 2**28) if is_cpu else (8192, 2**31)
    rates = {compute: matrix_operations(size, compute) for compute in computes}
    return Device(rates, machine.measure(big_bytes=big_bytes).memory_bytes)


def matrix_operations(size: int, compute: str = "float32") -> float:
    """Operations per second of a product of two square matrices, best of five."""
    values = np.random.default_rng(0).normal(size=(size, size)) / size**0.5
    matrix = jnp.asarray(values, compute)
    product = jax.jit(jnp.matmul)
    return 2.0 * size**3 / machine.best(lambda: jax.block_until_ready(product(matrix, matrix)))


def precision(product: Any, size: int = 512) -> dict[str, Any]:
    """What float32 products are computed in, told from their error.

    Args:
        product: of two float32 NumPy matrices.
        size: of the matrices.

    Returns:
        ``error``, relative to the product's norm, and ``computed_in``: float32 where it is some
        1e-7, TF32 (10 bits of mantissa) where some 1e-4, bfloat16 (7 bits) beyond.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(size, size)).astype(np.float32) for _ in range(2))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    error = float(np.linalg.norm(np.asarray(product(a, b)) - exact) / np.linalg.norm(exact))
    name = "float32" if error < 1e-5 else "TF32" if error < 1.2e-3 else "bfloat16"
    return {"computed_in": name, "error": error}
