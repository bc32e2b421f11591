"""Flags of an evaluation."""

import json
import pathlib
from typing import Any

from absl import flags

from experiments.levels import parse_levels
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.model_study import ModelStudy
from wfm_jax.signal.link import LinkConfig

_SNRS = flags.DEFINE_string("snrs_db", "0:30:2.5", "SNRs in dB: first:last:step or a,b,...")
_FRAMES = flags.DEFINE_integer(
    "evaluation_frames", 40, "Test frames per modulation and K bin, at each SNR.", lower_bound=2
)
_SEED = flags.DEFINE_integer(
    "evaluation_seed", 1, "Seed of the frozen test frames; 1 is that of a sweep.", lower_bound=0
)
_CLASSIFIERS = flags.DEFINE_list(
    "classifiers",
    [],
    "JSON-lines files of other classifiers, drawn in accuracy.png: receiver, snr_db, accuracy, and "
    "optionally params and ci95 on a line; `experiments.baselines` writes such.",
)
NOT_RESULTS = ("workdir", "overwrite", "classifiers")


def study(link: LinkConfig) -> ModelStudy:
    """What to measure on a model's link."""
    test_set = TestSet(link, seed=_SEED.value, frames_per_stratum=_FRAMES.value)
    return ModelStudy(test_set, tuple(sorted(parse_levels(_SNRS.name, _SNRS.value))))


def classifiers() -> list[dict[str, Any]]:
    """The points of all ``--classifiers``; a file that is no such file is an error."""
    points: list[dict[str, Any]] = []
    for path in _CLASSIFIERS.value:
        try:
            lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
            found = [json.loads(line) for line in lines if line.strip()]
            if not found or not all(_is_point(point) for point in found):
                raise ValueError("not on every line")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise flags.ValidationError(
                f"--classifiers={path}: a file of JSON lines with receiver, snr_db and accuracy is "
                f"needed ({error})"
            ) from None
        points += found
    return points


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, dict)
        and isinstance(point.get("receiver"), str)
        and all(isinstance(point.get(name), int | float) for name in ("snr_db", "accuracy"))
    )
