"""The guides run as they are written, from top to bottom."""

import pathlib
import re

import jax.numpy as jnp
import pytest

from wfm_jax import compress

pytestmark = pytest.mark.slow

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def blocks(name):
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Everything the guides define; their folders are made in one that vanishes."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("guides"))
        for guide in ("own_model.md", "own_transform.md"):
            for block in blocks(guide):
                exec(compile(block, guide, "exec"), found)
            found[guide] = found["rows"]
            found.setdefault("small_vit", found["small"])  # the first guide ends with it
    return found


def configurations(rows):
    assert all(row["status"] == "ok" for row in rows)
    return [row for row in rows if row["kind"] == "configuration"]


def test_an_mlp_keeps_what_its_training_recovers(names):
    rows = names["own_model.md"]
    teacher, null = rows[:2]
    assert teacher["example_score"] > 0.85
    assert null["example_score"] < 0.4
    found = {(r["pipeline"], r["weight_bits"]): r["retention"] for r in configurations(rows)}
    assert found["P-Q-KD", 4] > 0.9
    assert found["P-Q-KD", 3] > found["P-Q", 3] + 0.1
    assert all(row["compression_ratio"] > 6 for row in configurations(rows))


def test_a_vision_transformer_is_compressed(names):
    rows = names["vit_rows"]
    assert rows[0]["example_score"] > 0.8
    found = {row["pipeline"]: row for row in configurations(rows)}
    assert found["P-Q-KD"]["retention"] > max(0.8, found["P-Q"]["retention"])
    assert found["P-Q"]["sparsity_achieved"] == pytest.approx(0.5, abs=1e-3)
    assert found["P-Q"]["flops"] > 0
    kernels = compress.select(names["small_vit"], "*kernel")
    assert float(compress.sparsity_achieved({p: w != 0 for p, w in kernels.items()})) >= 0.5


def test_a_score_and_a_format_stand_beside_ours(names):
    rows = configurations(names["own_transform.md"])
    asked = {(row["score"], row["quant_format"]) for row in rows}
    assert asked == {(s, f) for s in ("magnitude", "relative") for f in ("integer", "fp4")}
    assert all(row["retention"] > 0.8 for row in rows)
    sizes = {row["quant_format"]: row["size_bytes"] for row in rows if row["score"] == "relative"}
    assert sizes["fp4"] == pytest.approx(sizes["integer"], rel=0.15)
    assert float(jnp.mean(names["small"]["params"]["Dense_0"]["kernel"] == 0)) > 0.3


def test_the_transform_takes_thirty_lines():
    first = blocks("own_transform.md")[0]
    lines = [line for line in first.splitlines() if line.strip()]
    assert len(lines) <= 30


@pytest.mark.parametrize("guide", sorted(path.name for path in DOCS.glob("*.md")))
def test_files_a_guide_points_to_exist(guide):
    prose = re.sub(r"```.*?```", "", (DOCS / guide).read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)\)", prose):
        assert (DOCS / target).exists(), target
