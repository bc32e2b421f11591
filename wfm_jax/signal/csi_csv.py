"""Channel responses that an ESP32 measured, from the CSV file that its CSI tool writes.

A line ``CSI_DATA,...`` is one received Wi-Fi frame; its last column holds pairs of integers in
brackets, imaginary part first, one pair a subcarrier. Read is what every frame has: the long
training field of 802.11 in 20 MHz, the first 64 pairs, subcarriers 312.5 kHz apart.

Assumptions, as nothing in the file says so:

- where the channel is half of a 40 MHz channel, the 64 pairs rise in frequency and the carrier is
  the 33rd; where it is not, they begin at the carrier and wrap around. Which of the two it is, is
  read off the empty pairs, which are the band's edges;
- 52 subcarriers carry something, 26 either side. The carrier itself is not read, nor its neighbour
  where pairs begin with them: the first four bytes of a line may be invalid;
- the amplitude is that behind the gain control, and the phase slope has the receiver's timing in
  it. Both are taken out: every response has unit power and the same mean delay. So a replay keeps
  the shapes that were measured, not how strong they were or when they came.
"""

import os
import pathlib

import numpy as np

from wfm_jax.signal.replay import Replay

N_PAIRS = 64
SPACING_HZ = 312.5e3
OUTERMOST = 26
TAP_S = 50e-9
_EDGES = slice(OUTERMOST + 2, N_PAIRS - OUTERMOST - 1)
_RIDGE = 1e-3


def read_csi(path: str | os.PathLike) -> np.ndarray:
    """The responses of a file.

    Returns:
        complex128[n_responses, 53], from subcarrier -26 to 26; the carrier, and what is not read,
        interpolated from its neighbours.

    Raises:
        ValueError: no line of CSI, or one that is damaged; names file and line.
        OSError: a file that cannot be read.
    """
    lines = pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.startswith("CSI_DATA"):
            continue
        try:
            found.append(_response(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not found:
        raise ValueError(f"{path} has no line that begins with CSI_DATA")
    return np.stack(found)


def replay_csi(responses: np.ndarray, *, n_taps: int = 16, mean_delay_taps: float = 3.0) -> Replay:
    """Responses over frequency as taps 50 ns apart, the sample distance of 20 MHz.

    Taps are those of least squares over the measured subcarriers, with a small ridge: 16.6 of the
    20 MHz are known only.

    Args:
        responses: complex[n_responses, 53], as :func:`read_csi` returns them.
        n_taps: taps of a response.
        mean_delay_taps: where its mean delay is put; a band-limited response begins before it.

    Raises:
        ValueError: another shape, or responses that are zero or not finite.
    """
    responses = np.atleast_2d(np.asarray(responses, np.complex128))
    k = np.arange(-OUTERMOST, OUTERMOST + 1)
    if responses.ndim != 2 or responses.shape[1] != k.size:
        raise ValueError(f"responses must be [n_responses, {k.size}], got {responses.shape}")
    power = np.mean(np.square(np.abs(responses)), axis=1, keepdims=True)
    if not np.all(np.isfinite(power) & (power > 0.0)):
        raise ValueError("responses must be finite, and none may be all zero")
    turn = np.angle(np.sum(responses[:, 1:] * np.conj(responses[:, :-1]), axis=1, keepdims=True))
    wanted = -2.0 * np.pi * mean_delay_taps * TAP_S * SPACING_HZ
    aligned = responses / np.sqrt(power) * np.exp(1j * k * (wanted - turn))
    delays_s = TAP_S * np.arange(n_taps)
    steering = np.exp(-2j * np.pi * np.outer(k * SPACING_HZ, delays_s))
    gram = steering.conj().T @ steering + _RIDGE * k.size * np.eye(n_taps)
    return Replay.of(np.linalg.solve(gram, steering.conj().T @ aligned.T).T, delays_s)


def _response(line: str) -> np.ndarray:
    """complex128[53] of one line."""
    start, end = line.find("["), line.rfind("]")
    if start < 0 or end < start:
        raise ValueError("the last column must be numbers in brackets")
    values = np.array([int(text) for text in line[start + 1 : end].replace(",", " ").split()])
    if values.size < 2 * N_PAIRS or values.size % 2:
        raise ValueError(
            f"at least {N_PAIRS} pairs of numbers are needed, got {values.size} numbers"
        )
    pairs = values[1 : 2 * N_PAIRS : 2] + 1j * values[: 2 * N_PAIRS : 2]
    from_carrier = not np.any(pairs[_EDGES])
    rising = np.roll(pairs, N_PAIRS // 2) if from_carrier else pairs
    k = np.arange(-OUTERMOST, OUTERMOST + 1)
    used = rising[k + N_PAIRS // 2]
    missing = (k == 0) | (from_carrier & (k == 1))
    if not np.any(used[~missing]):
        raise ValueError("no subcarrier has any power")
    for part in (used.real, used.imag):
        part[missing] = np.interp(k[missing], k[~missing], part[~missing])
    return used
