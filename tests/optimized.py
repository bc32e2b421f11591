"""For the programs whose running takes the time: tests compile without optimization otherwise."""

import functools

import jax

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": "1"})
"""``jax.jit`` with optimization, where thousands of frames are drawn: 4 times faster to run, and a
second more to compile."""
