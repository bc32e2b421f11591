"""Receivers made by hand: scores of frames whose bits fade together, and bits by their LLR."""

import numpy as np

from wfm_jax.evaluate.calibration import N_BINS, BitBins
from wfm_jax.evaluate.model_study import Measured
from wfm_jax.evaluate.scores import FrameScores, Scored, no_scores

SKILLS = {"model": -0.5, "ls": -2.0, "lmmse": 0.0, "lmmse_true": 1.0, "data_aided": 1.5,
          "genie": 3.0}  # fmt: skip


def receiver(test_set, snrs_db, skill=0.0, *, seed=0):
    """A receiver whose BER falls and whose answers get better with ``skill``, in dB as the SNR
    does; the same seed has the same fades and luck."""
    rng = np.random.default_rng(seed)
    n = test_set.n_frames
    n_bits = 224.0 * np.asarray(test_set.link.bits_per_symbol)[test_set.modulation]
    fade, luck = rng.exponential(size=n), rng.random((4, n))
    rows = []
    for snr_db in snrs_db:
        good = (snr_db + skill) / 30.0
        ber = np.minimum(0.5, 0.2 * np.exp(-3.0 * good) * fade)
        answer = 1.0 / (1.0 + np.exp(-4.0 * good + 1.0))
        correct = luck[0] < answer
        rows.append(
            FrameScores(
                bit_errors=ber * n_bits,
                n_bits=n_bits,
                gmi_fraction=1.0 - ber * 2.0,
                channel_error=64.0 * fade * 10.0 ** (-3.0 * good),
                channel_power=64.0 * fade,
                modulation=np.where(correct, test_set.modulation, (test_set.modulation + 1) % 4),
                amc_correct=correct,
                k_error_db=np.where(test_set.k_bin < 4, 6.0 * luck[1] * (1.0 - answer), 0.0),
                has_k=test_set.k_bin < 4,
                snr_error_db=8.0 * luck[2] * (1.0 - answer),
                los_correct=luck[3] < answer,
                loss=np.full(n, 3.0 - 2.0 * answer),
                delay_spread_error_s=40e-9 * luck[1] * (1.0 - answer),
                doppler_error_hz=6.0 * luck[2],
            )
        )
    stacked = FrameScores(
        *(np.stack(column).astype(np.float32) for column in zip(*rows, strict=True))
    )
    return Scored(test_set, tuple(snrs_db), stacked)


def everybody(study):
    """What ``model_study.measure`` returns, a skill each: ``constant`` and the bound too."""
    found = {}
    for name, skill in SKILLS.items():
        snrs_db = study.snrs_db if name == "model" else study.reference_snrs_db
        scored = receiver(study.test_set, snrs_db, skill)
        if name != "model":  # no classical receiver tells the link state
            missing = np.full_like(scored.scores.loss, np.nan)
            scored = scored._replace(
                scores=scored.scores._replace(
                    k_error_db=missing,
                    snr_error_db=missing,
                    los_correct=missing,
                    delay_spread_error_s=missing,
                    doppler_error_hz=missing,
                )
            )
        found[name] = Measured(scored, bins(scored))
    best = receiver(study.test_set, study.snrs_db, 6.0).scores
    nothing = no_scores(best.loss.shape)
    bound = nothing._replace(channel_error=best.channel_error, channel_power=best.channel_power)
    constant = nothing._replace(
        k_error_db=best.has_k * 6.5,
        has_k=best.has_k,
        snr_error_db=np.full_like(best.loss, 8.0),
        los_correct=best.has_k,
        delay_spread_error_s=np.full_like(best.loss, 18e-9),
        doppler_error_hz=np.full_like(best.loss, 3.0),
    )
    for name, scores in (("lmmse_bound", bound), ("constant", constant)):
        found[name] = Measured(Scored(study.test_set, study.snrs_db, scores), None)
    return found


def bins(scored):
    """Bits in four bins of the LLR; a tenth fewer are wrong than is claimed."""
    bits, wrong = scored.scores.n_bits, scored.scores.bit_errors
    values = np.zeros((3, *bits.shape, N_BINS), np.float32)
    for at, share, of_wrong in ((5, 0.3, 0.2), (9, 0.2, 0.3), (10, 0.2, 0.3), (14, 0.3, 0.2)):
        values[0, ..., at] = share * bits
        values[1, ..., at] = of_wrong * wrong
        values[2, ..., at] = of_wrong * wrong / 0.9
    return BitBins(*values)
