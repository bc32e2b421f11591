"""The files around the code: citation, changelog, licence, and what is told to package indexes."""

import re
import tomllib

import pytest

import wfm_jax
from tests.documents import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_citation_is_valid_cff_and_says_what_the_project_says():
    """The required fields of the Citation File Format 1.2.0, and entities for authors."""
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["type"] in ("software", "dataset")
    allowed = {"cff-version", "message", "type", "title", "abstract", "version", "license"}
    assert set(citation) <= allowed | {"authors", "keywords", "date-released", "url"}
    assert [set(author) for author in citation["authors"]] == [{"name"}]
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]


def test_versions_agree():
    assert wfm_jax.__version__ == PROJECT["version"]
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_changelog_keeps_to_its_format():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections[0] == "[Unreleased]"
    released = re.compile(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}")
    assert all(released.fullmatch(section) for section in sections[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds


def test_the_licence_is_the_one_that_is_named():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "Version 2.0" in text


def test_every_main_is_in_the_changelog():
    mains = [path.stem for path in (ROOT / "experiments").glob("*.py") if "launch.launch(" in
             path.read_text(encoding="utf-8")]  # fmt: skip
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [name for name in mains if f"`{name}`" not in text] == []
