"""What a model loses by compression, and what it costs: the numbers of a result row.

``frames`` (frozen test frames), ``scores`` and ``classical`` (what is measured of each frame),
``many`` (many configurations, one compiled program), ``metrics``, ``snr_loss``, ``retention`` and
``intervals`` (from frames' scores to numbers with intervals), ``quality`` (a row's columns),
``products`` and ``cost`` (operations and bytes), ``curves`` (scores over SNR, K and
constellation). Import the file you need:

    frames_ = many.draw_frames(frames.TestSet(config.link, seed=0), (10.0, 15.0, 20.0))
    scorer = many.make_scorer(config, apply, frames_)
    weights = intervals.resample_weights(frames_.test_set.strata, seed=0)
    rows = [quality.quality_columns(scored, weights) for scored in many.score_many(scorer, stacked)]
"""
