"""The arrays of a receiver: shapes, dtypes, units and meanings, as a file tells its user."""

from collections.abc import Sequence

from wfm_jax.export.ports import BATCH, Port
from wfm_jax.model import ModelConfig
from wfm_jax.model.positions import window_times


def input_ports(config: ModelConfig, views: Sequence[str]) -> tuple[Port, ...]:
    """The ``views`` that a frame comes with, in that order, and ``modulation``."""
    link = config.link
    n_symbols, n_subcarriers = link.n_symbols, link.n_subcarriers
    n_pilots = n_subcarriers // link.pilot_spacing
    amplitude = "amplitude, in any unit that is common to all views"
    all_views = {
        "grid": Port(
            "grid",
            (BATCH, n_symbols, n_subcarriers),
            "complex64",
            amplitude,
            "Received resource elements, subcarriers in rising order of frequency.",
        ),
        "csi": Port(
            "csi",
            (BATCH, len(link.pilot_symbols), n_pilots),
            "complex64",
            amplitude,
            "Least-squares channel estimates at the pilots, pilot symbols in order of time.",
        ),
        "spectrogram": Port(
            "spectrogram",
            (BATCH, window_times(link).size, n_subcarriers),
            "float32",
            "dB of the squared amplitude",
            f"Log power of Hann-windowed FFTs of {link.n_fft} samples, "
            f"{3 * link.n_fft // 4} samples apart.",
        ),
        "iq": Port(
            "iq",
            (BATCH, link.n_samples),
            "complex64",
            amplitude,
            f"Time samples with cyclic prefixes, at {link.sample_rate_hz:g} Hz.",
        ),
    }
    modulation = Port(
        "modulation",
        (BATCH,),
        "int32",
        "index",
        f"Index into the bits per symbol {list(link.bits_per_symbol)}; "
        f"{config.n_modulations} where the modulation is not known.",
        config.n_modulations,
    )
    return (*(all_views[name] for name in views), modulation)


def output_ports(config: ModelConfig) -> tuple[Port, ...]:
    """All answers of a receiver, in units of the received frame."""
    link = config.link
    grid = (BATCH, link.n_symbols, link.n_subcarriers)
    return (
        Port("channel", grid, "complex64", "that of grid", "What a sent symbol is multiplied by."),
        Port(
            "noise_variance",
            grid,
            "float32",
            "that of grid, squared",
            "Variance of what remains after the channel estimate: noise and estimation error.",
        ),
        Port(
            "llr",
            (BATCH, link.n_data, link.max_bits_per_symbol),
            "float32",
            "nat",
            "ln P(bit=1)/P(bit=0) of the data elements, row by row, labels of TS 38.211 with the "
            "most significant bit first; 0 in the slots that the modulation does not use.",
        ),
        Port(
            "llr_modulation",
            (BATCH,),
            "int32",
            "index",
            "Whose bits llr holds: the modulation that was told, else that of the largest logit.",
            config.n_modulations - 1,
        ),
        Port(
            "modulation_logits",
            (BATCH, config.n_modulations),
            "float32",
            "nat",
            "Logits of the modulations; an answer only where the modulation was not told.",
        ),
        Port("k_db", (BATCH,), "float32", "dB", "K-factor: power of the LOS ray over all others."),
        Port(
            "snr_db", (BATCH,), "float32", "dB", "Mean of |channel|^2, over the noise's variance."
        ),
        Port("los_logit", (BATCH,), "float32", "nat", "ln P(LOS)/P(no LOS)."),
        Port("delay_spread_s", (BATCH,), "float32", "s", "Rms delay spread, LOS ray included."),
        Port("doppler_hz", (BATCH,), "float32", "Hz", "Maximal Doppler shift."),
    )
