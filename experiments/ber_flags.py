"""Flags of error-rate curves."""

import dataclasses
import math
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from absl import flags

from experiments.levels import parse_levels
from wfm_jax.evaluate.ber_study import StopRule, Study
from wfm_jax.evaluate.detection import DECISIONS, DEMAPPINGS
from wfm_jax.evaluate.estimators import OVER_TIME, RECEIVERS
from wfm_jax.results.ber_picture import SCORES
from wfm_jax.signal import qam
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.propagation import Scenario
from wfm_jax.signal.scenarios import SCENARIOS

_SCENARIOS = flags.DEFINE_list(
    "scenarios", ["factory_hall"], f"Scenarios, a row of panels each, of {', '.join(SCENARIOS)}."
)
_MODULATIONS = flags.DEFINE_list(
    "modulations", ["4", "16", "64", "256"], "Points of square QAM: 4, 16, 64, 256, 1024."
)
_RECEIVERS = flags.DEFINE_list(
    "receivers", ["genie", "lmmse", "ls"], f"Receivers, of {', '.join(RECEIVERS)}."
)
_SNR = flags.DEFINE_string(
    "snr_db", None, "SNRs in dB: first:last:step or a,b,... (0:30:5 if not given)."
)
_EBN0 = flags.DEFINE_string("ebn0_db", None, "Eb/N0 in dB instead of the SNR, written likewise.")
_CHARGE = flags.DEFINE_bool(
    "charge_overhead", False, "In --ebn0_db, pilots and cyclic prefix are charged to the bits."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of all frames.", lower_bound=0)

_RULE = StopRule()
_FRAME_ERRORS = flags.DEFINE_integer(
    "target_frame_errors",
    _RULE.target_frame_errors,
    "A point ends at so many wrong frames.",
    lower_bound=1,
)
_BIT_ERRORS = flags.DEFINE_integer(
    "target_bit_errors",
    None,
    "Or at so many wrong bits; only frames count if not given.",
    lower_bound=1,
)
_MAX_FRAMES = flags.DEFINE_integer(
    "max_frames", _RULE.max_frames, "Or after so many frames.", lower_bound=1
)
_BATCH = flags.DEFINE_integer("batch_frames", 256, "Frames simulated at once.", lower_bound=1)
_EARLY = flags.DEFINE_bool(
    "early_stop", True, "A curve ends where no frame is wrong within --max_frames."
)
_TARGET_BER = flags.DEFINE_float(
    "target_ber", 0.0, "A curve ends below this bit error rate.", lower_bound=0.0, upper_bound=0.5
)

_DEMAPPING = flags.DEFINE_enum("demapping", "exact", DEMAPPINGS, "How LLRs are made (GMI).")
_DECISIONS = flags.DEFINE_enum(
    "decisions", "nearest", DECISIONS, "Hard bits: of the nearest point, or of the LLRs' signs."
)
_OVER_TIME = flags.DEFINE_enum(
    "over_time",
    "average",
    OVER_TIME,
    "Pilots of several OFDM symbols: averaged or interpolated.",
)

_K_DB = flags.DEFINE_float("k_db", None, "K-factor in dB of scenarios with one; -inf: Rayleigh.")
_SPREAD = flags.DEFINE_float(
    "delay_spread_ns", None, "rms delay spread in ns, of scenarios with one."
)
_SPEED = flags.DEFINE_float("speed_m_s", None, "Speed of all links in m/s.")

_LINK = {
    "n_symbols": flags.DEFINE_integer("n_symbols", 8, "OFDM symbols of a frame.", lower_bound=1),
    "n_subcarriers": flags.DEFINE_integer(
        "n_subcarriers", 48, "Subcarriers in use.", lower_bound=1
    ),
    "fft_size": flags.DEFINE_integer(
        "fft_size", 64, "Points of the FFT; what is not in use is guard band.", lower_bound=1
    ),
    "cp_samples": flags.DEFINE_integer(
        "cp_samples", 48, "Samples of the cyclic prefix.", lower_bound=0
    ),
    "sample_rate_hz": flags.DEFINE_float(
        "sample_rate_hz", 10e6, "Sample rate in Hz.", lower_bound=1.0
    ),
    "pilot_spacing": flags.DEFINE_integer(
        "pilot_spacing", 2, "Subcarriers from pilot to pilot.", lower_bound=1
    ),
    "max_timing_offset": flags.DEFINE_integer(
        "max_timing_offset", 0, "The window starts up to so many samples early.", lower_bound=0
    ),
    "max_carrier_offset_hz": flags.DEFINE_float(
        "max_carrier_offset_hz",
        0.0,
        "Carrier offset in Hz, up to so much either way.",
        lower_bound=0.0,
    ),
}
_PILOTS = flags.DEFINE_list("pilot_symbols", ["1", "6"], "OFDM symbols with pilots, from 0.")

PANELS = flags.DEFINE_list(
    "panels", ["ber", "ser", "gmi"], f"Panels of the picture, of {', '.join(SCORES)}."
)
ADD = flags.DEFINE_list("add", [], "Run folders whose curves are drawn beside, hollow.")
GROWABLE = ("scenarios", "modulations", "snr_db", "ebn0_db")
NOT_RESULTS = ("workdir", "overwrite", "panels", "add")


def study() -> Study:
    """The study asked for; a bad value is an error that names its flag."""
    axis = "snr"
    if _EBN0.value is not None:
        axis = "ebn0_charged" if _CHARGE.value else "ebn0"
    elif _CHARGE.value:
        raise flags.ValidationError("--charge_overhead needs --ebn0_db")
    _choices(PANELS, SCORES)
    return Study(
        links=_links(),
        levels_db=levels_db(),
        seed=_SEED.value,
        receivers=tuple(_choices(_RECEIVERS, RECEIVERS)),
        axis=axis,
        stop=StopRule(
            target_frame_errors=_FRAME_ERRORS.value,
            target_bit_errors=_BIT_ERRORS.value,
            max_frames=_MAX_FRAMES.value,
            early_stop=_EARLY.value,
            target_ber=_TARGET_BER.value,
        ),
        batch_frames=_BATCH.value,
        demapping=_DEMAPPING.value,
        decisions=_DECISIONS.value,
        over_time=_OVER_TIME.value,
    )


def recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flag values for the manifest: levels as lists, which may grow, and infinities as text."""
    name = "snr_db" if _EBN0.value is None else "ebn0_db"
    plain = {key: str(v) if v in (math.inf, -math.inf) else v for key, v in values.items()}
    return plain | {name: list(levels_db())}


def levels_db() -> tuple[float, ...]:
    """The levels of the axis that is given."""
    if _SNR.value is not None and _EBN0.value is not None:
        raise flags.ValidationError("--snr_db and --ebn0_db exclude each other")
    flag = _EBN0 if _EBN0.value is not None else _SNR
    text = flag.value if flag.value is not None else "0:30:5"
    return parse_levels(flag.name, text)


def _links() -> dict[str, LinkConfig]:
    """A link for each scenario; what a link warns of becomes a line on stderr."""
    orders = sorted({_bits_per_symbol(text) for text in _choices(_MODULATIONS)})
    try:
        pilots = tuple(int(text) for text in _choices(_PILOTS))
    except ValueError as error:
        raise flags.ValidationError(f"--pilot_symbols: {error}") from None
    fields = {name: flag.value for name, flag in _LINK.items()}
    links = {}
    for name in _choices(_SCENARIOS, SCENARIOS):
        scenario = _overridden(name, SCENARIOS[name])
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                links[name] = LinkConfig(
                    **fields, bits_per_symbol=tuple(orders), pilot_symbols=pilots, scenario=scenario
                )
        except ValueError as error:
            raise flags.ValidationError(f"flags of the link do not go together: {error}") from None
        for warning in caught:
            text = " ".join(str(warning.message).split())
            print(f"warning: {name}: {text}", file=sys.stderr)
    return links


def _overridden(name: str, scenario: Scenario) -> Scenario:
    """The scenario with the fields that flags set."""
    speed = _SPEED.value
    spread_s = None if _SPREAD.value is None else 1e-9 * _SPREAD.value
    for flag, field, value in (
        (_K_DB, "k_db", _K_DB.value),
        (_SPREAD, "delay_spread_s", spread_s),
        (_SPEED, "speed_range_m_s", None if speed is None else (speed, speed)),
    ):
        if value is None:
            continue
        if not hasattr(scenario, field):
            raise flags.ValidationError(
                f"--{flag.name}: scenario {name} draws it or has none (no field {field})"
            )
        try:
            scenario = dataclasses.replace(scenario, **{field: value})  # type: ignore[type-var]
        except ValueError as error:
            raise flags.ValidationError(f"--{flag.name}={flag.value}: {error}") from None
    return scenario


def _bits_per_symbol(text: str) -> int:
    sizes = {str(2**m): m for m in qam.SUPPORTED_BITS_PER_SYMBOL}
    if text not in sizes:
        raise flags.ValidationError(
            f"--modulations={text}: square QAM has {', '.join(sizes)} points"
        )
    return sizes[text]


def _choices(flag: flags.FlagHolder, known: Any = None) -> list[str]:
    values = [text.strip() for text in flag.value if text.strip()]
    if not values:
        raise flags.ValidationError(f"--{flag.name} is an empty list: give at least one value")
    for value in values:
        if known is not None and value not in known:
            raise flags.ValidationError(f"--{flag.name}={value}: one of {', '.join(known)}")
    return list(dict.fromkeys(values))
