import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.compress import erk_kept

SHAPES = {"a": (64, 64), "b": (64, 256), "c": (256, 64), "d": (8, 64), "bias": (64,)}
SPARSITIES = (0.0, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99)


def law(shapes, sparsity):
    """The published loop in float64: dense tensors are set aside until all others fit."""
    size = {p: np.prod(s) for p, s in shapes.items()}
    raw = {p: sum(s) / np.prod(s) for p, s in shapes.items()}
    dense = set()
    while True:
        left = (1 - sparsity) * sum(size.values()) - sum(size[p] for p in dense)
        free = [p for p in shapes if p not in dense]
        if not free:
            return size
        factor = left / sum(raw[p] * size[p] for p in free)
        worst = max(raw[p] for p in free)
        if factor * worst <= 1 + 1e-9:
            return {p: size[p] * (1 if p in dense else factor * raw[p]) for p in shapes}
        dense |= {p for p in free if raw[p] == worst}


def as_ints(kept):
    return {path: int(count) for path, count in kept.items()}


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_is_the_law_to_less_than_a_weight_and_exact_in_total(sparsity):
    kept, expected = as_ints(erk_kept(SHAPES, sparsity)), law(SHAPES, sparsity)
    total = sum(int(np.prod(s)) for s in SHAPES.values())
    assert sum(kept.values()) == total - round(sparsity * total)
    for path in SHAPES:
        assert abs(kept[path] - expected[path]) < 1.5, path  # 1, and the total's own rounding
        assert 0 <= kept[path] <= np.prod(SHAPES[path])


def test_closed_form_where_nothing_is_dense():
    kept = as_ints(erk_kept({"square": (100, 100), "wide": (100, 300)}, 0.9))
    np.testing.assert_allclose([kept["square"], kept["wide"]], [4000 / 3, 8000 / 3], atol=1)


def test_small_tensors_are_dense_and_give_the_excess_to_the_others():
    """Of 10,400 weights 5,200 stay: the head takes its 400 of them, not 5,200 * 104 / 304."""
    assert as_ints(erk_kept({"body": (100, 100), "head": (4, 100)}, 0.5)) == {
        "body": 4800,
        "head": 400,
    }


@settings(max_examples=30, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=6),
    sparsity=st.floats(0, 1, exclude_max=True, width=32),
)
def test_totals_are_exact_for_any_shapes(shapes, sparsity):
    named = {str(i): shape for i, shape in enumerate(shapes)}
    kept, total = as_ints(erk_kept(named, sparsity)), sum(a * b for a, b in shapes)
    removed = int(np.round(np.float32(sparsity) * np.float32(total)))
    assert sum(kept.values()) == total - removed
    expected = law(named, removed / total)
    for path, (a, b) in named.items():
        assert 0 <= kept[path] <= a * b
        assert abs(kept[path] - expected[path]) < 1 + 1e-3


def test_grain_counts_in_units():
    kept = as_ints(erk_kept({"a": (32, 32), "b": (32, 8)}, 0.5, grain=16))
    units = {"a": 64, "b": 16}
    assert sum(kept.values()) == 40
    expected = law({"a": (32, 32), "b": (32, 8)}, 0.5)
    assert all(abs(kept[p] - expected[p] / 16) < 1 and kept[p] <= units[p] for p in units)


def test_traced_equals_concrete_and_vmap_the_loop():
    many = jax.jit(jax.vmap(lambda s: erk_kept(SHAPES, s)))(jnp.array(SPARSITIES))
    for i, sparsity in enumerate(SPARSITIES):
        assert {p: int(v[i]) for p, v in many.items()} == as_ints(erk_kept(SHAPES, sparsity))


def test_totals_are_exact_beyond_what_float32_resolves():
    shapes = {str(i): (4096, 4096 + 64 * i) for i in range(5)}
    total = sum(a * b for a, b in shapes.values())
    kept = as_ints(erk_kept(shapes, 0.75))
    assert sum(kept.values()) == total - int(np.round(np.float32(0.75) * np.float32(total)))
    expected = law(shapes, 0.75)
    assert all(abs(kept[p] - expected[p]) < 64 for p in shapes)


def test_no_tensors():
    assert erk_kept({}, 0.5) == {}
