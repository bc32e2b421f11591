"""Rows that must be the same are found, and held against each other bit for bit."""

import math

import pytest

from tests.results.made_order_study import configuration
from wfm_jax.results.order_sanity import sameness
from wfm_jax.results.rows import complete_row


def row(pipeline, kept=97.0, bits=4, **more):
    own = {"seed": 0, "recovery_steps": 0, "teacher_hash": "t", "loss": 0.7, **more}
    return complete_row(configuration(pipeline, bits, 0.75, kept, **own))


def commuting(*rows):
    return sameness(rows)[0]


def test_untrained_pairs_must_agree_in_every_bit():
    latent = {"score_on": "latent"}
    same = commuting(row("P-Q"), row("Q-P", **latent), row("Q-P", 90.0))
    assert (same.exact, same.trained, same.worst_exact, same.holds) == (1, 0, 0.0, True)
    last_bit = math.nextafter(0.7, 1.0)
    broken = commuting(row("P-Q"), row("Q-P", loss=last_bit, **latent))
    assert broken.worst_exact == last_bit - 0.7
    assert not broken.holds
    lost = commuting(row("P-Q"), row("Q-P", loss=None, **latent))
    assert lost.worst_exact == math.inf


def test_trained_pairs_are_told_apart_and_do_not_decide():
    rows = row("P-Q-KD"), row("Q-P-KD", score_on="latent", loss=0.71)
    same = commuting(*rows)
    assert (same.exact, same.trained) == (0, 1)
    assert same.worst_trained == pytest.approx(0.01)
    assert same.holds


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"bits": 3},  # whose scale is mse
        {"teacher_hash": "another"},
        {"student": "smaller"},
        {"rounding": "gptq"},
        {"status": "diverged"},
        {"score_on": "current"},
    ],
)
def test_only_rows_that_differ_in_the_order_alone_are_pairs(other):
    assert commuting(row("P-Q"), row("Q-P", **({"score_on": "latent"} | other))).exact == 0


def test_absmax_at_low_bits_is_a_pair():
    absmax = {"scale": "absmax", "bits": 2}
    rows = row("P-Q", **absmax), row("Q-P", score_on="latent", **absmax)
    assert commuting(*rows).exact == 1


def test_distilling_a_teacher_into_itself_is_nothing():
    rows = [row("P-Q"), row("KD-P-Q", alpha=1.0), row("KD-P-Q", 80.0), row("P-Q", 60.0, seed=1)]
    same = sameness(rows)[1]
    assert (same.exact, same.worst_exact) == (1, 0.0)
    smaller = [row("P-Q", student="smaller"), row("KD-P-Q", alpha=1.0, student="smaller")]
    assert sameness(smaller)[1].exact == 0
