"""Adaptations in a run folder: rows and models as they come, then picture and read-out."""

import dataclasses
import io
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax

from wfm_jax import compress
from wfm_jax.model import ModelConfig
from wfm_jax.results import adapt_rows, atomic, checkpoint
from wfm_jax.results.adapt_picture import adapt_picture
from wfm_jax.results.adapt_rows import Row
from wfm_jax.results.adapt_table import WIDTH, print_read_out
from wfm_jax.results.progress import Progress, Silent
from wfm_jax.train.adapt import Adapted, LowRank, Method
from wfm_jax.train.adapt_study import AdaptStudy, run
from wfm_jax.train.model_files import Teacher, save_teacher

ROWS, PICTURE, SUMMARY, MODELS = "adapt.jsonl", "adapt.png", "summary.txt", "models"
ADAPTERS = "low-rank updates"


def run_in_folder(
    study: AdaptStudy,
    teacher: Teacher,
    folder: str | os.PathLike,
    *,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Runs what a folder lacks of a study, target by target.

    Leaves ``adapt.jsonl``, ``adapt.png``, ``summary.txt``, and in
    ``models/<target>_<n_labelled>/<method>`` the models of the first seed: ordinary ones, whatever
    the method. Low-rank updates also lie beside, in ``<method>_adapters``.

    Args:
        study: what to adapt to; the folder holds no other study's rows.
        teacher: the model.
        folder: of an open run.
        progress: display.
        check: called between adaptations; what it raises ends the run, finished targets are kept.

    Returns:
        all rows of the study.
    """
    folder, progress = pathlib.Path(folder), progress or Silent()
    rows, repaired = adapt_rows.read_rows(folder / ROWS)
    if repaired:
        progress.say(repaired)
    done = {(row["target"], row["n_labelled"]) for row in rows}
    for unit in run(study, teacher, done=done, progress=progress, check=check):
        at = folder / MODELS / f"{unit.target}_{unit.n_labelled}"
        for name, adapted in unit.models.items():
            how = {
                "adapted_from": teacher.hash,
                "labelled_frames": unit.n_labelled,
                "learning_rate": study.learning_rates[name],
                "settings": dataclasses.asdict(study.settings),
            }
            save_adapted(at / name, unit.config, study.methods[name], adapted, how)
        adapt_rows.append_rows(folder / ROWS, unit.rows)
        rows += unit.rows
    rows = _in_order(study, rows)
    adapt_picture(rows, folder / PICTURE)
    atomic.write_bytes(folder / SUMMARY, read_out(rows).encode())
    return rows


def read_out(rows: Sequence[Row]) -> str:
    """The table as text."""
    from rich.console import Console

    text = io.StringIO()
    print_read_out(rows, Console(file=text, width=WIDTH))
    return text.getvalue()


def save_adapted(
    path: pathlib.Path, config: ModelConfig, method: Method, adapted: Adapted, how: dict[str, Any]
) -> None:
    """Saves an adapted model as an ordinary one, low-rank updates merged, and beside it, in
    ``<path>_adapters``, the updates by themselves; ``how``, of JSON values, goes with both."""
    save_teacher(path, config, adapted.params, how)
    if isinstance(method, LowRank):
        path = path.with_name(f"{path.name}_adapters")
        adapters = method.adapters(adapted.trained)
        checkpoint.save(path, adapters, config_hash=ADAPTERS, metadata=how)


def load_adapters(path: str | os.PathLike, params: Any, method: LowRank) -> compress.Adapters:
    """Low-rank updates that :func:`save_adapted` left, to be merged into the model they were
    trained on.

    Args:
        path: the folder ``<method>_adapters``.
        params: of that model; only shapes are read.
        method: what they were trained by.

    Raises:
        CheckpointError: nothing there, damaged files, or updates of other kernels or other
            ranks.
    """
    like = jax.eval_shape(
        lambda key: method.adapters(method.start(params, key=key)), jax.random.key(0)
    )
    return checkpoint.restore(path, like, config_hash=ADAPTERS)


def _in_order(study: AdaptStudy, rows: Sequence[Row]) -> list[Row]:
    """The study's own rows, in its own order."""
    targets, counts = list(study.targets), list(study.n_labelled)
    own = [row for row in rows if row["target"] in targets and row["n_labelled"] in counts]
    return sorted(
        own, key=lambda row: (targets.index(row["target"]), counts.index(row["n_labelled"]))
    )
