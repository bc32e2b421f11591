"""The report page in a browser: what a person does with it, and what a hostile file does to it."""

import json

import pytest

from tests import made_runs
from tests.browser.conftest import written

SECTIONS = ("verdict", "front", "orders", "tasks", "curves", "sensitivity", "latency", "table",
            "again")  # fmt: skip
MARKS = "#front-plots .plot >> nth=0 >> .scatterlayer .point"


def look(page, section):
    """Brings a section into view and waits until its pictures are drawn."""
    page.evaluate(
        "id => document.getElementById(id).scrollIntoView({behavior: 'instant'})", section
    )
    page.wait_for_function(
        "id => ![...document.querySelectorAll(`#${id} .plot`)].some((plot) => plot.dataset.stale"
        " && plot.getBoundingClientRect().top < innerHeight)",
        arg=section,
    )


def wait_for_lines(page, n):
    """Waits until the table has so many lines: a search waits for the next key."""
    page.wait_for_function("n => document.querySelectorAll('#table tbody tr').length === n", arg=n)


# The mark that is farthest from all others, and where it is: [row, x, y].
LONELY = """() => {
    const plot = document.querySelector("#front-plots .plot");
    const { left, top } = plot.getBoundingClientRect();
    const { xaxis, yaxis } = plot._fullLayout;
    const marks = plot.data.flatMap((trace) => (trace.customdata ?? []).map((row, k) => [
        row, left + xaxis._offset + xaxis.d2p(trace.x[k]),
        top + yaxis._offset + yaxis.d2p(trace.y[k])]));
    const near = ([own, x, y]) => Math.min(...marks.filter(([other]) => other !== own)
        .map(([, a, b]) => Math.hypot(a - x, b - y)));
    return marks.sort((a, b) => near(b) - near(a))[0];
}"""


def watched(page):
    """A session that counts what the page takes, from before it is loaded."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    return session


def thread_seconds(session):
    """Processor time of the page's main thread so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "ThreadTime")


def value_of(page, name, row):
    """What the page's data say of a row."""
    columns = json.loads(page.locator("#data").text_content())["columns"]
    (values,) = (column["values"] for column in columns if column["name"] == name)
    return values["words"][values["codes"][row]] if "codes" in values else values["each"][row]


@pytest.mark.parametrize(("name", "theme", "width"), [
    ("light", "light", 1280), ("dark", "dark", 1280), ("phone", "dark", 390),
])  # fmt: skip
@pytest.mark.parametrize("run", ["laptop", "made"])
def test_the_page_opens_without_complaint_and_is_looked_at(
    request, opened, run, name, theme, width
):
    """Screenshots of all sections are left beside the page."""
    file = request.getfixturevalue(run)
    page = opened(file, theme=theme, width=width)
    for section in SECTIONS:
        look(page, section)
        page.wait_for_timeout(200)
        page.locator(f"#{section}").screenshot(path=file.with_name(f"{name}-{section}.png"))
        assert file.with_name(f"{name}-{section}.png").stat().st_size > 2000


def test_every_section_of_a_run_that_has_everything_is_drawn(opened, made):
    page = opened(made)
    for section in SECTIONS[1:6]:
        look(page, section)
        assert page.locator(f"#{section} .plot .main-svg").count() > 0, section
    assert page.locator("#tasks .plot").count() == 6
    assert page.locator("#curves .plot .legend .traces").count() >= 4 + 2


def test_a_filter_changes_the_plot_the_table_and_what_is_said(opened, made):
    page = opened(made)
    look(page, "front")
    before, said = page.locator(MARKS).count(), page.locator("#filtered").inner_text()
    page.locator("[data-factor=weight_bits] summary").click()
    page.locator("[data-factor=weight_bits] label", has_text="8 bits").click()
    page.wait_for_function(
        """n => document.querySelector("#front-plots .plot")
            .querySelectorAll(".scatterlayer .point").length < n""",
        arg=before,
    )
    count = page.evaluate("""() => {
        const plot = document.querySelector("#front-plots .plot");
        return plot.data.flatMap((trace) => trace.customdata ?? []).length;
    }""")
    rows = json.loads(page.locator("#data").text_content())
    bits = next(column for column in rows["columns"] if column["name"] == "weight_bits")
    eight = sum(value == 8 for value in bits["values"]["each"])
    assert eight > 0
    assert count == before - eight
    assert said.startswith("All ")
    assert page.locator("#filtered").inner_text() == (
        f"{before - eight} of {before} configurations match the filters."
    )
    assert f"of {before - eight + 5}" in page.locator("#table-status").inner_text()
    page.get_by_role("button", name="Show all").click()
    assert page.locator("#filtered").inner_text() == said


def test_a_click_on_a_mark_shows_its_row_and_escape_hides_it(opened, made):
    page = opened(made)
    look(page, "front")
    index, x, y = page.evaluate(LONELY)
    page.mouse.move(x, y)
    page.wait_for_selector("#front-plots .hoverlayer .hovertext")
    page.mouse.click(x, y)
    panel = page.locator("#row")
    panel.wait_for(state="visible")
    assert page.locator("#row-title").inner_text() == value_of(page, "name", index)
    assert value_of(page, "config_id", index) in panel.inner_text()
    assert "python -m experiments.sweep" in panel.locator("code").inner_text().replace("\n", " ")
    assert panel.locator("dd").count() > 20
    page.keyboard.press("Escape")
    panel.wait_for(state="hidden")


def test_the_table_is_sorted_and_searched(opened, made):
    page = opened(made)
    header = page.locator("#table thead button[data-sort=size_bytes]")

    def sizes():
        cell = header.locator("xpath=ancestor::th").evaluate("cell => cell.cellIndex")
        lines = page.locator("#table tbody tr").all()
        texts = [line.locator("td, th").nth(cell).inner_text() for line in lines]
        return [float(text) for text in texts if text != "–"]  # noqa: RUF001

    header.click()
    assert header.locator("xpath=ancestor::th").get_attribute("aria-sort") == "ascending"
    assert sizes() == sorted(sizes())
    header.click()
    assert header.locator("xpath=ancestor::th").get_attribute("aria-sort") == "descending"
    assert sizes() == sorted(sizes(), reverse=True)
    page.locator("#table input[type=search]").fill("q-p-kd 4b")
    wait_for_lines(page, 1)
    assert page.locator("#table tbody th").inner_text() == "Q-P-KD 4b/75%"
    page.locator("#table input[type=search]").fill("no such thing")
    wait_for_lines(page, 0)
    assert page.locator("#table-status").inner_text() == "No row matches."


def test_the_view_of_commands_has_one_for_every_row(opened, made):
    page = opened(made)
    page.locator("#table select").select_option("commands")
    commands = page.locator("#table tbody td.mono").all_inner_texts()
    assert len(commands) == 50
    assert all(text.startswith("python -m experiments.sweep --workdir=") for text in commands)
    assert len(set(commands)) >= 45  # the references share theirs


def test_a_configuration_is_added_to_the_curves_and_taken_out(opened, made):
    page = opened(made)
    page.locator("#table input[type=search]").fill("kd-p-q 3b")
    wait_for_lines(page, 1)
    page.locator("#table tbody .link").click()
    page.get_by_role("button", name="Add to the BER curves").click()
    chips = page.locator("#curves-chosen li")
    assert "KD-P-Q 3b/90%" in chips.last.inner_text()
    n = chips.count()
    chips.last.get_by_role("button", name="Take").click()
    assert chips.count() == n - 1


def test_everything_is_done_by_keyboard(opened, made):
    page = opened(made)
    focused = "document.activeElement"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    page.locator("[data-factor=pipeline] summary").focus()
    page.keyboard.press("Enter")
    for _ in range(3):  # all, none, the first box
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert "match the filters" in page.locator("#filtered").inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate(f"{focused}.tagName") == "SUMMARY"
    assert page.locator("details.filter[open]").count() == 0
    page.locator("#table thead button[data-sort=retention]").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.dataset.sort") == "retention"
    assert page.evaluate(f"{focused}.closest('th').ariaSort") == "ascending"
    link = page.locator("#table tbody .link").nth(2)
    link.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.id") == "row"
    assert page.locator("#row-title").inner_text() == link.inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate(f"{focused}.className") == "link"


def test_focus_is_seen_and_everything_has_a_name(opened, made):
    page = opened(made)
    page.locator("#theme").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    nameless = page.evaluate("""() =>
        [...document.querySelectorAll("button, input, select, a, [role]:not([role=status])")]
        .filter((element) => !element.closest(".plot svg") && !(element.textContent.trim()
            || element.ariaLabel || element.labels?.length || element.ariaLabelledByElements))
        .map((element) => element.outerHTML)""")
    assert nameless == []
    for plot in page.locator(".plot").all():
        assert plot.get_attribute("role") == "img"
        assert plot.get_attribute("aria-label")
    assert page.locator("table caption").count() == page.locator("table").count()


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_scrolls_in_one_direction(opened, laptop, width):
    page = opened(laptop, width=width, height=720)
    for section in SECTIONS:
        look(page, section)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, section
    page.locator("#verdict .link").first.click()
    box = page.locator("#row").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_dark_is_as_the_system_says_until_one_chooses(opened, laptop):
    page = opened(laptop, theme="dark")

    def brightness():
        text = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return max(map(int, text.strip("rgb()").split(",")))

    def wait_for(theme):
        page.wait_for_function("name => document.documentElement.dataset.theme === name", arg=theme)

    assert brightness() < 60
    page.emulate_media(color_scheme="light")
    wait_for("light")
    assert brightness() > 200
    page.get_by_role("button", name="Use the dark theme").click()
    assert brightness() < 60
    page.emulate_media(color_scheme="dark")
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(200)
    assert brightness() < 60
    page.get_by_role("button", name="Use the light theme").click()
    assert brightness() > 200


def test_hostile_files_run_nothing(opened, tmp_path):
    """In every text of the run: rows, contrasts, curves, manifest, sensitivity, folder's name."""
    bad = made_runs.HOSTILE
    folder = made_runs.make(tmp_path / "<b onclick=x>&'\"", made_runs.orders(((8, 0.5),)))
    made_runs.write_cells(folder)
    for name, columns in (
        ("results.jsonl", ("pipeline", "student", "structure", "device", "teacher_hash")),
        ("contrasts.jsonl", ("a", "student", "metric")),
        ("sensitivity.jsonl", ("tensor", "method")),
    ):
        lines = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        for line in lines:
            if line.get("kind") != "reference":
                line.update(dict.fromkeys(columns, bad))
        if name == "results.jsonl":
            lines[-1][bad] = bad
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = opened(written([folder]))
    for section in SECTIONS:
        look(page, section)
    page.locator("#table input[type=search]").fill("onerror")
    wait_for_lines(page, 19)
    page.locator("#table tbody .link").last.click()
    page.wait_for_selector("#row:not([hidden])")
    assert page.title().startswith("Compression report: ")
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("[onerror], [onclick]").count() == 0
    assert bad in page.locator("#row-title").inner_text()


def test_the_policy_stops_what_would_be_injected(opened, laptop, browser):
    """Even markup that a mistake let in would not run."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"file://{laptop}")
    page.wait_for_selector("html[data-ready]")
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'owned'";
        document.body.append(script);
        const image = "<img src=x onerror=\\"document.title='owned'\\">";
        document.body.insertAdjacentHTML("beforeend", image);
    }""")
    page.wait_for_timeout(300)
    assert page.title() == "Compression report: laptop"
    blocked = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'went', () => 'blocked')")
    assert blocked == "blocked"
    context.close()


def test_runs_in_any_state_are_shown(opened, tmp_path):
    """One has just begun, one is of an older version and half written, one is whole."""
    begun = made_runs.make(tmp_path / "begun", [])
    for name in ("results.jsonl", "contrasts.jsonl", "curves.parquet"):
        (begun / name).unlink()
    page = opened(written([begun]))
    assert "nothing has finished" in page.locator(".notes").inner_text()
    assert page.locator(".lead").inner_text().startswith("No configuration has a score")
    old = made_runs.make(tmp_path / "old", made_runs.orders(((4, 0.5),)), curves=False)
    lines = [json.loads(line) for line in (old / "results.jsonl").read_text().splitlines()]
    kept = [{k: v for k, v in line.items() if not k.startswith("snr_loss")} for line in lines]
    text = "".join(json.dumps(line) + "\n" for line in kept)
    (old / "results.jsonl").write_text(text[:-30])
    (old / "manifest.json").write_text("{}")
    whole = made_runs.make(tmp_path / "whole", made_runs.orders(((8, 0.5),)))
    page = opened(written([old, whole], html=str(tmp_path / "both.html")))
    for section in SECTIONS:
        look(page, section)
    said = page.locator(".notes").inner_text()
    assert "old: results.jsonl ends in half a line" in said
    assert "an older version wrote these rows" in said
    assert "different columns" in said
    assert page.locator("[data-factor=run]").count() == 1
    shown = page.locator("#filtered").inner_text()
    assert shown.startswith(f"All {len(lines) - 6 + 19} ")


def test_ten_thousand_rows_load_in_three_seconds(opened, tmp_path):
    """Until the pictures in view are drawn; the best of five, as other programs run too.

    Where they take more than the page, its main thread's processor time counts.
    """
    folder = made_runs.make(tmp_path / "many", made_runs.many(10_000))
    file = written([folder])
    size, seconds, sessions = file.stat().st_size, [], []
    assert size < 15e6
    while len(seconds) < 5 and min(seconds, default=9.0) >= 3.0:
        page = opened(file, before=lambda page: sessions.append(watched(page)))
        thread, wall = thread_seconds(sessions[-1]), int(page.get_attribute("html", "data-ready"))
        assert page.locator("#filtered").inner_text().startswith("All 10,000 configurations")
        assert thread > 0.2  # it was counted
        seconds.append(min(wall / 1000, thread))
    print(f"10,000 rows: {size / 1e6:.1f} MB, loaded in {min(seconds):.2f} s")
    assert min(seconds) < 3.0
    page.locator("#table input[type=search]").fill("kd-q-p 5b")
    page.wait_for_timeout(1000)
    found = page.locator("#table-status").inner_text()
    assert 50 < int(found.removesuffix(".").split()[-1].replace(",", "")) < 1000, found
    look(page, "tasks")
    page.locator("[data-factor=pipeline] summary").click()
    page.locator("[data-factor=pipeline]").get_by_role("button", name="None").click()
    assert page.locator("#filtered").inner_text().startswith("0 of 10,000")
