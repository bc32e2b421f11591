"""What is planted is found, what is not is not; and the analysis says no more than rows allow."""

import math

import numpy as np
import pytest

from tests.results.made_order_study import POINTS, make_study
from wfm_jax.results.naming import configurations
from wfm_jax.results.order_contrasts import CONTRASTS, LEVEL, OTHERS, PRIMARY, Arm, Contrast
from wfm_jax.results.order_points import of_arm, points, shuffled, units, weaker_stages
from wfm_jax.results.order_rows import StudyRows
from wfm_jax.results.order_study import answers, established_when_shuffled
from wfm_jax.results.order_teachers import over_teachers

ORDER = Contrast("", "Q-P-KD", Arm(("Q-P-KD",)), "P-Q-KD", Arm(("P-Q-KD",)))
TUNED = Contrast("", "P-Q-KD", Arm(("P-Q-KD",)), "P-Q-FT", Arm(("P-Q-FT",)))
SMALL = {
    "pipelines": ("Q-P-KD", "P-Q-KD", "P-Q-FT"),
    "students": ("same",),
    "recoveries": (0,),
    "factors": (),
}


def study_of(rows):
    return StudyRows(rows, configurations(rows), {})


def made(effects=None, **more):
    return points(study_of(make_study(effects, **{**SMALL, **more})), PRIMARY)


def test_a_planted_effect_is_established_and_no_effect_is_not():
    order, tuned = answers(made({"P-Q-FT": -0.6}), (ORDER, TUNED))
    assert tuned.verdict == "established"
    assert tuned.interval.holds(0.6)
    assert tuned.p == 2.0**-9
    assert order.verdict != "established"
    assert order.interval.holds(0.0)


def test_power_and_false_alarms_over_many_studies():
    runs = 120
    found = [answers(made({"P-Q-FT": -0.3}, seed=seed), (ORDER, TUNED)) for seed in range(runs)]
    false = sum(order.verdict == "established" for order, _ in found)
    right = sum(tuned.verdict == "established" for _, tuned in found)
    covered = sum(order.interval.holds(0.0) + tuned.interval.holds(0.3) for order, tuned in found)
    assert false / runs < LEVEL + 4 * math.sqrt(LEVEL * (1 - LEVEL) / runs)
    assert right / runs > 0.8
    share = covered / (2 * runs)
    assert abs(share - 0.95) < 4 * math.sqrt(0.95 * 0.05 / (2 * runs))


def test_all_eight_contrasts_find_what_was_planted_for_each():
    effects = {
        "Q-P-KD": 1.0,
        ("P-KD-Q", "same", False): 2.0,
        ("P-KD-Q", "same", True): -2.0,
        "P-Q-FT": -3.0,
        ("KD-P-Q", "smaller", True): -4.0,
        ("KD-Q-P", "smaller", True): -4.0,
        ("P-Q-FT", "scratch"): -9.0,
        ("Q-P-FT", "scratch"): -9.0,
        ("Q-P-KD", "latent"): -1.5,
    }
    study = study_of(make_study(effects, noise=0.0))
    found = answers(points(study, PRIMARY), CONTRASTS)
    # Q is the weaker of the two at all points; of the four pairs with recovery that differ in who
    # is first, one differs by 1 and one by 2.
    expected = [1.0, 2.0, -2.0, 3.0, 4.0 + 0.5, 0.75, 2.5, 9.0 + 0.5]
    for answer, value in zip(found, expected, strict=True):
        assert answer.verdict == "established", answer.contrast.question
        assert answer.difference == pytest.approx(value, abs=0.02), answer.contrast.question


def test_the_weaker_stage_is_read_from_the_stages_alone():
    of = points(study_of(make_study({"P": -3.0}, noise=0.0)), PRIMARY)
    weaker = weaker_stages(of)
    for bits, sparsity in POINTS:  # P loses 3 more
        expected = "P" if 4 * (8 / bits - 1) / 3 > 8 * sparsity**4 + 3 else "Q"
        assert weaker["same", "unstructured", bits, sparsity] == expected
    first = of_arm(of, CONTRASTS[5].a, weaker)
    second = of_arm(of, CONTRASTS[5].b, weaker)
    assert {name for name, _ in first} == {".-.", ".-.-KD", ".-KD-.", "KD-.-."}
    assert first.keys() == second.keys()
    for key, own in first.items():
        assert all(p.label.pipeline.replace("KD-", "")[0] == "Q" for p in own)
        assert len(own) == len(second[key]) == len(POINTS) * len(units(of))
    unmeasured = [p for p in of if p.label.pipeline != "P"]
    assert not weaker_stages(unmeasured)
    answer = answers(unmeasured, CONTRASTS)[5]
    assert answer.verdict == "not run"
    assert "weaker first" in answer.estimate.why


def test_a_seed_without_both_arms_leaves_that_contrast_and_is_counted():
    rows = make_study({"P-Q-FT": -0.6}, **SMALL)
    gone = next(r for r in rows if r["pipeline"] == "P-Q-FT" and r["seed"] == 4)
    diverged = next(r for r in rows if r["pipeline"] == "P-Q-FT" and r["seed"] == 7)
    rows.remove(gone)
    rows[rows.index(diverged)] = diverged | {"status": "diverged"}
    order, tuned = answers(points(study_of(rows), PRIMARY), (ORDER, TUNED))
    assert {unit.seed for unit in tuned.estimate.units} == set(range(10)) - {4, 7}
    assert tuned.estimate.missing == 2
    assert tuned.estimate.failed == (0, 1)
    assert order.estimate.missing == 0
    assert order.estimate.failed == (0, 0)
    whole = [r for r in rows if r["seed"] not in (4, 7)]
    alone = answers(points(study_of(whole), PRIMARY), (ORDER, TUNED))[1]
    assert alone.difference == tuned.difference


def test_arms_are_compared_at_the_bytes_that_both_reach():
    """A is as good as B file by file, and half as large: at equal bytes it is far ahead."""
    rows = make_study(noise=0.0, **SMALL)
    for i, row in enumerate(rows):
        if row["pipeline"] == "Q-P-KD":
            rows[i] = row | {"size_bytes": row["size_bytes"] // 2}
    (order,) = answers(points(study_of(rows), PRIMARY), (ORDER,))
    (panel,) = order.estimate.panels
    sizes = [r["size_bytes"] for r in rows if r["pipeline"] == "P-Q-KD"]
    halves = [r["size_bytes"] for r in rows if r["pipeline"] == "Q-P-KD"]
    assert panel.size_bytes[[0, -1]] == pytest.approx([min(sizes), max(halves)])
    assert np.all(panel.differences > 0.0)
    far = [r | {"size_bytes": r["size_bytes"] * 50} if r["pipeline"] == "P-Q-KD" else r
           for r in rows]  # fmt: skip
    (nothing,) = answers(points(study_of(far), PRIMARY), (ORDER,))
    assert nothing.verdict == "not run"
    assert "no sizes in common" in nothing.estimate.why


def test_structures_are_curves_of_their_own_and_count_alike():
    rows = make_study({"Q-P-KD": 1.0}, noise=0.0, **SMALL)
    other = make_study({"Q-P-KD": 3.0}, noise=0.0, **SMALL)
    rows += [r | {"structure": "heads", "config_id": f"h{r['config_id']}"} for r in other
             if r["kind"] == "configuration"]  # fmt: skip
    (order,) = answers(points(study_of(rows), PRIMARY), (ORDER,))
    assert {panel.structure for panel in order.estimate.panels} == {"unstructured", "heads"}
    assert order.difference == pytest.approx(2.0, abs=0.01)


def test_below_null_counts_as_null_and_larger_is_better_in_every_score():
    rows = make_study({"Q-P-KD": -500.0, "P-Q-FT": -1.0}, noise=0.0, **SMALL)
    own = {p.label.pipeline: p.score for p in points(study_of(rows), PRIMARY)}
    assert own["Q-P-KD"] == 0.0
    for score in OTHERS:
        if score.column != "channel_nmse_db":
            (tuned,) = answers(points(study_of(rows), score), (TUNED,))
            assert tuned.difference > 0.0, score.name


def test_a_teacher_without_references_is_named():
    rows = [row for row in make_study(**SMALL) if row["pipeline"] != "null"]
    with pytest.raises(ValueError, match=r"column gmi_fraction: .* null of teacher teacher0"):
        points(study_of(rows), PRIMARY)


@pytest.mark.parametrize(("seeds", "verdict"), [(5, False), (6, False), (7, True)])
def test_few_seeds_establish_nothing(seeds, verdict):
    """2 / 2^n must be below 5 % of a half: two contrasts need seven seeds, whatever the effect."""
    _, tuned = answers(made({"P-Q-FT": -9.0}, seeds=seeds), (ORDER, TUNED))
    assert (tuned.verdict == "established") == verdict
    assert math.isfinite(tuned.together.low) == verdict


def test_no_difference_within_the_margin_is_equivalence():
    (order,) = answers(made(noise=0.05), (ORDER,))
    assert order.verdict == "equivalent"
    assert order.negligible
    (panel,) = order.estimate.panels
    assert panel.indifferent_from() == panel.size_bytes[0]
    (vague,) = answers(made(noise=3.0), (ORDER,))
    assert vague.verdict == "not established"
    assert vague.estimate.panels[0].indifferent_from() is None


def test_the_size_from_which_the_order_stops_mattering():
    """The effect is at 2 bits / 95 % and at 3 bits / 90 % alone."""
    rows = make_study(noise=0.02, **SMALL)
    for i, row in enumerate(rows):
        if row["pipeline"] == "Q-P-KD" and row["weight_bits"] <= 3:
            rows[i] = row | {"gmi_fraction": row["gmi_fraction"] - 0.02}
    (order,) = answers(points(study_of(rows), PRIMARY), (ORDER,))
    (panel,) = order.estimate.panels
    start = panel.indifferent_from()
    sizes = sorted({r["size_bytes"] for r in rows if r["pipeline"] == "Q-P-KD"})
    assert start is not None
    assert sizes[1] < start <= sizes[2] * 1.15
    outside = [size for size, own in zip(panel.size_bytes, panel.band(), strict=True)
               if not own.holds(0.0)]  # fmt: skip
    assert outside[0] == panel.size_bytes[0]
    assert max(outside) < sizes[2]


def test_labels_are_exchanged_within_blocks_alone():
    of = points(study_of(make_study(noise=0.1)), PRIMARY)
    other = shuffled(of, np.random.default_rng(0))
    assert sorted(map(str, (p._replace(label=None) for p in of))) == sorted(
        map(str, (p._replace(label=None) for p in other))
    )
    by_block = [{}, {}]
    for side, found in zip(by_block, (of, other), strict=True):
        for point in found:
            side.setdefault(point.block, []).append(point.label)
    assert by_block[0] != by_block[1]
    for block, labels in by_block[0].items():
        assert sorted(labels) == sorted(by_block[1][block])


def test_with_exchanged_labels_a_study_full_of_effects_establishes_no_more_than_chance():
    of = made({"P-Q-FT": -5.0, "Q-P-KD": 2.0}, seeds=8)
    assert all(a.verdict == "established" for a in answers(of, (ORDER, TUNED)))
    runs = 200
    found = established_when_shuffled(of, (ORDER, TUNED), runs, seed=3)
    assert found <= LEVEL * runs + 3 * math.sqrt(LEVEL * (1 - LEVEL) * runs)
    assert found == established_when_shuffled(of, (ORDER, TUNED), runs, seed=3)


def test_teachers_that_disagree_are_seen():
    rows = make_study(noise=0.2, seeds=12, **SMALL)
    for i, row in enumerate(rows):
        if row["pipeline"] == "Q-P-KD":
            sign = {"teacher0": 0.01, "teacher1": 0.01, "teacher2": -0.01}[row["teacher_hash"]]
            rows[i] = row | {"gmi_fraction": row["gmi_fraction"] + sign}
    order, tuned = answers(points(study_of(rows), PRIMARY), (ORDER, TUNED))
    apart, alike = over_teachers(order.estimate), over_teachers(tuned.estimate)
    assert not apart.agree
    assert apart.p_differ < 1e-6
    assert alike.p_differ > 1e-3
    assert apart.interval.high - apart.interval.low > 4.0  # two degrees of freedom
    assert np.mean([*apart.means.values()]) == pytest.approx(order.difference, abs=1e-9)
    one = over_teachers(answers(made(teachers=1), (ORDER,))[0].estimate)
    assert one.interval.low == -math.inf
    assert math.isnan(one.p_differ)


def test_the_declaration_is_a_family_of_at_most_eight_symmetric_contrasts():
    assert len(CONTRASTS) <= 8
    for contrast in CONTRASTS:
        assert len(contrast.a.pipelines) == len(contrast.b.pipelines)
        assert contrast.a != contrast.b
        assert contrast.a.student == contrast.b.student
        assert contrast.a.recovery == contrast.b.recovery
        assert {claim.sign for claim in contrast.literature} <= {-1, 0, 1}
