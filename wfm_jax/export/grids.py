"""The ways in which a quantized tensor is written: what a reader needs beside its codes."""

from typing import NamedTuple

from jax.typing import ArrayLike


class Uniform(NamedTuple):
    """Integers times a scale: ``compress.quantize``, ``lsq_apply``, ``gptq``.

    Attributes:
      bits: scalar, 2 to 8; 16 and more say that there is no grid: float16, from 32 on float32.
      scale: float32, of the rank of the weights; its shape says how they share it, as in
        ``wfm_jax.compress.blocks``.
    """

    bits: ArrayLike
    scale: ArrayLike


Grid = Uniform
