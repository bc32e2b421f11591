"""Masks and counts are those of torch.nn.utils.prune on the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.compress import (
    Inputs,
    Outputs,
    prune,
    random_score,
    uniformly,
)

torch = pytest.importorskip("torch", reason="PyTorch is missing: run `make test-oracles`")
torch_prune = pytest.importorskip("torch.nn.utils.prune")

KEY = jax.random.key(19)
RNG = np.random.default_rng(19)
SHAPES = {"a": (40, 25), "b": (7, 9), "c": (64, 32)}
KERNELS = {p: RNG.normal(size=s).astype(np.float32) for p, s in SHAPES.items()}
AMOUNTS = (0.0, 0.1, 0.25, 0.3, 0.5, 0.77, 0.9, 0.99)

each_amount = pytest.mark.parametrize("amount", AMOUNTS)


def square(w, stats, key):
    del stats, key
    return w**2


def layers():
    """Fresh linear layers with our kernels, which are PyTorch's weights transposed."""
    made = {}
    for path, kernel in KERNELS.items():
        made[path] = torch.nn.Linear(*kernel.shape)
        made[path].weight.data = torch.from_numpy(kernel.T.copy())
    return made


def their_masks(method, **settings):
    masks = {}
    for path, layer in layers().items():
        method(layer, "weight", **settings)
        masks[path] = layer.weight_mask.numpy().T.astype(bool)
    return masks


def our_masks(transform):
    params = jax.tree.map(jnp.asarray, KERNELS)
    return transform.update(params, transform.init(params, key=KEY))[1].keep


def assert_equal(ours, theirs):
    for path in KERNELS:
        np.testing.assert_array_equal(ours[path], theirs[path], err_msg=path)


@each_amount
def test_l1_unstructured(amount):
    ours = our_masks(prune(amount, distribution=uniformly))
    assert_equal(ours, their_masks(torch_prune.l1_unstructured, amount=amount))


@each_amount
def test_random_unstructured_counts(amount):
    ours = our_masks(prune(amount, distribution=uniformly, score=random_score))
    theirs = their_masks(torch_prune.random_unstructured, amount=amount)
    assert {p: int(ours[p].sum()) for p in KERNELS} == {p: theirs[p].sum() for p in KERNELS}


@each_amount
@pytest.mark.parametrize("structure, dim", [(Outputs(), 0), (Inputs(), 1)], ids=["out", "in"])
@pytest.mark.parametrize("score, n", [(None, 1), (square, 2)], ids=["l1", "l2"])
def test_ln_structured(amount, structure, dim, score, n):
    scored = {} if score is None else {"score": score}
    ours = our_masks(prune(amount, distribution=uniformly, structure=structure, **scored))
    assert_equal(ours, their_masks(torch_prune.ln_structured, amount=amount, n=n, dim=dim))


@each_amount
def test_global_unstructured(amount):
    linear = layers()
    torch_prune.global_unstructured(
        [(layer, "weight") for layer in linear.values()],
        pruning_method=torch_prune.L1Unstructured,
        amount=amount,
    )
    theirs = {path: layer.weight_mask.numpy().T.astype(bool) for path, layer in linear.items()}
    assert_equal(our_masks(prune(amount)), theirs)


def test_iterative_pruning_never_brings_a_weight_back():
    """Theirs takes a share of what is left, ours of the whole: 1 - 0.5 * 0.6 = 0.7."""
    linear, params = layers()["c"], {"c": jnp.asarray(KERNELS["c"])}
    state = prune(0.0).init(params, key=KEY)
    for amount, sparsity in ((0.5, 0.5), (0.4, 0.7)):
        torch_prune.l1_unstructured(linear, "weight", amount=amount)
        _, state = prune(sparsity).update(params, state)
        removed = np.sum(linear.weight_mask.numpy() == 0), int(jnp.sum(~state.keep["c"]))
        assert abs(removed[0] - removed[1]) <= 1
    both = linear.weight_mask.numpy().T.astype(bool) != np.asarray(state.keep["c"])
    assert both.sum() <= 1
