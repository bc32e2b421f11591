"""Flags of sensitivity: which levels, which budget, which frames."""

from absl import flags

from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.sensitivity_study import SensitivityStudy
from wfm_jax.model import ModelConfig

_BITS = flags.DEFINE_list("bits", ["2", "3", "4", "6", "8"], "Bits of a tensor, of 2 to 8.")
_SPARSITIES = flags.DEFINE_list(
    "sparsities",
    ["0.25", "0.5", "0.75", "0.9"],
    "Shares of its weights to remove, above 0 and below 1; may be empty.",
)
_BUDGET = flags.DEFINE_integer(
    "budget_bits",
    4,
    "Bits of the baselines, whose bytes mixed precision may take; the least of --bits to 8.",
)
_CALIBRATION = flags.DEFINE_integer(
    "calibration_frames_per_stratum",
    8,
    "Calibration frames of each constellation and K bin, each at three SNRs.",
    lower_bound=2,
)
_TEST = flags.DEFINE_integer(
    "allocation_frames_per_stratum", 20, "Test frames, likewise.", lower_bound=2
)
_SEED = flags.DEFINE_integer(
    "calibration_seed", 1001, "Seed of the calibration frames.", 0, 2**31 - 1
)
_TEST_SEED = flags.DEFINE_integer(
    "allocation_seed", 1, "Seed of the test frames; another than the calibration's.", 0, 2**31 - 1
)
_STRATEGY = flags.DEFINE_enum(
    "cell_strategy",
    "map",
    ["map", "vmap"],
    "Configurations one after the other, for a CPU; or side by side, for an accelerator.",
)


def study(config: ModelConfig) -> SensitivityStudy:
    """The study asked for, of a model; a bad value is an error that names its flag."""
    bits, sparsities = sorted({*_numbers(_BITS, int)}), sorted({*_numbers(_SPARSITIES, float)})
    if not bits:
        raise flags.ValidationError("--bits is an empty list: give at least one value")
    for value in bits:
        if not 2 <= value <= 8:
            raise flags.ValidationError(f"--bits={value}: of 2 to 8")
    for value in sparsities:
        if not 0.0 < value < 1.0:
            raise flags.ValidationError(f"--sparsities={value}: above 0 and below 1")
    if not bits[0] <= _BUDGET.value <= 8:
        raise flags.ValidationError(
            f"--budget_bits={_BUDGET.value}: {bits[0]} to 8; the smallest of --bits is {bits[0]}"
        )
    if _SEED.value == _TEST_SEED.value:
        raise flags.ValidationError(
            f"--calibration_seed={_SEED.value}: another than --allocation_seed={_TEST_SEED.value}"
        )
    return SensitivityStudy(
        calibration=TestSet(config.link, _SEED.value, frames_per_stratum=_CALIBRATION.value),
        test=TestSet(config.link, _TEST_SEED.value, frames_per_stratum=_TEST.value),
        bits=tuple(bits),
        sparsities=tuple(sparsities),
        budget_bits=_BUDGET.value,
        strategy="vmap" if _STRATEGY.value == "vmap" else "map",
    )


def _numbers(flag: flags.FlagHolder, kind: type) -> list:
    found = []
    for text in flag.value:
        if text.strip():
            try:
                found.append(kind(text))
            except ValueError:
                words = "whole numbers" if kind is int else "numbers"
                raise flags.ValidationError(f"--{flag.name}={text}: {words} are needed") from None
    return found
