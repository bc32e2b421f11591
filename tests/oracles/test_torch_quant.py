"""Fake quantization against PyTorch's with the same scales: values and gradients are equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import (
    absmax_scale,
    affine_grid,
    fake_quant,
    fake_quant_affine,
    min_max_grid,
)

torch = pytest.importorskip("torch", reason="PyTorch is missing: run `make test-oracles`")

BITS = (2, 3, 4, 8)
W = jnp.asarray(np.random.default_rng(29).normal(0.7, 1.3, size=(192, 64)), jnp.float32)
UPSTREAM = jnp.asarray(np.random.default_rng(30).normal(size=W.shape), jnp.float32)

each_bits = pytest.mark.parametrize("bits", BITS)


def theirs(w, scale, zero_point, axis, lowest, highest):
    """PyTorch's weights and gradient, of one scale or one a channel."""
    leaf = torch.from_numpy(np.array(w)).requires_grad_()
    scale, zero_point = np.array(scale).reshape(-1), np.array(zero_point).reshape(-1)
    if axis is None:
        seen = torch.fake_quantize_per_tensor_affine(
            leaf, float(scale[0]), int(zero_point[0]), lowest, highest
        )
    else:
        seen = torch.fake_quantize_per_channel_affine(
            leaf,
            torch.from_numpy(scale),
            torch.from_numpy(zero_point.astype(np.int32)),
            axis,
            lowest,
            highest,
        )
    seen.backward(torch.from_numpy(np.array(UPSTREAM)))
    assert leaf.grad is not None
    return seen.detach().numpy(), leaf.grad.numpy()


def ours(w, bits, **settings):
    seen, pull = jax.vjp(lambda w: fake_quant_affine(w, bits, **settings), w)
    return np.asarray(seen), np.asarray(pull(UPSTREAM)[0])


@each_bits
@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("share", [1.0, 0.5], ids=["whole", "clipped"])
def test_affine_weights_and_gradients_are_equal(bits, axis, share):
    """``share``: of the range of the weights, so that the rest is clipped."""
    scale, zero_point = min_max_grid(share * W, bits, axis=axis)
    settings = {"axis": axis, "scale": scale, "zero_point": zero_point}
    seen, gradient = ours(W, bits, **settings)
    expected, expected_gradient = theirs(W, scale, zero_point, axis, 0, 2**bits - 1)
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(gradient, expected_gradient)
    assert (share < 1) <= bool((gradient == 0).any())
    if share == 1:
        np.testing.assert_array_equal(fake_quant_affine(W, bits, axis=axis), expected)


@each_bits
@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("bound", ["restricted", "half_step"])
def test_symmetric_weights_are_equal(bits, axis, bound):
    scale = absmax_scale(W, bits, axis=axis, bound=bound)
    highest = 2 ** (bits - 1) - 1
    lowest = -highest - (bound == "half_step")
    expected, _ = theirs(W, scale, np.zeros_like(scale, np.int32), axis, lowest, highest)
    np.testing.assert_array_equal(fake_quant(W, bits, axis=axis, bound=bound), expected)


@each_bits
def test_groups_are_equal_to_channels_of_their_own(bits):
    scale, zero_point = min_max_grid(W, bits, group_size=32)
    seen = fake_quant_affine(W, bits, group_size=32)
    for group in range(6):
        rows = W[32 * group : 32 * (group + 1)]
        leaf = torch.from_numpy(np.array(rows))
        expected = torch.fake_quantize_per_channel_affine(
            leaf,
            torch.from_numpy(np.array(scale[group])),
            torch.from_numpy(np.array(zero_point[group])),
            1,
            0,
            2**bits - 1,
        )
        np.testing.assert_array_equal(seen[32 * group : 32 * (group + 1)], expected.numpy())


@pytest.mark.parametrize("low, high", [(-1.0, 3.0), (0.2, 3.0), (-5.0, -1.0), (-2.7, 0.31)])
def test_grids_are_those_of_their_observer(low, high):
    """At 8 bits: its types know no other number."""
    observers = pytest.importorskip("torch.ao.quantization")
    observer = observers.MinMaxObserver(dtype=torch.quint8, qscheme=torch.per_tensor_affine)
    observer(torch.tensor([low, high]))
    scale, zero_point = observer.calculate_qparams()
    grid = affine_grid(low, high, 8)
    np.testing.assert_allclose(grid.scale, scale.numpy()[0], rtol=1e-6)
    assert int(grid.zero_point) == int(zero_point[0])
