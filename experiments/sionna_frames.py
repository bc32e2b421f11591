"""Frames of our format whose QAM, OFDM and channel another simulator makes: Sionna's TDL-D.

Bits and their mapping, the OFDM signal, the fading of every path at every sample, its filter at the
sample rate and the convolution are Sionna 2's (PyTorch); ours are the place of pilots and data, the
receiver's window, and the labels.

A path between two samples reaches the receiver by a filter, which begins before the path does; a
receiver of such a link therefore opens its window ``n_filter`` samples early, and up to
``max_timing_offset`` more. Here both together are at most the timing offset of the link that is
given, :data:`FILTER_ROOM` of it for the filter: the window never begins earlier than the model
knows. Sionna's filter is a plain sinc, six samples long either way; what of it lies outside the
prefix interferes, some 45 dB below the signal.

The realised delay spread is not the one asked for: Sionna scales the table of 3GPP TR 38.901, whose
own delay spread is .994, where ``wfm_jax`` rescales it to one.
"""

import dataclasses
import importlib.util
import os
import pathlib
import warnings
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.results.recorded_frames import Labels, annotations_of, global_fields
from wfm_jax.results.sigmf_file import write_recording
from wfm_jax.signal import ofdm
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.propagation import SPEED_OF_LIGHT_M_S
from wfm_jax.signal.tapped_delay_line import TDL_D

RECORDING = "sionna_tdl_d.sigmf-meta"
HOW_TO_GET_IT = "Sionna is not installed: `make test-oracles` makes an environment that has it"
BLOCK = 100
FILTER_ROOM = 3
"""Samples in front of a path for its filter."""


@dataclasses.dataclass(frozen=True)
class SionnaRecording:
    """What to simulate.

    Attributes:
        link: whose grid, pilots, prefix and timing range frames have; its scenario and SNRs are not
            read.
        n_frames: of each constellation at each SNR.
        snrs_db: nominal; bits, fading and the direction of the noise are those of every other one.
        delay_spread_s: that Sionna scales its table by.
        speed_m_s: of the receiver.
        carrier_hz: carrier frequency.
        seed: draws everything.
    """

    link: LinkConfig
    n_frames: int
    snrs_db: tuple[float, ...]
    delay_spread_s: float = 30e-9
    speed_m_s: float = 1.0
    carrier_hz: float = 3.7e9
    seed: int = 0

    def __post_init__(self):
        if not self.snrs_db or list(self.snrs_db) != sorted(set(self.snrs_db)):
            raise ValueError(f"snrs_db must be a rising sequence, got {self.snrs_db}")
        room = self.link.cp_samples - max(self.link.max_timing_offset, FILTER_ROOM)
        most_s = room / max(TDL_D.delays) * self.link.sample_s
        if not 0.0 < self.delay_spread_s <= most_s:
            raise ValueError(
                f"delay_spread_s must be positive and at most {most_s * 1e9:.1f} ns, for the "
                "longest delay and the timing offset to fit the cyclic prefix, got "
                f"{self.delay_spread_s * 1e9:g} ns"
            )


class SionnaFrames(NamedTuple):
    """Frames, NumPy: SNR by SNR, constellation by constellation.

    Attributes:
        link: theirs; its scenario is TDL-D as it was realised.
        iq: complex64[n, n_samples].
        labels: exact.
        timing_offset: int[n], samples that the receiver's window begins early, beside those for the
            filter.
    """

    link: LinkConfig
    iq: np.ndarray
    labels: Labels
    timing_offset: np.ndarray


class _Sent(NamedTuple):
    """Frames before noise is scaled, leaves [n, ...]."""

    bits: np.ndarray
    clean: np.ndarray
    noise: np.ndarray
    channel: np.ndarray
    timing_offset: np.ndarray


def is_installed() -> bool:
    """Whether there is a Sionna to ask."""
    return importlib.util.find_spec("sionna") is not None


def record(wanted: SionnaRecording, folder: str | os.PathLike) -> pathlib.Path:
    """Simulates frames and writes them; returns the path of the metadata in ``folder``."""
    path, (config, iq, labels, timing) = pathlib.Path(folder) / RECORDING, simulate(wanted)
    annotations = annotations_of(config, labels, stretch=Fraction(1))
    for annotation, samples in zip(annotations, timing, strict=True):
        annotation["wfm:timing_offset"] = float(samples)
    words = {"core:description": f"Sionna TDL-D, {wanted.delay_spread_s * 1e9:g} ns"}
    write_recording(
        path,
        iq.reshape(-1),
        config.sample_rate_hz,
        fields=global_fields(config, 1.0) | words,
        annotations=annotations,
    )
    return path


def simulate(wanted: SionnaRecording) -> SionnaFrames:
    """Asks Sionna for the frames."""
    import sionna.phy  # pyright: ignore[reportMissingImports]
    from sionna.phy.channel import tr38901  # pyright: ignore[reportMissingImports]

    sionna.phy.config.seed = wanted.seed
    rng = np.random.default_rng(wanted.seed)
    tdl = tr38901.TDL(
        "D", wanted.delay_spread_s, wanted.carrier_hz, min_speed=wanted.speed_m_s, device="cpu"
    )
    config = _realised(wanted, tdl)
    n_modulations = len(config.bits_per_symbol)
    sizes = [min(BLOCK, wanted.n_frames - i) for i in range(0, wanted.n_frames, BLOCK)]
    blocks = [
        _send(config, tdl, modulation, size, rng)
        for modulation in range(n_modulations)
        for size in sizes
    ]
    sent = _Sent(*(np.concatenate(leaves) for leaves in zip(*blocks, strict=True)))
    modulation = np.repeat(np.arange(n_modulations, dtype=np.int32), wanted.n_frames)
    shape = (modulation.size,)
    power = np.mean(np.abs(sent.channel) ** 2, axis=(1, 2))
    doppler_hz = wanted.speed_m_s / SPEED_OF_LIGHT_M_S * wanted.carrier_hz
    iq, labels = [], []
    for snr_db in wanted.snrs_db:
        n0 = 10.0 ** (-snr_db / 10.0)
        iq.append(sent.clean + np.float32(np.sqrt(n0)) * sent.noise)
        labels.append(
            Labels(
                modulation=modulation,
                bits=sent.bits,
                channel=sent.channel,
                k_db=np.full(shape, config.scenario.k_db, np.float32),  # type: ignore[attr-defined]
                delay_spread_s=np.full(shape, config.scenario.delay_spread_s, np.float32),  # type: ignore[attr-defined]
                snr_db=(10.0 * np.log10(power / n0)).astype(np.float32),
                los=np.ones(shape, bool),
                n0=np.full(shape, n0, np.float32),
                doppler_hz=np.full(shape, doppler_hz, np.float32),
            )
        )
    every = Labels(*(np.concatenate(column) for column in zip(*labels, strict=True)))
    timing_offset = np.tile(sent.timing_offset, len(wanted.snrs_db))
    return SionnaFrames(config, np.concatenate(iq), every, timing_offset)


def _realised(wanted: SionnaRecording, tdl: Any) -> LinkConfig:
    """The link with the profile that Sionna draws from."""
    delays_s, powers = tdl.delays.numpy().astype(float), tdl.mean_powers.numpy().astype(float)
    los = float(tdl.mean_power_los)
    mean_s = powers @ delays_s / powers.sum()
    scenario = dataclasses.replace(
        TDL_D,
        k_db=float(10.0 * np.log10(los / (powers.sum() - los))),
        delay_spread_s=float(np.sqrt(powers @ (delays_s - mean_s) ** 2 / powers.sum())),
        speed_range_m_s=(wanted.speed_m_s, wanted.speed_m_s),
        carrier_hz=wanted.carrier_hz,
    )
    with warnings.catch_warnings(action="ignore"):  # of our filter's tails beyond the prefix
        return dataclasses.replace(
            wanted.link,
            scenario=scenario,
            filter_half_width=FILTER_ROOM,
            max_timing_offset=max(0, wanted.link.max_timing_offset - FILTER_ROOM),
            snr_db_range=(wanted.snrs_db[0], wanted.snrs_db[-1]),
        )


def _send(config: LinkConfig, tdl: Any, modulation: int, n: int, rng: np.random.Generator) -> _Sent:
    """Sends frames of one constellation."""
    import torch  # pyright: ignore[reportMissingImports]
    from sionna.phy.channel import (  # pyright: ignore[reportMissingImports]
        ApplyTimeChannel,
        cir_to_time_channel,
        time_lag_discrete_time_channel,
    )
    from sionna.phy.mapping import BinarySource, Mapper  # pyright: ignore[reportMissingImports]
    from sionna.phy.ofdm import OFDMModulator  # pyright: ignore[reportMissingImports]
    from sionna.phy.utils import complex_normal  # pyright: ignore[reportMissingImports]

    m, rate_hz = config.bits_per_symbol[modulation], config.sample_rate_hz
    payload = BinarySource(device="cpu")([n, config.n_data * m])
    symbols = Mapper("qam", m, device="cpu")(payload).numpy()
    grid = np.array(ofdm.place(symbols, config.pilots, config.pilot_mask))
    low = config.n_fft // 2 - config.n_subcarriers // 2
    guard = (low, config.n_fft - config.n_subcarriers - low)
    grid = torch.from_numpy(np.pad(grid, ((0, 0), (0, 0), guard)))
    samples = OFDMModulator(config.cp_samples, device="cpu")(grid)

    longest_s = float(tdl.delays.max())
    first, last = time_lag_discrete_time_channel(rate_hz, longest_s)
    n_taps = last - first + 1
    gains, delays_s = tdl(n, config.n_samples + n_taps - 1, rate_hz)
    taps = cir_to_time_channel(rate_hz, gains, delays_s, first, last)
    through = ApplyTimeChannel(config.n_samples, n_taps, device="cpu")
    received = through(samples[:, None, None], taps).numpy()[:, 0, 0]

    timing = rng.integers(0, config.max_timing_offset + 1, n)
    begins = timing + config.n_filter  # so many samples early
    window = np.arange(config.n_samples) - first - begins[:, None]
    early = max(0, -int(window.min()))  # of nothing, before the first sample that Sionna puts out
    padded = np.pad(received, ((0, 0), (early, 0)))
    bits = np.zeros((n, config.n_data, config.max_bits_per_symbol), np.int8)
    bits[..., :m] = payload.numpy().reshape(n, config.n_data, m)
    return _Sent(
        bits=bits,
        clean=np.take_along_axis(padded, window + early, axis=1),
        noise=complex_normal([n, config.n_samples], device="cpu").numpy(),
        channel=_response(config, taps.numpy()[:, 0, 0, 0, 0], window, first + begins),
        timing_offset=timing,
    )


def _response(
    config: LinkConfig, taps: np.ndarray, window: np.ndarray, first_delay: np.ndarray
) -> np.ndarray:
    """What symbols are multiplied by: of the mean taps over each FFT window.

    Args:
        config: the link.
        taps: complex64[n, n_times, n_taps], at every sample that the simulator puts out.
        window: int[n, n_samples], which of these the receiver's samples are.
        first_delay: int[n], of the first tap in samples, as the receiver's window sees it.

    Returns:
        complex64[n, n_symbols, n_subcarriers].
    """
    shape = (window.shape[0], config.n_symbols, config.symbol_samples)
    at = window.reshape(shape)[:, :, config.cp_samples :]
    frames = np.arange(shape[0])[:, None, None]
    means = taps[frames, at].mean(axis=2, dtype=np.complex128)
    turns = ofdm.subcarrier_frequencies_hz(config.n_subcarriers, 1.0 / config.n_fft)
    delays = first_delay[:, None] + np.arange(taps.shape[-1])
    steering = np.exp(-2j * np.pi * delays[:, :, None] * turns)
    return (means @ steering).astype(np.complex64)
