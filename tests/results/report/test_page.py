"""The page as markup: whole, safe, and readable without its programs."""

import base64
import hashlib
import json
from html import unescape
from html.parser import HTMLParser

import pytest

from tests import made_runs
from wfm_jax.results.report import page
from wfm_jax.results.report.commands import Commands
from wfm_jax.results.report.run_folder import read_run

VOID = {"meta", "link", "input", "img", "br"}


class Elements(HTMLParser):
    """Elements with their attributes, the text of each, and what was left open."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(self.found[-1])

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1][0] == tag, f"</{tag}> closes <{self.open[-1][0]}>"
        self.open.pop()

    def handle_data(self, data):
        for _, _, texts in self.open[-1:]:
            texts.append(data)

    def all(self, tag):
        return [(attributes, "".join(texts)) for own, attributes, texts in self.found if own == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_runs.make(tmp_path_factory.mktemp("runs") / "laptop")


@pytest.fixture(scope="module")
def elements(folder):
    return Elements(page.page([read_run(folder)], "window.Plotly = {};"))


def test_every_element_is_closed_and_every_reference_has_its_element(elements):
    assert elements.open == []
    ids = [attributes["id"] for _, attributes, _ in elements.found if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = {a["href"][1:] for a, _ in elements.all("a")}
    labels = {a["aria-labelledby"] for _, a, _ in elements.found if "aria-labelledby" in a}
    assert targets <= set(ids)
    assert labels - {"row-title"} <= set(ids)


def test_landmarks_headings_and_language(elements):
    assert [len(elements.all(tag)) for tag in ("main", "header", "h1")] == [1, 1, 1]
    assert elements.all("html")[0][0]["lang"] == "en"
    sections = [attributes for attributes, _ in elements.all("section")]
    assert all("aria-labelledby" in attributes for attributes in sections)


def test_nothing_is_loaded_from_anywhere(elements):
    for tag, attributes, _ in elements.found:
        for name in ("src", "href", "action", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:,")), (tag, attributes)


def test_the_policy_names_the_programs_of_the_page(elements):
    programs = [text for attributes, text in elements.all("script") if "type" not in attributes]
    (policy,) = (a["content"] for a, _ in elements.all("meta") if "http-equiv" in a)
    assert len(programs) == 2
    for program in programs:
        digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_the_verdict_comes_first_and_is_text(elements):
    (lead,) = (text for a, text in elements.all("p") if a.get("class") == "lead")
    assert "95 % of the teacher on every task" in lead
    order = [attributes["id"] for attributes, _ in elements.all("section")]
    assert order == ["verdict", "front", "orders", "tasks", "curves", "sensitivity", "latency",
                     "table", "again"]  # fmt: skip


def test_the_data_of_the_page_is_json(elements, folder):
    data = {a["id"]: json.loads(t) for a, t in elements.all("script") if "id" in a}
    assert data["data"]["count"] == len(read_run(folder).rows)
    assert data["curves-data"][0]["bits_per_symbol"] == [2, 4, 6, 8]


def test_hostile_texts_are_texts_everywhere(folder, tmp_path):
    run = read_run(folder)
    bad = made_runs.HOSTILE
    rows = [row | {"pipeline": bad, "device": bad, "student": bad, bad: bad, "structure": bad,
                   "teacher_hash": bad, "config_id": bad} for row in run.rows]  # fmt: skip
    contrasts = [row | {"a": bad, "student": bad, "metric": bad} for row in run.contrasts]
    run = run._replace(name=bad, rows=run.rows[:5] + rows[5:], contrasts=contrasts, notes=[bad])
    n = len(rows)
    commands = Commands(bad, bad, [bad] * n, [bad] * n)
    text = page.page([run], "", commands=[commands])
    found = Elements(text)
    assert found.open == []
    assert not found.all("img")
    assert len(found.all("script")) == 4
    for _, attributes, _ in found.found:
        assert not [name for name in attributes if name.startswith("on")]
    assert found.all("h1")[0][1] == bad
    assert bad in unescape(text)


def test_a_run_without_rows_or_manifest_is_a_page_that_says_so(folder):
    run = read_run(folder)._replace(rows=[], contrasts=[], curves=None, manifest=None,
                                    notes=["it has no results.jsonl"])  # fmt: skip
    found = Elements(page.page([run], ""))
    assert "No configuration has a score; diverged: 0." in [text for _, text in found.all("p")]
    assert "It has no results.jsonl." in [text for _, text in found.all("li")]


def test_the_file_appears_in_one_step_and_is_small_beside_plotly(folder, tmp_path):
    pytest.importorskip("plotly")
    page.write_page([read_run(folder)], tmp_path / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    size = (tmp_path / "report.html").stat().st_size
    assert 0 < size - len(page.plotly_program().encode()) < 300_000
