"""Flags of a recording that a model is evaluated on."""

from absl import flags

from wfm_jax.evaluate.recording_study import RecordingStudy

RECORDING = flags.DEFINE_string(
    "recording",
    None,
    "A SigMF recording to evaluate on, .sigmf-meta or .sigmf (archive), instead of simulated "
    "frames.",
)
_WHERE = flags.DEFINE_enum(
    "recording_cut",
    "auto",
    ["auto", "annotations", "hop", "prefix"],
    "Where frames begin: at annotations, every --recording_hop samples, or where cyclic prefix and "
    "pilots say so; auto: at annotated frames, else by hops.",
)
_HOP = flags.DEFINE_integer(
    "recording_hop", None, "Samples between segments, at the link's rate; default a frame.",
    lower_bound=1,
)  # fmt: skip
_GATE = flags.DEFINE_float(
    "recording_gate_db", None, "Segments more dB below the loudest than this are left out.",
    lower_bound=0.0,
)  # fmt: skip
_MOST = flags.DEFINE_integer(
    "recording_segments", 1000, "Segments that are taken at most.", lower_bound=1
)
_VIEWS = flags.DEFINE_enum(
    "recording_views",
    "auto",
    ["auto", "iq", "all"],
    "What the model is given: the samples, or also the views made of them; auto: both where frames "
    "begin at symbols of the link, else the samples.",
)


def study() -> RecordingStudy:
    """What to do with the recording."""
    return RecordingStudy(
        where=None if _WHERE.value == "auto" else _WHERE.value,  # type: ignore[arg-type]
        hop_samples=_HOP.value,
        gate_db=_GATE.value,
        most=_MOST.value,
        views=None if _VIEWS.value == "auto" else _VIEWS.value,  # type: ignore[arg-type]
    )
