"""Flags of generalisation: which packed models, at which places."""

import pathlib

from absl import flags

from wfm_jax.evaluate.generalisation import GeneralisationStudy, Teacher
from wfm_jax.evaluate.packed_models import PackedModel, front_files, read_packed_models
from wfm_jax.evaluate.places import Place, recorded_place, simulated_place
from wfm_jax.results.generalisation_rows import HOME
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.unseen import UNSEEN

_PACKED = flags.DEFINE_list("packed", [], "Packed files, .wfm, to measure beside the teacher.")
_FRONT_OF = flags.DEFINE_string(
    "front_of",
    None,
    "Run folder of a sweep of --checkpoint, of whose Pareto front packed files are taken.",
)
_FRONT_MODELS = flags.DEFINE_integer(
    "front_models", 5, "At most so many models of the front, from end to end.", lower_bound=1
)
_FRONT_KEEPS = flags.DEFINE_float(
    "front_keeps",
    0.9,
    "Models of the front that keep this share of the teacher, by retention.",
    upper_bound=1.0,
)
_PLACES = flags.DEFINE_list(
    "places",
    [HOME, "long_delays", "low_k", "inf_dh", "nuremberg"],
    f"Simulated places, of {', '.join(UNSEEN)}; {HOME} is always among them.",
)
_RECORDINGS = flags.DEFINE_list(
    "recordings",
    [],
    "Labelled SigMF recordings as places: frames at 10, 15 and 20 dB nominal SNR at least, equally "
    "many of each constellation at each; like those of `experiments.record_sionna`.",
)
_FRAMES = flags.DEFINE_integer(
    "place_frames",
    200,
    "Test frames of each constellation at a simulated place, a multiple of 20.",
    lower_bound=20,
)
_SEED = flags.DEFINE_integer(
    "place_seed",
    2,
    "Seed of the test frames; a sweep's are of seed 1, by which its front was chosen.",
    lower_bound=0,
    upper_bound=2**31 - 1,
)
GROWABLE = ("places", "recordings")


def study(teacher: Teacher) -> GeneralisationStudy:
    """The study asked for; a bad value is an error that names its flag."""
    places, packed = _places(teacher.config.link), _packed(teacher)
    try:
        return GeneralisationStudy(places, packed, _SEED.value)
    except ValueError as error:
        raise flags.ValidationError(f"--recordings: {error}") from None


def _packed(teacher: Teacher) -> tuple[PackedModel, ...]:
    paths, of = [pathlib.Path(text) for text in _listed(_PACKED)], _PACKED.name
    if bool(paths) == bool(_FRONT_OF.value):
        raise flags.ValidationError("give one of --packed and --front_of")
    try:
        if _FRONT_OF.value:
            of = f"{_FRONT_OF.name}={_FRONT_OF.value}"
            most, least = _FRONT_MODELS.value, _FRONT_KEEPS.value
            paths = front_files(_FRONT_OF.value, teacher.hash, most=most, least=least)
        return read_packed_models(paths, teacher.config, teacher.hash)
    except FileNotFoundError as error:
        raise flags.ValidationError(f"--{of}: no such file: {error.filename}") from None
    except (OSError, ValueError) as error:
        raise flags.ValidationError(f"--{of}: {error}") from None


def _places(home: LinkConfig) -> tuple[Place, ...]:
    if _FRAMES.value % 20:
        raise flags.ValidationError(
            f"--place_frames={_FRAMES.value}: a multiple of 20, for equally full K bins"
        )
    found = []
    for name in dict.fromkeys([HOME, *_listed(_PLACES)]):
        try:
            found.append(simulated_place(name, home, frames=_FRAMES.value, seed=_SEED.value))
        except ValueError as error:
            raise flags.ValidationError(f"--places={name}: {error}") from None
    for path in _listed(_RECORDINGS):
        try:
            place = recorded_place(path)
        except FileNotFoundError as error:
            raise flags.ValidationError(f"--recordings: no such file: {error.filename}") from None
        except (OSError, ValueError) as error:
            raise flags.ValidationError(f"--recordings: {error}") from None
        if place.test_set.link.bits_per_symbol != home.bits_per_symbol:
            raise flags.ValidationError(
                f"--recordings: {path}: its frames have {place.test_set.link.bits_per_symbol} bits "
                f"a symbol, the teacher's {home.bits_per_symbol}"
            )
        found.append(place)
    return tuple(found)


def _listed(flag: flags.FlagHolder) -> list[str]:
    return list(dict.fromkeys(text.strip() for text in flag.value if text.strip()))
