"""What a study would cost that trains nothing: so many models on so many frames."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import jax

from wfm_jax.evaluate import probe
from wfm_jax.evaluate.many import CHUNK
from wfm_jax.evaluate.probe import Load
from wfm_jax.model import ModelConfig, param_shapes
from wfm_jax.results.plan import Fact, Plan, counted, disk_fact
from wfm_jax.results.room import in_units
from wfm_jax.signal.link import LinkConfig, sample_frames

_ROW_BYTES = 2000.0
_PICTURE_BYTES = 300e3


class Part(NamedTuple):
    """A part of a study that has no rows yet.

    Attributes:
        name: of it.
        models: that are scored: the model itself, compressed ones, or receivers.
        frames: that each is scored on, at all SNRs together.
        words: what they are.
        programs: that are compiled.
        passes: forward passes of a frame; 0 for receivers that are no networks.
    """

    name: str
    models: int
    frames: int
    words: str
    programs: int = 1
    passes: float = probe.SCORE_PASSES


def plan_measuring(
    title: str,
    folder: Fact,
    parts: Sequence[Part],
    config: ModelConfig,
    workdir: str | os.PathLike,
    *,
    n_rows: int = 0,
    n_pictures: int = 1,
    files_bytes: float = 0.0,
    batch_size: int = CHUNK,
) -> Plan:
    """The plan of a study.

    Args:
        title: of the study.
        folder: what would become of the run folder.
        parts: what is missing.
        config: the model.
        workdir: where it would write.
        n_rows: that it would write.
        n_pictures: likewise.
        files_bytes: of other files.
        batch_size: frames of a forward pass.
    """
    if not parts:
        nothing = Fact("time", "seconds", "every row is there; pictures are drawn anew")
        return Plan(f"{title}, nothing is missing", (folder, nothing))
    facts = [folder]
    for part in parts:
        each = f"each on {counted(part.frames, 'frame')}"
        facts.append(Fact(part.name, counted(part.models, "model"), f"{part.words}; {each}"))
    n_programs = sum(part.programs for part in parts)
    facts.append(Fact("compiling", counted(n_programs, "program"), "the small ones not counted"))
    n_params, most = probe.bytes_of(param_shapes(config)), max(part.frames for part in parts)
    facts.append(
        Fact(
            "memory",
            in_units(2.0 * n_params + min(most, 10 * CHUNK) * frame_bytes(config.link)),
            f"the model twice and the frames of an SNR; {batch_size} frames at a time go through "
            "the network",
        )
    )
    written = n_rows * _ROW_BYTES + n_pictures * _PICTURE_BYTES + files_bytes
    facts.append(disk_fact(workdir, written, "rows, pictures and files"))
    load = Load(
        sum(part.passes * part.models * part.frames for part in parts),
        probe.SCORING_COMPILES * n_programs,
    )
    facts.append(probe.time_fact(load, probe.measure_pace(config, batch_size)))
    return Plan(title, tuple(facts))


def frame_bytes(link: LinkConfig) -> int:
    """What a frame takes with its views and labels."""
    key = jax.random.key(0)
    shapes = jax.eval_shape(lambda key: sample_frames(link, key=key, batch_size=1), key)
    return probe.bytes_of(shapes)
