"""Headless Chromium, and pages that fail their test where they complain or load anything."""

import shutil

import pytest

from experiments import report_page
from tests import made_runs

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """All tests of this folder need a browser."""
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    assert found, "Chromium is needed: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """Opens a page and waits until it is drawn; at the end nothing may have gone wrong in it."""
    contexts, problems = [], []

    def open_page(file, *, width=1280, height=900, theme="light", before=lambda page: None):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, has_touch=width < 700
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda m: problems.append(m.text) if m.type != "log" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: check(request.url))
        before(page)
        page.goto(f"file://{file}")
        page.wait_for_selector("html[data-ready]")
        return page

    def check(url):
        if not url.startswith(("data:", "blob:")) and not url.endswith(".html"):
            problems.append(f"request {url}")

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="session")
def laptop(tmp_path_factory):
    """The page of the stored run, in a run folder of its own."""
    import pathlib

    stored = pathlib.Path(report_page.__file__).parent / "results"
    folder = tmp_path_factory.mktemp("runs") / "laptop"
    shutil.copytree(stored / "laptop", folder)
    profile = str(stored / "profile" / "nano-cpu.json")
    return written([folder], profiles=[profile])


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The page of a made-up run that has everything, curves and sensitivity too."""
    folder = made_runs.make(tmp_path_factory.mktemp("runs") / "made")
    made_runs.write_cells(folder)
    return written([folder])


def written(folders, **more):
    """The page of run folders."""
    return report_page.write([str(folder) for folder in folders], **more)[0]
