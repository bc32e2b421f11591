"""Power over time and frequency of many samples, small enough for a picture. On the host."""

import numpy as np

LEAST_DB = -200.0


def waterfall(samples: np.ndarray, fft_size: int = 64, most: int = 800) -> np.ndarray:
    """Log power in dB of Hann-windowed FFTs, half a window apart, as many averaged as it takes.

    Args:
        samples: complex64[n].
        fft_size: bins of frequency; fewer samples are filled up with zeros.
        most: columns of the picture; all but the last are of equally many windows.

    Returns:
        float32[fft_size, n_columns], in rising order of frequency, in dB over full scale: white
        noise of unit power is at 0 dB in every bin.
    """
    samples = np.asarray(samples)
    samples = np.pad(samples, (0, max(fft_size - samples.size, 0)))
    window = np.hanning(fft_size + 1)[:-1]
    window /= np.sqrt(np.sum(np.square(window)))
    starts = np.arange(0, samples.size - fft_size + 1, fft_size // 2)
    each = -(-starts.size // most)
    columns = np.empty((-(-starts.size // each), fft_size))
    for i in range(columns.shape[0]):
        of = starts[i * each : (i + 1) * each]
        spectra = np.fft.fft(samples[of[:, None] + np.arange(fft_size)] * window, axis=1)
        columns[i] = np.mean(np.square(np.abs(spectra)), axis=0)
    decibel = 10.0 * np.log10(np.maximum(columns, 10.0 ** (LEAST_DB / 10.0)))
    return np.fft.fftshift(decibel, axes=1).T.astype(np.float32)
