"""Flags of robustness: which studies, which conditions, which views."""

from absl import flags

from wfm_jax.evaluate.condition_study import ConditionStudy
from wfm_jax.evaluate.conditions import BASELINE, standard_conditions
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.view_removal import check_subset, standard_subsets
from wfm_jax.model import ModelConfig

_ALL = ("conditions", "views")
_STUDIES = flags.DEFINE_list("studies", list(_ALL), f"Studies, of {', '.join(_ALL)}.")
_CONDITIONS = flags.DEFINE_list(
    "conditions", [], "Names of conditions beside the link itself; default all of them."
)
_SNRS = flags.DEFINE_list(
    "condition_snrs_db", ["10", "20"], "SNRs of the conditions in dB, -20 to 60."
)
_FRAMES = flags.DEFINE_integer(
    "constellation_frames",
    200,
    "Test frames of each constellation, a multiple of 20.",
    lower_bound=20,
)
_SUBSETS = flags.DEFINE_list(
    "view_subsets",
    ["csi+spectrogram"],
    "Views to be left alone, beside each removed and each alone: like csi+iq,grid+csi.",
)
_SEED = flags.DEFINE_integer(
    "robustness_seed",
    1,
    "Seed of the frozen test frames; 1 is that of a sweep.",
    lower_bound=0,
    upper_bound=2**31 - 1,
)


def studies() -> list[str]:
    """The studies asked for."""
    found = _listed(_STUDIES)
    if unknown := [name for name in found if name not in _ALL]:
        raise flags.ValidationError(f"--studies={unknown[0]}: one of {', '.join(_ALL)}")
    if not found:
        raise flags.ValidationError("--studies is an empty list: give at least one value")
    return found


def wanted(
    config: ModelConfig,
) -> tuple[ConditionStudy | None, tuple[TestSet, list[tuple[str, ...]]] | None]:
    """Both studies, None where one is not asked for."""
    asked = studies()
    return (
        condition_study(config) if "conditions" in asked else None,
        view_study(config) if "views" in asked else None,
    )


def condition_study(config: ModelConfig) -> ConditionStudy:
    """Conditions of the model's link; a bad value is an error that names its flag."""
    conditions, wanted = standard_conditions(config.link), _listed(_CONDITIONS)
    names = [condition.name for condition in conditions]
    if unknown := [name for name in wanted if name not in names]:
        raise flags.ValidationError(f"--conditions={unknown[0]}: of {', '.join(names)}")
    try:
        snrs_db = tuple(float(text) for text in _listed(_SNRS))
    except ValueError as error:
        raise flags.ValidationError(f"--condition_snrs_db: {error}") from None
    if not snrs_db or not all(-20.0 <= snr_db <= 60.0 for snr_db in snrs_db):
        raise flags.ValidationError("--condition_snrs_db: one number or more from -20 to 60")
    _check_frames()
    kept = [c for c in conditions if not wanted or c.name in (BASELINE, *wanted)]
    return ConditionStudy(
        conditions=tuple(kept),
        snrs_db=tuple(sorted(set(snrs_db))),
        frames=_FRAMES.value,
        seed=_SEED.value,
    )


def view_study(config: ModelConfig) -> tuple[TestSet, list[tuple[str, ...]]]:
    """Test frames and subsets of views."""
    _check_frames()
    subsets = standard_subsets(config.views)
    for text in _listed(_SUBSETS):
        try:
            subsets.append(check_subset(config, text.split("+")))
        except ValueError as error:
            raise flags.ValidationError(f"--view_subsets={text}: {error}") from None
    bins = len(TestSet(config.link, 0).k_bins)
    frames = TestSet(config.link, _SEED.value, frames_per_stratum=_FRAMES.value // bins)
    return frames, list(dict.fromkeys(subsets))


def _check_frames() -> None:
    if _FRAMES.value % 20:
        raise flags.ValidationError(
            f"--constellation_frames={_FRAMES.value}: a multiple of 20, for equally full K bins"
        )


def _listed(flag: flags.FlagHolder) -> list[str]:
    return list(dict.fromkeys(text.strip() for text in flag.value if text.strip()))
