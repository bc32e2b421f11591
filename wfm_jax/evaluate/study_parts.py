"""The parts of each study that trains nothing, as far as its folder lacks their rows.

A folder of None is one that holds nothing of the study.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from wfm_jax.evaluate import (
    generalisation_files,
    robustness_files,
    sensitivity_files,
    wrong_calibration,
)
from wfm_jax.evaluate.condition_study import CLASSICAL, ConditionStudy
from wfm_jax.evaluate.failure_files import PARTS
from wfm_jax.evaluate.frames import TestSet
from wfm_jax.evaluate.generalisation import GeneralisationStudy
from wfm_jax.evaluate.measuring_plan import Part
from wfm_jax.evaluate.metrics import AMC_SNRS_DB
from wfm_jax.evaluate.model_study import CLASSICAL as RECEIVERS
from wfm_jax.evaluate.model_study import ModelStudy
from wfm_jax.evaluate.places import MODEL_SNRS_DB
from wfm_jax.evaluate.sensitive_tensors import CHOSEN, SensitiveTensors
from wfm_jax.evaluate.sensitivity import tensors
from wfm_jax.evaluate.sensitivity_study import SensitivityStudy
from wfm_jax.evaluate.view_removal import SNRS_DB
from wfm_jax.evaluate.wrong_calibration_study import WrongCalibration
from wfm_jax.results import condition_rows, generalisation_rows, view_rows
from wfm_jax.results.failure_rows import CALIBRATION_COLUMNS, TENSOR_COLUMNS
from wfm_jax.results.plan import counted
from wfm_jax.results.rows import Column, Row, rows_so_far
from wfm_jax.results.sensitivity_rows import ALLOCATION_COLUMNS, COLUMNS

_ALLOCATIONS = 9  # the model itself, and for each of two budgets uniform bits and three mixed
_SNRS = len(AMC_SNRS_DB)


def of_evaluation(study: ModelStudy) -> list[Part]:
    """An evaluation measures anew whenever it is called."""
    n, at = study.test_set.n_frames, len(study.snrs_db)
    beside = len(study.reference_snrs_db)
    return [
        Part("model", 1, n * at, f"at {at} SNRs"),
        Part(
            "beside it",
            len(RECEIVERS),
            n * beside,
            f"classical receivers at {beside} SNRs, whose time is not in the estimate",
            2,
            0.0,
        ),
    ]


def of_robustness(
    conditions: ConditionStudy | None,
    views: tuple[TestSet, Sequence[tuple[str, ...]]] | None,
    workdir: str | os.PathLike | None,
) -> list[Part]:
    """Conditions, and views that are absent; a study that is not asked for is None."""
    parts: list[Part] = []
    if conditions and not _rows(condition_rows.COLUMNS, workdir, robustness_files.CONDITIONS):
        n = conditions.frames * len(conditions.conditions[0].link.bits_per_symbol)
        others = (len(conditions.conditions) - 1) * len(conditions.snrs_db)
        model = n * (len(conditions.curve_snrs_db) + others)
        words = f"under {len(conditions.conditions)} conditions, beside {len(CLASSICAL)} receivers"
        # A program that draws for each, one of the model, one of the receivers.
        parts.append(Part("conditions", 1, model, words, len(conditions.conditions) + 2))
    if views and not _rows(view_rows.COLUMNS, workdir, robustness_files.VIEWS):
        test_set, subsets = views
        n = test_set.n_frames * len(SNRS_DB)
        parts.append(Part("views", len(subsets) + 1, n, "subsets of views, and the null model", 2))
    return parts


def of_generalisation(study: GeneralisationStudy, workdir: str | os.PathLike | None) -> list[Part]:
    """The teacher over SNR and the packed models, at places without rows."""
    rows = _rows(generalisation_rows.COLUMNS, workdir, generalisation_files.ROWS)
    done = {row["place"] for row in rows}
    missing = [place for place in study.places if place.name not in done]
    if not missing:
        return []
    words, n = f"at {counted(len(missing), 'place')}", len(missing)
    curve = sum(place.test_set.n_frames * len(place.snrs_db) for place in missing)
    frames = sum(place.test_set.n_frames * len(MODEL_SNRS_DB) for place in missing)
    architectures = len({(one.model.config, one.model.ranges is None) for one in study.packed})
    return [
        Part("teacher", 1, curve, f"{words}, over SNR", 2 * n),
        Part("packed", len(study.packed), frames, words, architectures * n),
    ]


def of_sensitivity(
    study: SensitivityStudy, params: Any, workdir: str | os.PathLike | None
) -> list[Part]:
    """Cells of tensors and levels, then allocations."""
    n_tensors, parts = len(tensors(params)), []
    if not _rows(COLUMNS, workdir, sensitivity_files.CELLS):
        levels = len(study.bits) + len(study.sparsities)
        words = f"{n_tensors} tensors at {levels} levels"
        n = study.calibration.n_frames * _SNRS
        parts.append(Part("cells", 1 + n_tensors * levels, n, words, 2))
    if not _rows(ALLOCATION_COLUMNS, workdir, sensitivity_files.ALLOCATIONS):
        n = study.test.n_frames * _SNRS
        parts.append(Part("allocations", _ALLOCATIONS, n, "of bits", 1))
    return parts


def of_failure_mode(
    study: SensitiveTensors | WrongCalibration, params: Any, path: str | os.PathLike | None
) -> list[Part]:
    """A failure mode whose rows are at a path."""
    if isinstance(study, WrongCalibration):
        return _of_calibration(study, path)
    if _rows(TENSOR_COLUMNS, path):
        return []
    n_tensors = len(tensors(params))
    counts = [count for count in study.counts if count <= n_tensors]
    n_sets = 4 + 2 * len(counts) * (len(CHOSEN) - 1 + study.draws)
    ranked, scored = (of.n_frames * _SNRS for of in (study.calibration, study.test))
    return [
        Part("ranking", 1 + n_tensors, ranked, "each tensor alone", 1),
        Part("sets of tensors", n_sets, scored, "chosen and spared", 1),
    ]


def _of_calibration(study: WrongCalibration, path: str | os.PathLike | None) -> list[Part]:
    done = {row["part"] for row in _rows(CALIBRATION_COLUMNS, path)}
    n_draws = sum(study.draws_of(source) for source in study.sources.values())
    each = {
        "activations": len(study.act_bits) * len(wrong_calibration.RULES),
        "weights": len(study.weights),
    }
    return [
        Part(
            part,
            each[part] * n_draws,
            study.test.n_frames * _SNRS,
            f"{n_draws} draws of {len(study.sources)} sources of calibration frames",
            1 + len(study.sources),
        )
        for part in PARTS
        if part not in done
    ]


def _rows(columns: Sequence[Column], folder: str | os.PathLike | None, name: str = "") -> list[Row]:
    return [] if folder is None else rows_so_far(pathlib.Path(folder) / name, columns)
