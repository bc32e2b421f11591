"""Rows of the failure modes: their columns.

``sensitive_tensors.jsonl`` holds a row a set of tensors, ``calibration.jsonl`` one a calibration
and method, ``student_size.jsonl`` one a size and what KD was given.
"""

from collections.abc import Iterable

from wfm_jax.results.rows import Column
from wfm_jax.results.sensitivity_rows import SCORES, Score

TENSOR_SCORES = dict(SCORES)
"""Scores of sets of tensors; task loss and AMC are means of 10, 15 and 20 dB, the rest at 20 dB."""

QUALITY_SCORES = {
    "retention": Score("retention %", 100.0, ".1f", True),
    "snr_loss_db": Score("SNR loss dB", 1.0, ".2f", False),
    **{name: score for name, score in SCORES.items() if name != "task_loss"},
    "gmi_fraction": SCORES["gmi_fraction"]._replace(spec=".4f"),
}
"""Scores of calibrations and students: as in a result row."""


def _scored(scores: Iterable[str], against: str) -> tuple[Column, ...]:
    columns = []
    for name in scores:
        change = f"{name}_change"
        columns += [
            Column(name, "float64", f"{(QUALITY_SCORES | SCORES)[name].words}, mean over draws"),
            Column(change, "float64", f"less that of {against}, on the same frames"),
            Column(f"{change}_low", "float64", f"lower end of the 95 % interval of {change}"),
            Column(f"{change}_high", "float64", f"upper end of the 95 % interval of {change}"),
        ]
    return tuple(columns)


_FRAMES = (
    Column("n_frames", "int64", "test frames, each at 10, 15 and 20 dB"),
    Column("frames_hash", "str", "hash of the test frames"),
    Column("teacher_hash", "str", "hash of the model's weights"),
)

TENSOR_COLUMNS = (
    Column("kind", "str", "none | everywhere | blocks | tables | alone | spared"),
    Column("chosen", "str", "most | random | least sensitive; null where nothing is chosen"),
    Column("count", "int64", "tensors chosen"),
    Column("few_bits", "int64", "bits of what is naively compressed"),
    Column("spared_bits", "int64", "bits of what is spared"),
    Column("draws", "int64", "random choices over which scores are averaged"),
    Column("tensors", "str", "JSON list: path names of what was chosen, a list a draw"),
    Column("mean_bits", "float64", "mean over weights"),
    Column("size_bytes", "float64", "of the packed file, mean over draws"),
    Column("rise_smallest", "float64", "of the task loss, over draws"),
    Column("rise_largest", "float64", "likewise"),
    Column("share", "float64", "rise of the task loss over that of few bits everywhere"),
    Column("share_low", "float64", "lower end of its 95 % interval"),
    Column("share_high", "float64", "upper end"),
    *_scored(TENSOR_SCORES, "the model in float32"),
    *_FRAMES,
)

CALIBRATION_COLUMNS = (
    Column("part", "str", "activations | weights"),
    Column("source", "str", "which frames were calibrated on; null where none are needed"),
    Column("words", "str", "the same for people"),
    Column("method", "str", "rule of the ranges: min_max | ...; or gptq | wanda | nearest | ..."),
    Column("weight_bits", "float64", "of the blocks' kernels; 32: floating point"),
    Column("act_bits", "float64", "of what enters them; 32: floating point"),
    Column("sparsity", "float64", "share of the blocks' weights that is removed"),
    Column("calibration_frames", "int64", "different frames that were calibrated on"),
    Column("draws", "int64", "choices of these frames over which scores are averaged"),
    Column("range_ratio", "float64", "width of the ranges over those of matched frames: mean of "
           "the points' ratios, geometric"),
    Column("retention_worst", "float64", "smallest over draws"),
    *_scored(QUALITY_SCORES, "the same calibrated on matched frames"),
    *_FRAMES,
)  # fmt: skip

SIZE_COLUMNS = (
    Column("arm", "str", "what KD was given: its alpha, temperature, the steps of both"),
    Column("sparsity", "float64", "share of heads and neurons that were cut out"),
    Column("params_total", "int64", "parameters of the student"),
    Column("size_bytes", "int64", "of its file"),
    Column("init", "str", "teacher (its units that stayed) | scratch"),
    Column("steps", "int64", "optimizer steps of either"),
    Column("alpha", "float64", "weight of distillation"),
    Column("temperature", "float64", "of distillation"),
    Column("seeds", "int64", "seeds of the data stream over which scores are averaged"),
    *(
        Column(f"{name}{end}", "float64", meaning)
        for name in QUALITY_SCORES
        for end, meaning in (
            ("_untrained", f"{name} before training, null where the student is not from a teacher"),
            ("_ft", f"{name} after fine-tuning"),
            ("_kd", f"{name} after distillation"),
            ("_change", "KD less FT, on the same test frames, of the same start and data"),
            ("_change_low", "lower end of its 95 % interval over frames and seeds"),
            ("_change_high", "upper end"),
        )
    ),
    *_FRAMES,
)
