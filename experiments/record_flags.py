"""Flags of frames that are recorded."""

import dataclasses
import sys
import warnings

from absl import flags

from wfm_jax.evaluate.frame_recording import FrameRecording
from wfm_jax.results.sigmf_file import DATATYPES
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.scenarios import SCENARIOS

_FRAMES = flags.DEFINE_integer(
    "frames", 200, "Frames to record.", lower_bound=1, upper_bound=20_000
)
_SEED = flags.DEFINE_integer("frame_seed", 0, "Seed of the frames.", lower_bound=0)
_SCENARIO = flags.DEFINE_enum(
    "frame_scenario", None, list(SCENARIOS), "Where links come from; default the model's scenario."
)
_SNRS = flags.DEFINE_list(
    "frame_snr_db", None, "Lowest and highest nominal SNR in dB; default those of the model's link."
)
_DATATYPE = flags.DEFINE_enum("frame_datatype", "cf32_le", list(DATATYPES), "Of the samples.")
_RATE = flags.DEFINE_float(
    "frame_rate_hz", None, "Sample rate in Hz; default the link's.", lower_bound=1.0
)


def wanted(link: LinkConfig) -> FrameRecording:
    """What to record; a bad value is an error that names its flag."""
    if _SCENARIO.value is not None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            link = dataclasses.replace(link, scenario=SCENARIOS[_SCENARIO.value])
        for warning in caught:
            print(f"warning: {' '.join(str(warning.message).split())}", file=sys.stderr)
    if _SNRS.value is not None:
        try:
            low, high = (float(text) for text in _SNRS.value)
            if not -50.0 <= low <= high <= 100.0:
                raise ValueError("-50 <= lowest <= highest <= 100")
        except ValueError as error:
            raise flags.ValidationError(
                f"--frame_snr_db={','.join(_SNRS.value)}: two rising numbers are needed ({error})"
            ) from None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said above
            link = dataclasses.replace(link, snr_db_range=(low, high))
    try:
        return FrameRecording(link, _FRAMES.value, _SEED.value, _DATATYPE.value, _RATE.value)
    except ValueError as error:
        raise flags.ValidationError(f"--frame_rate_hz={_RATE.value}: {error}") from None
