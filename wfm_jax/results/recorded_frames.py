"""Frames of the link as a SigMF recording with exact labels, and back.

Frames lie one behind the other. The extension namespace ``wfm``, version :data:`VERSION`:

========================  ============  ===========================================================
global                    type          meaning
========================  ============  ===========================================================
wfm:link                  object        every field of ``LinkConfig``, its scenario too
wfm:full_scale            number        what 1.0 in the data is in the frames' own units
========================  ============  ===========================================================

========================  ============  ===========================================================
annotation, one a frame   type          meaning
========================  ============  ===========================================================
wfm:modulation            integer       points of the square QAM
wfm:snr_db                number        of the frame
wfm:k_db                  number, null  K-factor; null where there is none
wfm:los                   boolean       whether there is a LOS ray
wfm:delay_spread_s        number        rms, of the realised profile
wfm:doppler_hz            number        maximal Doppler shift
wfm:n0                    number        noise variance per resource element, in frames' units
wfm:timing_offset         number        samples of the link that the frame begins early; optional
wfm:carrier_offset_hz     number        carrier minus oscillator; optional
wfm:bits                  base64        payload, n_data x bits a symbol, first bit in the top bit
wfm:channel               base64        float32 pairs, little-endian, n_symbols x n_subcarriers
========================  ============  ===========================================================
"""

import base64
import warnings
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from wfm_jax.results.sigmf_file import Fields, Recording
from wfm_jax.signal import link, link_fields
from wfm_jax.signal.link import Frame, LinkConfig

VERSION = "1.0.0"
EXTENSION = {"name": "wfm", "version": VERSION, "optional": True}
_NUMBERS = ("snr_db", "k_db", "delay_spread_s", "doppler_hz", "n0")


class Labels(NamedTuple):
    """Exact labels of recorded frames, NumPy, as those fields of :class:`Frame`; bits that a
    modulation does not use are zero."""

    modulation: np.ndarray
    bits: np.ndarray
    channel: np.ndarray
    k_db: np.ndarray
    delay_spread_s: np.ndarray
    snr_db: np.ndarray
    los: np.ndarray
    n0: np.ndarray
    doppler_hz: np.ndarray


def labels_of(config: LinkConfig, frame: Frame) -> Labels:
    """The labels of frames, on the host, without the bits that are not used."""
    found = {name: np.asarray(getattr(frame, name)) for name in Labels._fields}
    orders = np.asarray(config.bits_per_symbol)[found["modulation"]]
    used = np.arange(config.max_bits_per_symbol) < orders[:, None, None]
    return Labels(**found | {"bits": found["bits"] * used})


def global_fields(config: LinkConfig, full_scale: float) -> Fields:
    """Global metadata of a recording of frames."""
    return {
        "core:extensions": [EXTENSION],
        "wfm:link": link_fields.to_dict(config),
        "wfm:full_scale": full_scale,
    }


def annotations_of(
    config: LinkConfig, labels: Labels, draw: link.Draw | None = None, *, stretch: Fraction
) -> list[Fields]:
    """An annotation a frame.

    Args:
        config: the link.
        labels: of the frames.
        draw: what was drawn of their links, for timing and carrier.
        stretch: the recording's sample rate over the link's.

    Raises:
        ValueError: frames that are no whole number of samples at the recording's rate.
    """
    count = config.n_samples * stretch
    if count.denominator != 1:
        raise ValueError(
            f"a frame of {config.n_samples} samples is no whole number of samples at {stretch} "
            "times the link's rate"
        )
    return [
        {
            "core:sample_start": i * int(count),
            "core:sample_count": int(count),
            "core:label": f"{2 ** config.bits_per_symbol[labels.modulation[i]]}-QAM "
            f"{labels.snr_db[i]:.1f} dB",
            **_annotation(config, Labels(*(label[i] for label in labels))),
            **({} if draw is None else _of_draw(draw, i)),
        }
        for i in range(labels.n0.size)
    ]


def link_of(recording: Recording) -> LinkConfig | None:
    """The link that a recording says its frames are of; None where it says nothing.

    Raises:
        ValueError: a link that this version does not know.
    """
    if (fields := recording.fields.get("wfm:link")) is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a short prefix was told when it was recorded
            return link_fields.from_dict(fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{recording.path}: wfm:link: {error}") from None


def full_scale_of(recording: Recording) -> float:
    """What 1.0 in the data is in the frames' units; 1 where nothing is said.

    Raises:
        ValueError: ``wfm:full_scale`` is not a positive number.
    """
    value = recording.fields.get("wfm:full_scale", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0.0:
        raise ValueError(f"{recording.path}: wfm:full_scale must be positive, got {value!r}")
    return float(value)


def frame_annotations(recording: Recording) -> list[Fields]:
    """The annotations that label frames."""
    return [a for a in recording.annotations if "wfm:modulation" in a]


def read_labels(config: LinkConfig, recording: Recording, annotations: list[Fields]) -> Labels:
    """The labels of annotations of :func:`frame_annotations`, of which there is one at least.

    Raises:
        ValueError: a label that is missing or is none; names the file, the frame and the field.
    """
    frames = [
        _label(config, annotation, f"{recording.path}: frame {number}")
        for number, annotation in enumerate(annotations)
    ]
    return Labels(*(np.stack(column) for column in zip(*frames, strict=True)))


def _annotation(config: LinkConfig, label: Labels) -> Fields:
    """Of one frame."""
    m = config.bits_per_symbol[label.modulation]
    packed = np.packbits(label.bits[:, :m].reshape(-1))
    numbers = {name: float(getattr(label, name)) for name in _NUMBERS}
    return {
        "wfm:modulation": 2**m,
        **{f"wfm:{name}": x if np.isfinite(x) else None for name, x in numbers.items()},
        "wfm:los": bool(label.los),
        "wfm:bits": base64.b64encode(packed.tobytes()).decode(),
        "wfm:channel": base64.b64encode(label.channel.astype("<c8").tobytes()).decode(),
    }


def _of_draw(draw: link.Draw, i: int) -> Fields:
    found = {"wfm:timing_offset": float(draw.timing_offset[i])}
    if draw.carrier_offset_hz is not None:
        found["wfm:carrier_offset_hz"] = float(draw.carrier_offset_hz[i])
    return found


def _label(config: LinkConfig, annotation: Fields, where: str) -> Labels:
    """Of one frame."""
    found = {}
    for name in Labels._fields:  # modulation first: it says how many bits there are
        try:
            found[name] = _value(config, name, annotation[f"wfm:{name}"], found)
        except KeyError:
            raise ValueError(f"{where}: wfm:{name} is missing") from None
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: wfm:{name}: {error}") from None
    return Labels(**found)


def _value(config: LinkConfig, name: str, value: Any, found: dict[str, Any]) -> Any:
    """A field of :class:`Labels` from JSON."""
    match name:
        case "modulation":
            orders = {2**m: i for i, m in enumerate(config.bits_per_symbol)}
            if value not in orders:
                raise ValueError(f"one of {', '.join(map(str, orders))} is needed, got {value!r}")
            return np.int32(orders[value])
        case "bits":
            m = config.bits_per_symbol[found["modulation"]]
            packed = np.frombuffer(_bytes(value, -(-config.n_data * m // 8)), np.uint8)
            bits = np.unpackbits(packed, count=config.n_data * m).reshape(config.n_data, m)
            return np.pad(bits, ((0, 0), (0, config.max_bits_per_symbol - m))).astype(np.int8)
        case "channel":
            shape = config.n_symbols, config.n_subcarriers
            return np.frombuffer(_bytes(value, 8 * shape[0] * shape[1]), "<c8").reshape(shape)
        case "los":
            if not isinstance(value, bool):
                raise ValueError(f"true or false is needed, got {value!r}")
            return np.bool_(value)
        case _:
            if isinstance(value, bool) or not isinstance(value, int | float | None):
                raise ValueError(f"a number is needed, got {value!r}")
            return np.float32(np.nan if value is None else value)


def _bytes(value: Any, n_bytes: int) -> bytes:
    data = base64.b64decode(value, validate=True)
    if len(data) != n_bytes:
        raise ValueError(f"{n_bytes} bytes are needed, got {len(data)}")
    return data
