"""Flags of frames that Sionna simulates."""

from absl import flags

from experiments.sionna_frames import HOW_TO_GET_IT, SionnaRecording, is_installed
from wfm_jax.signal.link import LinkConfig

_FRAMES = flags.DEFINE_integer(
    "sionna_frames",
    200,
    "Frames of each constellation at each SNR.",
    lower_bound=1,
    upper_bound=5_000,
)
_SNRS = flags.DEFINE_list(
    "sionna_snrs_db",
    ["10", "12.5", "15", "17.5", "20", "22.5"],
    "Nominal SNRs in dB, rising: the same bits, fading and noise at each.",
)
_SPREAD = flags.DEFINE_float(
    "sionna_delay_spread_ns",
    30.0,
    "Delay spread in ns that Sionna scales its table by; the realised one is .994 of it.",
    lower_bound=0.0,
)
_SPEED = flags.DEFINE_float(
    "sionna_speed_m_s", 1.0, "Speed of the receiver in m/s.", lower_bound=0.0, upper_bound=300.0
)
_CARRIER = flags.DEFINE_float(
    "sionna_carrier_hz", 3.7e9, "Carrier frequency in Hz.", lower_bound=1e6, upper_bound=1e12
)
_SEED = flags.DEFINE_integer(
    "sionna_seed", 0, "Seed of everything.", lower_bound=0, upper_bound=2**31 - 1
)


def wanted(link: LinkConfig) -> SionnaRecording:
    """What to simulate; a bad value is an error that names its flag."""
    if not is_installed():
        raise flags.ValidationError(HOW_TO_GET_IT)
    try:
        snrs_db = tuple(float(text) for text in _SNRS.value)
        if not all(-50.0 <= snr_db <= 100.0 for snr_db in snrs_db):
            raise ValueError("from -50 to 100")
        if not snrs_db or list(snrs_db) != sorted(set(snrs_db)):
            raise ValueError("one at least, and rising")
    except ValueError as error:
        text = ",".join(_SNRS.value)
        raise flags.ValidationError(f"--sionna_snrs_db={text}: numbers ({error})") from None
    try:
        return SionnaRecording(
            link,
            _FRAMES.value,
            snrs_db,
            1e-9 * _SPREAD.value,
            _SPEED.value,
            _CARRIER.value,
            _SEED.value,
        )
    except ValueError as error:
        raise flags.ValidationError(f"--sionna_delay_spread_ns: {error}") from None
