"""Flags of the failure modes: which study, on which frames, how long students train."""

import sys
from typing import Any

from absl import flags

from experiments import checkpoint_flag, launch
from experiments.levels import parse_levels
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.sensitive_tensors import SensitiveTensors
from wfm_jax.evaluate.wrong_calibration import standard_sources
from wfm_jax.evaluate.wrong_calibration_study import WrongCalibration
from wfm_jax.model import ModelConfig
from wfm_jax.sweep.settings import SweepSettings
from wfm_jax.sweep.student_size import Arm, StudentSizes
from wfm_jax.sweep.study import Study
from wfm_jax.train.model_files import Teacher

STUDIES = ("calibration", "student_size", "sensitive_tensors")
STUDY = flags.DEFINE_enum("study", None, list(STUDIES), "Which one; must be given.")
_FRAMES = flags.DEFINE_integer(
    "test_frames_per_stratum",
    20,
    "Frozen test frames of each constellation and K bin, each at three SNRs; of a sweep's seed.",
    lower_bound=2,
)
_SEED = flags.DEFINE_integer(
    "fitting_seed",
    1001,
    "Seed of the frames that are calibrated on, or that tensors are ranked on.",
    lower_bound=2,
    upper_bound=2**31 - 1,
)
_DRAWS = flags.DEFINE_integer(
    "draws", 3, "Draws of few calibration frames, and of random tensors.", lower_bound=1
)
_BITS = flags.DEFINE_integer(
    "weight_bits", 4, "Naive bits of weights.", lower_bound=2, upper_bound=7
)
_ACT_BITS = flags.DEFINE_string(
    "activation_bits", "8,6,4", "calibration: bits of activations, 2 to 8."
)
_COUNTS = flags.DEFINE_string("counts", "1,2,4,8", "sensitive_tensors: tensors chosen, rising.")
_RANKING = flags.DEFINE_integer(
    "ranking_frames_per_stratum", 8, "sensitive_tensors: frames that rank.", lower_bound=2
)
_SPARSITIES = flags.DEFINE_string(
    "cut_shares", "0.5,0.75,0.9,0.99", "student_size: shares of heads and neurons cut out."
)
_STEPS = flags.DEFINE_integer("student_steps", 200, "student_size: optimizer steps.", lower_bound=1)
_LONG = flags.DEFINE_integer(
    "student_long_steps",
    800,
    "student_size: longer training, and from scratch; 0: none.",
    lower_bound=0,
)
_SEEDS = flags.DEFINE_string(
    "student_seeds", "0,1,2", "student_size: seeds of data and initial draws."
)
_TEST_SEED = 1


def test_set(config: ModelConfig) -> TestSet:
    """The frozen test frames."""
    return TestSet(config.link, _TEST_SEED, frames_per_stratum=_FRAMES.value)


def sensitive_tensors(config: ModelConfig) -> SensitiveTensors:
    """The study asked for; a bad value is an error that names its flag."""
    return SensitiveTensors(
        calibration=TestSet(config.link, _SEED.value, frames_per_stratum=_RANKING.value),
        test=test_set(config),
        bits=_BITS.value,
        counts=_whole(_COUNTS, 1, 1000),
        draws=_DRAWS.value,
    )


def calibration(config: ModelConfig) -> WrongCalibration:
    """The study asked for, of the model's link."""
    return WrongCalibration(
        standard_sources(config.link),
        test_set(config),
        seed=_SEED.value,
        weight_bits=_BITS.value,
        act_bits=_whole(_ACT_BITS, 2, 8),
        draws=_DRAWS.value,
    )


def student_size() -> StudentSizes:
    """The ladder asked for: short, and with other alphas and temperatures; long; from scratch."""
    sparsities = parse_levels("cut_shares", _SPARSITIES.value)
    if wrong := [value for value in sparsities if not 0.0 <= value < 1.0]:
        raise flags.ValidationError(f"--cut_shares={wrong[0]:g}: 0 or more and below 1")
    short, long = Arm(_STEPS.value), Arm(_LONG.value)
    arms = [short, short._replace(alpha=0.5), short._replace(temperature=4.0)]
    arms += [long, long._replace(init="scratch")] if _LONG.value else []
    return StudentSizes(
        sparsities=tuple(sorted(sparsities)),
        arms=tuple(dict.fromkeys(arms)),
        seeds=_whole(_SEEDS, 0, 2**31 - 1),
    )


def study_name() -> str:
    """Which study is asked for."""
    if STUDY.value is None:
        raise flags.ValidationError(f"--study must be given: {', '.join(STUDIES)}")
    return STUDY.value


def study(config: ModelConfig) -> SensitiveTensors | WrongCalibration | StudentSizes:
    """The study asked for, of a model; a bad value is an error that names its flag."""
    if STUDY.value == "student_size":
        return student_size()
    return (calibration if STUDY.value == "calibration" else sensitive_tensors)(config)


Asked = tuple[str, Teacher, SensitiveTensors | WrongCalibration | StudentSizes, dict[str, Any]]


def asked() -> Asked:
    """Name of the study, model, study, and the flags that the manifest keeps."""
    name, teacher = study_name(), checkpoint_flag.teacher()
    values = launch.flag_values(sys.modules[__name__]) | {"checkpoint": teacher.hash}
    return name, teacher, study(teacher.config), values


def sweep(sizes: StudentSizes, teacher: Teacher) -> Study:
    """The sweep that student_size runs."""
    checkpoint, frames = checkpoint_flag.CHECKPOINT.value, test_set(teacher.config)
    return Study(sizes.configurations(), teacher.config, checkpoint, SweepSettings(), frames)


def _whole(flag: flags.FlagHolder, least: int, most: int) -> tuple[int, ...]:
    """Whole numbers within limits, in the order in which they are written."""
    try:
        found = [int(text) for text in flag.value.split(",") if text.strip()]
    except ValueError:
        raise flags.ValidationError(
            f"--{flag.name}={flag.value}: whole numbers are needed, a,b,..."
        ) from None
    if not found or not all(least <= value <= most for value in found):
        raise flags.ValidationError(
            f"--{flag.name}={flag.value}: one or more of {least} to {most} are needed"
        )
    return tuple(dict.fromkeys(found))
