"""The verdict says what the rows say, in 100 columns, and no more than so many seeds allow."""

import re

import numpy as np
import pytest

from tests.results.made_order_study import make_study
from wfm_jax.results import order_verdict
from wfm_jax.results.naming import configurations
from wfm_jax.results.order_contrasts import CONTRASTS, OTHERS, PRIMARY
from wfm_jax.results.order_exploratory import arm_curves, exploratory, standings
from wfm_jax.results.order_points import points, units
from wfm_jax.results.order_rows import StudyRows
from wfm_jax.results.order_sanity import Sameness
from wfm_jax.results.order_study import answers
from wfm_jax.results.order_verdict import Findings, verdict
from wfm_jax.results.sign_flips import Interval

EFFECTS = {"P-Q-FT": -0.9, "KD-P-Q": -3.0, "KD-Q-P": -3.0, ("Q-P-KD", "latent"): -2.0}
UNSTRUCTURED = "unstructured"


def findings_of(rows, **more):
    study = StudyRows(rows, configurations(rows), more.pop("aside", {}))
    of = points(study, PRIMARY)
    return Findings(study, units(of), answers(of, CONTRASTS), **more)


@pytest.fixture(scope="module")
def rows():
    return make_study(EFFECTS, noise=0.1)


@pytest.fixture(scope="module")
def page(rows):
    return verdict(findings_of(rows))


def block(page, number):
    """The text of a contrast, its lines joined."""
    found = re.search(rf"^{number}  .*?(?=\n\n)", page, re.DOTALL | re.MULTILINE)
    assert found
    return " ".join(found.group().split())


def test_it_is_a_page_of_100_columns(page):
    lines = page.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) < 80
    assert page.isascii()


def test_it_says_seeds_teachers_device_and_budget(page):
    head = " ".join(page.partition("In short")[0].split())
    for part in ("Seeds: 10, nested in 3 teachers of 190,000 parameters: teacher0 (4)",
                 "Device: cpu cpu", "frames,", "200 optimizer steps, with recovery the last 50",
                 "8 contrasts"):  # fmt: skip
        assert part in head


def test_students_that_read_fewer_views_are_compared_like_others(rows, page):
    def read_two(row):
        return row | {"student": f"{row['student']}:grid+csi"} if row["student"] else row

    of_two = verdict(findings_of([read_two(row) for row in rows]))
    assert " ".join(of_two.split()) == " ".join(page.split()).replace(
        " Files:", " Students read grid and csi only. Files:"
    )


def test_what_a_point_is_worth_is_told(rows, page):
    assert "a point is .0042 of GMI fraction. Declared" in " ".join(page.split())
    low = [row | {"gmi_fraction": -3.32}
           if row["pipeline"] == "null" and row["teacher_hash"] == "teacher1" else row
           for row in rows]  # fmt: skip
    said = " ".join(verdict(findings_of(low)).split())
    assert "a point is .0042, .042, .0042 of GMI fraction, by teacher, which" in said


def test_other_scores_are_held_against_the_verdict(rows):
    retention = next(score for score in OTHERS if score.name == "worst-task retention")
    found = findings_of(rows)
    assert {i for i, a in enumerate(found.answers, 1) if a.verdict == "established"} == {4, 5, 7}
    turned = [row | {"retention": 2.0 - row["retention"]} if row["score_on"] == "latent" else row
              for row in rows]  # fmt: skip
    other = answers(points(StudyRows(turned, configurations(turned), {}), retention), CONTRASTS)
    page = verdict(found._replace(others=[(retention, other)]))
    line = "the same test in worst-task retention: same sign 4, 5; OTHER SIGN 7"
    assert line in page


def test_what_is_established_and_what_is_not(page):
    assert "established: 4 (P-Q-KD over P-Q-FT)," in page
    assert "ESTABLISHED" in block(page, 4)
    assert "P-Q-KD minus P-Q-FT: +0.9" in block(page, 4)
    assert "corrected .016; 10 seeds." in block(page, 4)
    assert "EQUIVALENT" in block(page, 1)
    assert "the same sign" in block(page, 5)


def test_structures_have_their_own_means():
    study = {"pipelines": ("P-Q-KD", "P-Q-FT"), "students": ("same",), "recoveries": (0,)}
    rows = make_study({"P-Q-FT": -1.0}, noise=0.001, factors=(), **study)
    heads = make_study({"P-Q-FT": -3.0}, noise=0.001, factors=(), **study)
    heads = [r | {"structure": "heads", "config_id": f"h{r['config_id']}"} for r in heads]
    text = block(verdict(findings_of([*rows, *configurations(heads)])), 4)
    assert "P-Q-KD minus P-Q-FT: +2.00 points" in text
    assert "(heads, mean +3.00): the sign is known at all sizes" in text
    assert "(unstructured, mean +1.00): the sign is known at all sizes" in text


def test_sizes_at_which_the_sign_is_known_are_ranges_or_single():
    kilobytes = np.array([50.0, 60.0, 70.0, 80.0])
    known, unknown = Interval(0.1, 0.2), Interval(-0.1, 0.2)
    for band, words in (
        ((known, unknown, known, known), "at 50, 70 to 80 kB"),
        ((unknown, known, unknown, unknown), "at 60 kB"),
        ((unknown,) * 4, "at no size"),
    ):
        assert order_verdict._decided(band, kilobytes) == f"the sign is known {words}"


def test_it_is_held_against_the_literature(page):
    assert "the thesis: neither better, agrees" in block(page, 1)
    assert "P-Q-KD better, contradicted (equivalent)" in block(page, 1)
    assert "the thesis: KD last better, agrees" in block(page, 5)
    assert "latent better, contradicted" in block(page, 7)
    assert "Literature" not in block(page, 4)


def test_an_open_question_is_left_open():
    page = verdict(findings_of(make_study(noise=3.0)))
    assert "NOT ESTABLISHED" in block(page, 1)
    assert block(page, 1).count("left open") == len(CONTRASTS[0].literature)


@pytest.mark.parametrize(("seeds", "says"), [(1, True), (5, True), (8, True), (9, False)])
def test_too_few_seeds_are_said_so(seeds, says):
    study = {"pipelines": ("P-Q-KD", "P-Q-FT"), "students": ("same",), "recoveries": (0,)}
    page = verdict(findings_of(make_study({"P-Q-FT": -9.0}, seeds=seeds, noise=0.01, **study)))
    assert ("TOO FEW SEEDS" in page) == says
    assert ("  established: none" in page) == says
    assert ("could not if it were the only one" in page) == (seeds < 6)
    assert "inf" not in page
    assert "3, 5, 6, 7" in page.partition("not run:")[2][:20]
    assert "no rows of Q-P-KD" in block(page, 1)


def test_left_out_seeds_and_divergence_are_counted(rows):
    own = next(i for i, r in enumerate(rows) if r["pipeline"] == "P-Q-FT" and r["seed"] == 3
               and r["student"] == "same" and not r["recovery_steps"])  # fmt: skip
    broken = [*rows]
    broken[own] = broken[own] | {"status": "diverged", "gmi_fraction": None}
    page = verdict(findings_of(broken))
    assert "9 seeds, 1 left out" in block(page, 4)
    assert "P-Q-KD in 0, P-Q-FT in 1, which favours it" in block(page, 4)
    assert f"diverged: 1 of {len(configurations(rows)):,}" in page


def test_checks_are_told(rows):
    sanity = [Sameness("one", 4, 0, 0.0, 0.0), Sameness("two", 1, 2, 0.5, 0.25),
              Sameness("three", 0, 0, 0.0, 0.0)]  # fmt: skip
    page = verdict(findings_of(rows, sanity=sanity, shuffled=(9, 200), aside={"alpha=1.0": 3}))
    for part in ("one: 4 pairs, equal in every bit", "two: 1 pair, DIFFER by up to 0.5; 2 pairs",
                 "three: nothing to compare", "9 of 200 runs established something",
                 "as it must be", "3 with alpha=1.0"):  # fmt: skip
        assert part in " ".join(page.split())
    assert "MORE THAN CHANCE" in verdict(findings_of(rows, shuffled=(40, 200)))


def test_stages_are_told_one_by_one_and_arms_at_equal_bytes(rows):
    of = points(StudyRows(rows, configurations(rows), {}), PRIMARY)
    text = exploratory(of)
    assert max(map(len, text.splitlines())) <= 100
    line = next(line for line in text.splitlines() if re.match(r"  P-Q-KD +4b 75%", line))
    at = {"student": "same", "seed": 0, "recovery_steps": 0}
    for pipeline, stage in (("P", "P"), ("P-Q", "Q"), ("P-Q-KD", "KD")):
        known = [p.score for p in of if p.label.pipeline == pipeline
                 and p.block.student == at["student"] and not p.block.recovery
                 and p.block.sparsity == 0.75
                 and p.block.weight_bits in (None, 4.0)]  # fmt: skip
        mean = sum(known) / len(known)
        assert re.search(rf" {stage} +{mean:.2f} ", line), (stage, mean, line)
    found, sizes = standings(arm_curves(of, "same", False, UNSTRUCTURED))
    assert [own.mean for own in found] == sorted((own.mean for own in found), reverse=True)
    assert found[-1].name in ("KD-P-Q", "KD-Q-P")
    assert {"Q-P-KD^", "P-Q-FT*"} <= {own.name for own in found}
    assert sizes.size


def test_stages_are_of_one_structure():
    study = {"pipelines": ("P", "Q", "P-Q", "P-Q-KD"), "students": ("same",), "recoveries": (0,)}
    rows = make_study(noise=0.01, factors=(), **study)
    heads = make_study({"P-Q-KD": -9.0}, noise=0.01, factors=(), **study)
    heads = [r | {"structure": "heads", "config_id": f"h{r['config_id']}"}
             for r in configurations(heads) if "P" in r["pipeline"]]  # fmt: skip
    both = [*rows, *heads]
    text = exploratory(points(StudyRows(both, configurations(both), {}), PRIMARY))
    tables = dict(re.findall(r"Student same, (\w+), stage by stage\n(.*?)(?=\n\n|\Z)", text, re.S))
    alone = points(StudyRows(rows, configurations(rows), {}), PRIMARY)
    assert f"{UNSTRUCTURED}, stage by stage\n{tables[UNSTRUCTURED].rstrip()}" in exploratory(alone)
    ends = {
        name: [float(v) for v in re.findall(r"KD +([\d.]+) ±", tables[name])] for name in tables
    }
    apart = np.subtract(ends[UNSTRUCTURED], ends["heads"])
    np.testing.assert_allclose(apart, 9.0, atol=0.05)
