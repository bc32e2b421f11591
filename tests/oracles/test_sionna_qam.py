"""Constellations, labels and LLRs against Sionna 2.

Sionna's demapper sums over all M points of the plane, ours over the sqrt(M) levels of an axis. The
difference of two float32 results is both libraries' rounding, so each is also held against Sionna
in double precision.
"""

import numpy as np
import pytest

from wfm_jax.signal import qam

mapping = pytest.importorskip(
    "sionna.phy.mapping", reason="Sionna is missing: run `make test-oracles`"
)
torch = pytest.importorskip("torch")

SIONNA_METHOD = {"exact": "app", "maxlog": "maxlog"}
N0_DB = (-30.0, -20.0, -10.0, 0.0, 5.0)  # 30 dB to -5 dB of SNR


def labels(bits_per_symbol: int) -> np.ndarray:
    """All labels, MSB first, in the order of their numbers."""
    numbers = np.arange(2**bits_per_symbol)
    return numbers[:, None] >> np.arange(bits_per_symbol)[::-1] & 1


def sionna_llrs(y, n0, bits_per_symbol, method, precision):
    demapper = mapping.Demapper(
        SIONNA_METHOD[method], "qam", bits_per_symbol, precision=precision, device="cpu"
    )
    kind, real = ("complex128", "float64") if precision == "double" else ("complex64", "float32")
    llr = demapper(torch.from_numpy(y.astype(kind)), torch.from_numpy(n0.astype(real)))
    return llr.numpy().reshape(*y.shape, bits_per_symbol)


def received(bits_per_symbol, n0, n=2_000):
    """Random symbols in noise of variance n0[...], float32 values: the same for every library."""
    rng = np.random.default_rng([bits_per_symbol, n])
    points = np.asarray(qam.constellation(bits_per_symbol))
    noise = rng.standard_normal((n, 2)) @ [1, 1j] * np.sqrt(n0 / 2)
    return (points[rng.integers(points.size, size=n)] + noise).astype(np.complex64)


def error(llr, reference):
    """The largest error, as a multiple of max(1, |LLR|)."""
    return np.max(np.abs(llr - reference) / np.maximum(1.0, np.abs(reference)))


@pytest.mark.parametrize("bits_per_symbol", qam.SUPPORTED_BITS_PER_SYMBOL)
def test_constellation_and_labels(bits_per_symbol):
    """The point at an index and the symbol of that index' bits are Sionna's."""
    theirs = mapping.Constellation("qam", bits_per_symbol, precision="double", device="cpu")
    points = theirs.points.numpy()
    np.testing.assert_allclose(np.asarray(qam.constellation(bits_per_symbol)), points, atol=1e-6)
    bits = labels(bits_per_symbol)
    mapper = mapping.Mapper("qam", bits_per_symbol, precision="double", device="cpu")
    mapped = mapper(torch.from_numpy(bits.astype(np.float64))).numpy()[:, 0]
    np.testing.assert_allclose(np.asarray(qam.modulate(bits)), mapped, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(qam.decide(mapped, bits_per_symbol)), bits)


@pytest.mark.parametrize("method", SIONNA_METHOD)
@pytest.mark.parametrize("bits_per_symbol", qam.SUPPORTED_BITS_PER_SYMBOL)
@pytest.mark.parametrize("n0_db", [*N0_DB, "per symbol"])
def test_llrs(bits_per_symbol, method, n0_db):
    n = 2_000
    if n0_db == "per symbol":
        n0 = 10.0 ** (np.random.default_rng(n).uniform(-3.0, 0.5, n))
    else:
        n0 = np.full(n, 10.0 ** (n0_db / 10.0))
    n0 = n0.astype(np.float32)
    y = received(bits_per_symbol, n0, n)
    ours = np.asarray(qam.demap(y, n0, bits_per_symbol, method), np.float64)
    double = sionna_llrs(y, n0, bits_per_symbol, method, "double")
    single = sionna_llrs(y, n0, bits_per_symbol, method, "single")
    assert np.all(np.isfinite(ours))
    assert error(ours, single) < 1e-4
    assert error(ours, double) < 2e-6


@pytest.mark.parametrize("bits_per_symbol", qam.SUPPORTED_BITS_PER_SYMBOL)
def test_hard_decisions(bits_per_symbol):
    n0 = np.full(2_000, 0.1, np.float32)
    y = received(bits_per_symbol, n0)
    demapper = mapping.Demapper(
        "maxlog", "qam", bits_per_symbol, hard_out=True, precision="double", device="cpu"
    )
    theirs = demapper(torch.from_numpy(y.astype(np.complex128)), torch.tensor(0.1)).numpy()
    ours = np.asarray(qam.decide(y, bits_per_symbol))
    np.testing.assert_array_equal(ours, theirs.reshape(ours.shape))
