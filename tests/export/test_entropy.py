"""The entropy code gives back what went in, near what information theory allows."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfm_jax.export.entropy import AnsCoder, Model, entropy_bits, pop, push


def there_and_back(*arrays):
    """Bits of the stream that holds all arrays, which come back."""
    coder = AnsCoder()
    models = [push(coder, array) for array in reversed(arrays)][::-1]
    bits = coder.num_valid_bits()
    again = AnsCoder(coder.get_compressed())
    tally = 0
    for array, model in zip(arrays, models, strict=True):
        model.check()
        decoded = pop(again, np.size(array), model)
        np.testing.assert_array_equal(decoded.integers, np.ravel(array))
        tally += decoded.bits + decoded.histogram_bits
    assert again.is_empty()
    assert tally == bits
    return bits, models


integers = st.lists(st.integers(-300, 300), max_size=80)


@settings(max_examples=200, deadline=None)
@given(st.lists(integers, max_size=4), st.integers(-1000, 1000))
def test_any_arrays_come_back(lists, offset):
    there_and_back(*(np.array(values, int) + offset for values in lists))


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(1, 3000),
    size=st.sampled_from([1, 2, 3, 16, 255, 700]),
    spread=st.floats(0.01, 2),
    seed=st.integers(0, 99),
)
def test_skewed_arrays_come_back_and_never_take_more_than_plain_integers(n, size, spread, seed):
    rng = np.random.default_rng(seed)
    array = np.minimum(rng.exponential(spread * size, n).astype(int), size - 1) - size // 2
    bits, (model,) = there_and_back(array)
    assert bits <= n * np.log2(model.size) + 64
    assert bits <= n * np.log2(size) + 64


@pytest.mark.parametrize("kept", [0.01, 0.1, 0.25, 0.5])
def test_masks_take_their_entropy(kept):
    mask = np.random.default_rng(0).random(100_000) < kept
    bits, _ = there_and_back(mask.astype(int))
    assert bits < 1.002 * entropy_bits(np.bincount(mask)) + 100


def test_values_and_mask_together_take_their_joint_entropy():
    rng = np.random.default_rng(0)
    codes = np.clip(np.rint(rng.normal(0, 3, 60_000)), -7, 7) * (rng.random(60_000) < 0.25)
    bits, (model,) = there_and_back(codes.astype(int))
    counts = np.unique(codes, return_counts=True)[1]
    assert entropy_bits(counts) < bits < 1.003 * entropy_bits(counts) + 150
    assert (model.lowest, model.size) == (-7, 15)


def test_parts_of_different_frequencies_get_histograms_of_their_own():
    rng = np.random.default_rng(0)
    chances = np.repeat([0.01, 0.9], 20_000)
    mask = (rng.random(40_000) < chances).astype(int)
    bits, (model,) = there_and_back(mask)
    apart = sum(entropy_bits(np.bincount(half)) for half in np.split(mask, 2))
    assert model.parts >= 2
    assert bits < 1.01 * apart + 150 < 0.5 * entropy_bits(np.bincount(mask))


def test_many_values_share_bins():
    rng = np.random.default_rng(0)
    wide = np.clip(np.rint(rng.normal(0, 40, 3000)), -127, 127).astype(int)
    bits, (model,) = there_and_back(wide)
    gaussian = 3000 * (np.log2(40) + 0.5 * np.log2(2 * np.pi * np.e))
    assert model.shift > 0
    assert bits < 1.03 * gaussian


def test_a_zero_far_below_the_others_costs_no_room():
    values = np.random.default_rng(0).integers(2000, 2030, 500)
    values[::50] = 0
    _, (model,) = there_and_back(values)
    assert model.gap == values[values > 0].min() - 1
    assert model.size <= 31


def test_what_is_constant_takes_nothing():
    bits, models = there_and_back(np.full(1000, 7), np.zeros(0, int), np.zeros(50, int))
    assert bits == 0
    assert [model.size for model in models] == [1, 1, 1]


def test_integers_that_spread_too_far_are_refused():
    with pytest.raises(ValueError, match="spread too far"):
        push(AnsCoder(), np.array([-1, 1 << 21]))


@pytest.mark.parametrize(
    "model",
    [
        Model(0, 0, 0, 0, 1),
        Model(0, 0, 1 << 21, 0, 1),
        Model(0, 0, 4, 3, 1),
        Model(0, -1, 4, 0, 1),
        Model(0, 0, 4, 0, 3),
        Model(0, 0, 4, 0, True),
        Model(0.0, 0, 4, 0, 1),
    ],
)
def test_a_model_of_no_array_is_refused(model):
    with pytest.raises(ValueError, match=r"size|shift|parts|lowest"):
        model.check()


def test_the_code_is_that_of_every_version_of_the_coder():
    """Files outlive the library that wrote them: these are the words of constriction 0.4.0."""
    i = np.arange(5000)
    skewed = (i * 2654435761 >> 7) % 97 * ((i * 40503 >> 4) % 3 == 0)
    coder = AnsCoder()
    push(coder, skewed)
    push(coder, skewed[:700] % 5 - 2)
    assert zlib.crc32(coder.get_compressed().astype("<u4").tobytes()) == 2193096469
