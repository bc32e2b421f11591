"""The files around the code: citation, changelog, licence, and what is told to package indexes."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

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


@pytest.mark.slow
def test_what_is_built_holds_the_pretrained_models_and_the_pages(tmp_path):
    """A wheel of the package alone, its models with it, and an sdist of all that git has."""

    def python(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "backend")}
        command = [sys.executable, "-m", *arguments]
        subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)

    python("pip", "install", "--quiet", "--target", str(tmp_path / "backend"), "hatchling")
    python("hatchling", "build", "-d", str(tmp_path))
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("train/pretrained/nano.safetensors", "train/pretrained/micro.safetensors"):
        assert f"wfm_jax/{name}" in names
    assert "wfm_jax/py.typed" in names
    folders = {name.split("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"wfm_jax"}
    with tarfile.open(sdist) as archive:
        stored = {name.partition("/")[2] for name in archive.getnames()}
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert pages | {"README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"} <= stored
    assert "wfm_jax/train/pretrained/nano.safetensors" in stored
    assert not [name for name in stored if name.startswith((".venv", "runs/"))]
