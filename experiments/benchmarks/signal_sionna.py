"""The same work with Sionna 2 (PyTorch), as its documentation composes it: the peer.

A flat block has one gain, so the LOS ray and the scattered part are added by hand to its complex
normal; OFDM uses its TDL-D and OFDMChannel. LLRs are exact ("app"), precision is single, and the
device is JAX's.
"""

import importlib.util
import os
from collections.abc import Callable
from importlib import metadata
from typing import Any

from experiments.benchmarks import signal
from experiments.benchmarks.signal import Case

HOW_TO_GET_IT = "Sionna is not installed, so there is no peer: pip install '.[oracles]'"


def is_installed() -> bool:
    return importlib.util.find_spec("sionna") is not None


def versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("sionna-no-rt", "torch")}


def peer(case: Case, device: str = "cpu") -> Callable[[], tuple[Any, Any]]:
    """The case as a call that draws a batch and returns its bits and LLRs when they are done.

    Args:
        case: what to compute.
        device: "cpu", on all cores, or "cuda:0".
    """
    import sionna.phy  # pyright: ignore[reportMissingImports]
    import torch  # pyright: ignore[reportMissingImports]
    from sionna.phy import channel, mapping  # pyright: ignore[reportMissingImports]
    from sionna.phy.utils import complex_normal, rand  # pyright: ignore[reportMissingImports]

    sionna.phy.config.device = device
    torch.set_num_threads(os.cpu_count() or 1)
    m, batch = case.bits_per_symbol, case.batch_size
    source, mapper = mapping.BinarySource(), mapping.Mapper("qam", m)
    demapper, awgn = mapping.Demapper("app", "qam", m), channel.AWGN()
    n0 = torch.tensor(signal.N0, device=device)
    los, scattered = signal.K_LINEAR / (1 + signal.K_LINEAR), 1 / (1 + signal.K_LINEAR)

    def flat() -> tuple[Any, Any]:
        bits = source([batch, case.frame[0] * m])
        phase = 2 * torch.pi * rand([batch, 1], device=device)
        ray = torch.polar(torch.full_like(phase, los**0.5), phase)
        gain = ray + scattered**0.5 * complex_normal([batch, 1], device=device)
        received = awgn(gain * mapper(bits), n0)
        noise = (n0 / gain.abs().square()).expand(received.shape)
        return bits, demapper(received / gain, noise)

    def ofdm() -> tuple[Any, Any]:
        shape = [batch, 1, 1, *case.frame]
        bits = source([*shape[:-1], shape[-1] * m])
        received, response = link(mapper(bits), n0)
        gain = response[:, :, :, 0, 0]
        return bits, demapper(received / gain, n0 / gain.abs().square())

    if case.channel == "ofdm":
        link = _ofdm_channel(case)
    run = {"flat": flat, "ofdm": ofdm}[case.channel]

    def finished() -> tuple[Any, Any]:
        with torch.no_grad():
            result = run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return result

    return finished


def bit_error_rate(call: Callable[[], tuple[Any, Any]]) -> float:
    """Of one run."""
    bits, llr = call()
    return float(((llr > 0) != (bits > 0.5)).double().mean())


def _ofdm_channel(case: Case) -> Any:
    from sionna.phy.channel import OFDMChannel  # pyright: ignore[reportMissingImports]
    from sionna.phy.channel.tr38901 import TDL  # pyright: ignore[reportMissingImports]
    from sionna.phy.ofdm import ResourceGrid  # pyright: ignore[reportMissingImports]

    model = TDL(
        "D",
        signal.DELAY_SPREAD_S,
        signal.CARRIER_HZ,
        num_sinusoids=signal.N_SINUSOIDS,
        los_angle_of_arrival=signal.ARRIVAL_RAD,
        min_speed=signal.SPEED_M_S,
    )
    grid = ResourceGrid(
        num_ofdm_symbols=case.frame[0],
        fft_size=case.frame[1],
        subcarrier_spacing=signal.SPACING_HZ,
        cyclic_prefix_length=signal.PREFIX,
    )
    return OFDMChannel(model, grid, return_channel=True)
