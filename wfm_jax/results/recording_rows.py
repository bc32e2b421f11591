"""Rows of a model on a recording: their columns.

``segments.jsonl`` holds one row a segment and subset of views, ``scores.jsonl`` one a subset of
views and task where the recording has labels.
"""

from wfm_jax.results.rows import Column

SEGMENT_COLUMNS = (
    Column("views", "str", "views that the model was given, joined by '+'"),
    Column("segment", "int64", "number, from 0"),
    Column("start_s", "float64", "its first sample, since that of the recording"),
    Column("power_dbfs", "float64", "mean power over that of full scale"),
    Column(
        "carrier_offset_hz", "float64", "taken out, from the cyclic prefix; null: not looked at"
    ),
    Column("coherence", "float64", "of prefix and pilots, the lower, 0 to 1; null: not looked at"),
    Column("modulation", "int64", "points of the likeliest square QAM"),
    Column("modulation_probability", "float64", "its probability"),
    Column("snr_db", "float64", "SNR"),
    Column("k_db", "float64", "K-factor, if there is a line of sight"),
    Column("los_probability", "float64", "of a line of sight"),
    Column("delay_spread_ns", "float64", "rms delay spread"),
    Column("true_modulation", "int64", "label; null: the recording has none, here and below"),
    Column("true_snr_db", "float64", "label"),
    Column("true_k_db", "float64", "label; null also where there is no K"),
    Column("true_los", "int64", "label, 0 or 1"),
    Column("true_delay_spread_ns", "float64", "label"),
    Column("recording", "str", "sha256 of the segments' samples, its first 16 hex digits"),
    Column("teacher_hash", "str", "hash of the model's weights"),
)

SCORE_COLUMNS = (
    Column("views", "str", "views that the model was given, joined by '+'"),
    Column("task", "str", "modulation | bits | channel | snr | k | los | delay_spread"),
    Column("metric", "str", "the score with its unit"),
    Column("score", "float64", "over all frames of the recording"),
    Column("score_low", "float64", "lower end of its 95 % interval, frames resampled"),
    Column("score_high", "float64", "upper end"),
    Column("guess", "float64", "of who never saw the frame: the best constant answer"),
    Column("frames", "int64", "frames behind it"),
    Column("recording", "str", "sha256 of the segments' samples, its first 16 hex digits"),
    Column("teacher_hash", "str", "hash of the model's weights"),
)
