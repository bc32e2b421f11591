"""The closing paragraph says what the rows say, and no more."""

import re

from wfm_jax.results.groups import group_rows
from wfm_jax.results.verdict import closing_paragraph


def row(pipeline, retention, size=50_000, **more):
    return {
        "kind": "configuration",
        "pipeline": pipeline,
        "retention": retention,
        "retention_ci95": 0.01,
        "size_bytes": size,
        "compression_ratio": 700_000 / size,
        "weight_bits": 4,
        "sparsity": 0.75,
        "amc_accuracy": 0.9 * retention,
        "status": "ok",
        "seed": 0,
    } | more


TEACHER = {"kind": "reference", "pipeline": "teacher", "amc_accuracy": 0.9}


def sentences(text):
    return re.findall(r"[^.]+(?:\.\d[^.]*)*\.(?=\s|$)", text)


def test_the_winner_is_the_smallest_that_is_sure_to_keep_enough():
    rows = [
        TEACHER,
        row("P-Q-KD", 0.955, 30_000),  # its interval reaches below
        row("Q-P-KD", 0.97, 40_000),
        row("P-KD-Q", 0.99, 60_000),
    ]
    text = closing_paragraph(rows)
    assert "is Q-P-KD 4b/75% with 97.0 ± 1.0 % retention in 40.0 kB, 17.5x smaller." in text
    assert "Q-P-KD 4b/75% has AMC accuracy -2.7 points." in text


def test_no_winner_is_said_so_with_the_best_of_each_size():
    rows = [TEACHER, row("P-Q", 0.5, 30_000), row("Q-P", 0.6, 32_000), row("P-Q-KD", 0.9, 60_000)]
    text = closing_paragraph(rows)
    assert text.startswith("No configuration keeps 95 %")
    assert "Q-P 4b/75% with 60.0" in text
    assert "P-Q-KD 4b/75% with 90.0" in text
    assert "P-Q 4b/75% with" not in text


def test_orders_count_only_beyond_their_intervals():
    close = closing_paragraph([row("P-Q-KD", 0.97), row("Q-P-KD", 0.965), row("P-Q-FT", 0.99)])
    assert "P-Q-KD (97.0 ± 1.0 %, 50.0 kB) before Q-P-KD (96.5 ± 1.0 %, 50.0 kB), within" in close
    clear = closing_paragraph([row("P-Q-KD", 0.93), row("Q-P-KD", 0.97)])
    assert "at 4b 75% Q-P-KD (97.0 ± 1.0 %, 50.0 kB) before P-Q-KD" in clear
    assert "beyond the intervals" in clear


def test_kd_against_ft_has_its_sign():
    text = closing_paragraph([row("P-Q-KD", 0.93, alpha=0.5), row("P-Q-FT", 0.97, alpha=0.0)])
    assert "(P-Q-KD, P-Q-FT): -4.0 points of retention at 4b 75%, beyond the intervals." in text


def test_only_the_comparable_is_compared():
    rows = [row("P-Q-KD", 0.97), row("Q-P-KD", 0.9, weight_bits=8), row("P-Q-FT", 0.9, steps=7)]
    text = closing_paragraph(rows)
    assert "No two orders were run at the same setting." in text
    assert "Distillation was not run beside plain fine-tuning" in text


def test_seeds_are_one_configuration():
    (group,) = group_rows([row("P-Q", 0.9), row("P-Q", 0.8, seed=1)])
    assert group.retention == 0.9 / 2 + 0.8 / 2
    assert group.half_width == 0.01


def test_a_study_takes_three_to_six_sentences(study):
    worse = [{**r, "retention": (r.get("retention") or 0) - 0.1} for r in study]
    for rows in (study, worse, [r for r in study if r.get("status") == "ok"][:20]):
        text = closing_paragraph(rows)
        assert 3 <= len(sentences(text)) <= 6
        assert "nan" not in text
    assert "Left out because they diverged: 1." in closing_paragraph(study)


def test_nothing_to_judge():
    assert closing_paragraph([]) == "No configuration has a score; diverged: 0."
    assert "diverged: 1" in closing_paragraph([row("P", 0.9, status="diverged")])
