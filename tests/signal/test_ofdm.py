"""OFDM against NumPy's FFT, convolution and the definition of its parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wfm_jax.signal import ofdm

to_time = jax.jit(ofdm.to_time, static_argnums=(1, 2))
to_grid = jax.jit(ofdm.to_grid, static_argnums=(1, 2, 3))
tap_response = jax.jit(ofdm.tap_response, static_argnums=(1, 2))


def random_complex(seed, shape):
    rng = np.random.default_rng(seed)
    return ((rng.normal(size=shape) + 1j * rng.normal(size=shape)) / 2**0.5).astype(np.complex64)


@pytest.mark.parametrize("cp_samples", [0, 3, 8])
def test_time_and_back_is_the_identity(cp_samples):
    grid = random_complex(0, (3, 5, 8))
    samples = to_time(grid, cp_samples)
    assert samples.shape == (3, 5 * (8 + cp_samples))
    np.testing.assert_allclose(to_grid(samples, 5, cp_samples), grid, atol=1e-5)


def test_symbols_begin_with_their_own_end():
    blocks = to_time(random_complex(0, (2, 4, 16)), 5).reshape(2, 4, 21)
    np.testing.assert_array_equal(blocks[..., :5], blocks[..., -5:])
    bins = np.fft.ifftshift(random_complex(0, (2, 4, 16)), axes=-1)
    expected = np.fft.ifft(bins, axis=-1, norm="ortho")
    np.testing.assert_allclose(blocks[..., 5:], expected, atol=1e-6)


@pytest.mark.parametrize("n_subcarriers, fft_size", [(6, 8), (5, 8), (8, 13), (5, 5), (7, 16)])
def test_samples_are_the_sum_of_the_subcarriers_waves(n_subcarriers, fft_size):
    """x[n] = sum_k X_k exp(j 2 pi f_k n T) / sqrt(N), f_k from the grid's own frequencies."""
    grid = np.asarray(random_complex(6, (2, 3, n_subcarriers)))
    samples = to_time(grid, 0, fft_size).reshape(2, 3, fft_size)
    frequencies = ofdm.subcarrier_frequencies_hz(n_subcarriers, 1 / fft_size)
    waves = np.exp(2j * np.pi * np.outer(frequencies, np.arange(fft_size))) / np.sqrt(fft_size)
    np.testing.assert_allclose(samples, grid @ waves, atol=1e-5)
    back = to_grid(samples.reshape(2, -1), 3, 0, n_subcarriers)
    np.testing.assert_allclose(back, grid, atol=1e-5)


@pytest.mark.parametrize("n", [1, 4, 5, 32])
def test_frequencies_rise_with_the_carrier_in_the_middle(n):
    frequencies = ofdm.subcarrier_frequencies_hz(n, 15e3)
    assert frequencies.shape == (n,)
    assert frequencies.dtype == np.float64
    np.testing.assert_array_equal(np.diff(frequencies), 15e3)
    assert frequencies[n // 2] == 0.0


def test_constant_samples_are_the_carrier():
    grid = np.abs(to_grid(jnp.ones((1, 2 * 12), jnp.complex64), 2, 4, 6))
    np.testing.assert_allclose(grid, np.broadcast_to(8**0.5 * np.eye(6)[3], (1, 2, 6)), atol=1e-6)


def test_noise_per_sample_is_noise_per_resource_element():
    """Mean power of 200,000 complex Gaussian elements: standard error 1/sqrt(n); and white."""
    noise = random_complex(1, (500, 10 * 50))
    grid = np.asarray(to_grid(noise, 10, 10)).astype(np.complex128)
    n = grid.size
    assert n == 200_000
    assert abs(np.mean(np.abs(grid) ** 2) - 1) * np.sqrt(n) < 5
    neighbours = np.mean(grid[..., 1:] * np.conj(grid[..., :-1]))
    assert abs(neighbours) * np.sqrt(n) < 6


def test_tap_response_is_the_fft_of_the_taps():
    taps = random_complex(2, (3, 4, 7))
    expected = np.fft.fftshift(np.fft.fft(taps, n=16, axis=-1), axes=-1)
    np.testing.assert_allclose(tap_response(taps, 16), expected, atol=1e-5)
    np.testing.assert_allclose(tap_response(taps, 9, 16), expected[..., 4:13], atol=1e-5)


def test_prefix_turns_convolution_into_products():
    grid, taps = random_complex(3, (1, 6, 16)), random_complex(4, (5,))
    samples = np.asarray(to_time(grid, 4))[0]
    received = np.convolve(samples, taps)[: samples.size]
    expected = grid * tap_response(taps, 16)
    got = to_grid(jnp.asarray(received)[None], 6, 4)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    # One sample of prefix too few, and the symbols disturb each other.
    short = np.convolve(np.asarray(to_time(grid, 3))[0], taps)[: 6 * 19]
    assert np.abs(to_grid(jnp.asarray(short)[None], 6, 3) - expected).max() > 0.1


def test_pilots_and_data_have_their_places():
    mask = ofdm.pilot_mask(4, 8, (0, 2), 4)
    expected = np.zeros((4, 8), bool)
    for symbol in (0, 2):
        for subcarrier in (0, 4):
            expected[symbol, subcarrier] = True
    np.testing.assert_array_equal(mask, expected)
    pilots = ofdm.pilot_values(4)
    data = random_complex(5, (3, 28))
    grid = ofdm.place(data, pilots, mask)
    for i in range(3):
        np.testing.assert_array_equal(np.asarray(grid)[i][mask], pilots)
        np.testing.assert_array_equal(np.asarray(grid)[i][~mask], data[i])


@pytest.mark.parametrize("n_pilots", [1, 8, 32, 96])
def test_pilots_are_unit_energy_qpsk_without_a_peak(n_pilots):
    pilots = ofdm.pilot_values(n_pilots)
    assert pilots.dtype == np.complex64
    np.testing.assert_allclose(np.abs(pilots.real), np.sqrt(0.5), rtol=1e-6)
    np.testing.assert_allclose(np.abs(pilots.imag), np.sqrt(0.5), rtol=1e-6)
    power = np.abs(np.fft.ifft(pilots, norm="ortho")) ** 2
    assert power.max() < 6  # a constant sequence would have n_pilots


GRID = np.zeros((2, 4, 8), np.complex64)
SAMPLES = np.zeros((2, 40), np.complex64)
MASK = ofdm.pilot_mask(4, 8, (0, 2), 4)


@pytest.mark.parametrize(
    "name, call",
    [
        ("grid", lambda: ofdm.to_time(GRID[0], 2)),
        ("grid", lambda: ofdm.to_time(GRID.real, 2)),
        ("fft_size", lambda: ofdm.to_time(GRID, 2, 7)),
        ("cp_samples", lambda: ofdm.to_time(GRID, 9)),
        ("cp_samples", lambda: ofdm.to_time(GRID, -1)),
        ("samples", lambda: ofdm.to_grid(SAMPLES.real, 4, 2)),
        ("samples", lambda: ofdm.to_grid(SAMPLES[0], 4, 2)),
        ("n_symbols", lambda: ofdm.to_grid(SAMPLES, 3, 2)),
        ("cp_samples", lambda: ofdm.to_grid(SAMPLES, 4, 10)),
        ("n_subcarriers", lambda: ofdm.to_grid(SAMPLES, 4, 2, 9)),
        ("data", lambda: ofdm.place(GRID[:, 0], ofdm.pilot_values(4), MASK)),
        ("pilots", lambda: ofdm.place(np.zeros((2, 28), np.complex64), GRID[0, 0], MASK)),
        ("taps", lambda: ofdm.tap_response(GRID.real, 8)),
    ],
)
def test_bad_arguments_are_named_before_tracing(name, call):
    with pytest.raises(ValueError, match=f"^{name} must") as error:
        call()
    assert "\n" not in str(error.value)
