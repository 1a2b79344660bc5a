"""The page of `carbon-callbacks report --html` in a browser: what it shows, to anybody, at any width."""

from __future__ import annotations

import csv
import os
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.cli.conftest import Command, kept
from core.cli.html_pages import changed, journalled, page_of, two_hours
from core.outputs.conftest import report_of

from carbon_core import formatting
from carbon_core.intensity import tables
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.report import Phase

pytest.importorskip("typer", reason="the extra report is not installed here")
pytest.importorskip("jinja2", reason="the extra report is not installed here")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# Where the pictures of the page are kept; they are looked at by people, not compared.
PICTURES = os.environ.get("CARBON_PICTURES")
STYLE = Path(__file__).parents[3] / "carbon_callbacks" / "cli" / "html" / "page.css"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed here")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, command: Command, tmp_path: Path) -> Iterator[Any]:
    """Return a function that writes the page of the directory and opens it."""
    pages: list[Any] = []

    def show(hash_: str = "", **options: Any) -> Any:
        page_of(command, tmp_path, ".")
        page = browser.new_page(timezone_id="Europe/Paris", **options)
        pages.append(page)
        page.goto((tmp_path / "out.html").as_uri() + hash_)
        page.wait_for_selector("html[data-drawn]")
        return page

    yield show
    for page in pages:
        page.close()


def rows_of(page: Any) -> list[list[str]]:
    """Return the text of the rows of the table of runs."""
    rows = page.locator("#runs tbody tr").all()
    return [
        [" ".join(cell.split()) for cell in row.locator("td, th").all_inner_texts()] for row in rows
    ]


def several(tmp_path: Path) -> None:
    """Write runs of every kind: resumed, failed, unknown, with metrics, without an interval."""
    journalled(tmp_path, *two_hours())
    kept(tmp_path, 0.2, 0.3, 0.5, project="earlier")
    for i in range(3):
        changed(
            tmp_path, f"earlier-{i}", project_name="earlier, with a rather long name of its own"
        )
    segment = {
        "run_id": "earlier-0", "duration_s": 7200.0,
        "started_at": "2026-01-01T10:00:00+00:00", "energy_kwh": 0.3, "emissions_kg": 0.02,
    }  # fmt: skip
    kept(tmp_path, 0.7, 0.8, project="failing")
    changed(tmp_path, "failing-0", status="failed", earlier_starts=[segment],
            started_at="2026-01-02T10:00:00+00:00")  # fmt: skip
    changed(tmp_path, "failing-1", is_known=False)
    changed(tmp_path, "run-1", settings={"budget_kwh": "0.5"}, node_energy_kwh=1.0,
            logged_metrics={"val_accuracy": 0.9, "val_loss": 0.3})  # fmt: skip
    changed(tmp_path, "failing-0", logged_metrics={"val_accuracy": 0.8})
    rows = CsvFile(tmp_path / "emissions.csv", tmp_path / "lock")
    rows.append(emissions_data(report_of("of-a-row", kwh=0.6, project_name="rows")))


# --- for everybody ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1280, 1600])
@pytest.mark.parametrize("kind", ["no runs", "one run", "several runs"])
def test_it_needs_no_request_and_everybody_can_read_it(
    scheme: str, width: int, kind: str, browser: Any, command: Command, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    if kind == "one run":
        journalled(tmp_path, *two_hours())
    elif kind == "several runs":
        several(tmp_path)
    page_of(command, tmp_path, ".")
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    address = (tmp_path / "out.html").as_uri()
    page.goto(address)
    page.wait_for_selector("html[data-drawn]")
    if kind == "several runs":
        page.locator("#runs tbody input").nth(0).check()
        page.locator("#runs tbody input").nth(1).check()
        page.locator("#compare-button").click()
        page.wait_for_selector("#compare-place table")
        page.evaluate("location.hash = '#run=run-1'")
        page.wait_for_selector("#run-place .chart svg")
    picture = page.screenshot(full_page=True)
    found = axe.run(page).response["violations"]
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    page.close()
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        name = f"report-{kind.replace(' ', '-')}-{scheme}-{width}.png"
        (Path(PICTURES) / name).write_bytes(picture)
    assert said == []
    assert asked == [address]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    assert overflow <= 0


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_of_projects_differ_and_are_seen_on_the_page(scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block))
    back = luminance(colours["back"])
    of_projects = [colours[f"c{i}"] for i in range(12)]
    assert len(set(of_projects)) == 12
    for colour in (*of_projects, colours["missing"], colours["bad"], colours["accent"]):
        lighter, darker = sorted((luminance(colour), back), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3.0, colour


def test_a_table_that_does_not_fit_says_that_it_scrolls(opened: Any, tmp_path: Path) -> None:
    several(tmp_path)
    page = opened(viewport={"width": 360, "height": 800})
    cue = page.locator("#runs .cue")
    assert cue.is_visible()
    assert "Scroll sideways" in cue.inner_text()
    page.locator("#runs .scroll").evaluate("region => { region.scrollLeft = region.scrollWidth }")
    cue.wait_for(state="hidden")
    wide = opened(viewport={"width": 1400, "height": 800})
    assert not wide.locator("#runs .cue").is_visible()


def test_the_colours_follow_the_theme_when_it_changes(opened: Any, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours())
    page = opened(color_scheme="light")
    colour = "getComputedStyle(document.querySelector('#run-place .curve')).stroke"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) != light


# --- figures ----------------------------------------------------------------------------------------


def test_figures_are_written_as_everywhere_else(opened: Any, tmp_path: Path) -> None:
    """The page's own formatter is a mirror of `carbon_core.formatting`."""
    kept(tmp_path, 1.0)
    page = opened()
    rng = random.Random(7)
    values = [0.0, 1.0, 0.9996, 999.6, 59.96, 3599.6, 360000.0, *(
        10 ** rng.uniform(-9, 7) for _ in range(400)
    )]  # fmt: skip
    for name in ("energy", "emissions", "power", "duration", "formatted"):
        shown = page.evaluate(f"values => values.map({name})", values)
        assert shown == [getattr(formatting, name)(value) for value in values], name
    ends = [sorted((value, value * 10 ** rng.uniform(-3, 1))) for value in values]
    for name in ("energy", "emissions"):
        shown = page.evaluate(f"ends => ends.map(([a, b]) => rangeText(a, b, UNITS.{name}))", ends)
        assert shown == [getattr(formatting, f"{name}_range")(*pair) for pair in ends], name


def test_times_are_local_and_name_their_zone(opened: Any, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    changed(tmp_path, "digits-0", started_at="2026-07-01T22:30:00+00:00")
    page = opened()
    assert [row[1] for row in rows_of(page)] == ["2026-07-02 00:30 CEST", "2026-01-01 11:00 CET"]


def test_the_rows_say_what_the_files_have(opened: Any, tmp_path: Path) -> None:
    several(tmp_path)
    page = opened()
    found = {row[2]: row for row in rows_of(page)}
    report = two_hours()[-1]
    digits = found["digits"]
    assert digits[3:6] == ["completed", "2 h", formatting.energy(report.energy_kwh.value)]
    assert digits[6] == formatting.energy_range(*report.energy_kwh[1:])
    assert digits[7] == formatting.emissions(report.emissions_kg.value)
    assert digits[9] == "0.900"
    assert found["rows"][5:7] == ["900 Wh", "\N{EN DASH} none"]
    kinds = [row for row in rows_of(page) if row[2] == "failing"]
    assert {row[3] for row in kinds} == {"failed", "completed"}
    assert "unknown" in {row[5] for row in kinds}


def test_a_click_opens_any_run(opened: Any, tmp_path: Path) -> None:
    several(tmp_path)
    page = opened()
    page.locator("#runs tbody tr", has_text="digits").locator("td").nth(4).click()
    page.wait_for_selector("#run-place .chart svg")
    said = page.locator("#run").inner_text()
    for words in (
        "Power over time",
        "Energy so far",
        "rapl.package",
        "Ember",
        "132 %",
        "beside the",
    ):
        assert words in said
    phases = page.locator("#run-place table").nth(0).inner_text()
    assert "train" in phases
    page.locator("#runs tbody tr", has_text="rows").locator("a").click()
    page.wait_for_function("document.querySelector('#run-place').innerText.includes('CSV file')")
    assert page.evaluate("document.activeElement.id") == "run-name"
    page.go_back()
    page.wait_for_function("document.querySelector('#run-place').innerText.includes('rapl')")


def test_missing_time_is_marked_in_red(opened: Any, tmp_path: Path) -> None:
    reports = two_hours(heartbeat_s=60)
    for i, report in enumerate(reports):
        end = report.window.end
        cpu = end.energies[0]._replace(missing_s=60.0 * min(max(i - 25, 0), 10))
        window = replace(report.window, end=replace(end, energies=(cpu, *end.energies[1:])))
        reports[i] = replace(report, window=window)
    journalled(tmp_path, *reports)
    page = opened()
    mark = page.locator("#run-place rect.missing[x]")
    assert mark.evaluate("mark => getComputedStyle(mark).fill") == "rgb(198, 40, 40)"
    assert "Red: not read, extrapolated" in page.locator("#run-place").inner_text()
    nodes = "[...document.querySelector('#run-place .chart .plot > svg').children]"
    last = page.evaluate(f"{nodes}.findIndex(one => one.classList.contains('missing'))")
    area = page.evaluate(f"{nodes}.findLastIndex(one => one.classList.contains('area'))")
    assert last > area


def test_bars_do_not_overlap_and_are_equally_wide(opened: Any, tmp_path: Path) -> None:
    for i, project in enumerate(("a", "b", "c")):
        kept(tmp_path, *[1.0 + i] * 4, project=project)
        for k in range(4):
            changed(
                tmp_path, f"{project}-{k}", started_at=f"2026-01-{1 + 7 * k + i:02}T10:00:00+00:00"
            )
    page = opened()
    boxes = page.locator("#by-time svg rect[height]").evaluate_all(
        "bars => bars.filter(bar => bar.closest('.plot')).map(bar => ['x', 'y', 'width', 'height']"
        ".map(name => Number(bar.getAttribute(name))))"
    )
    assert len(boxes) == 12
    assert len({width for _, _, width, _ in boxes}) == 1
    for i, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[:i]:
            beside = x + width <= other_x or other_x + other_width <= x
            above = y + height <= other_y + 0.5 or other_y + other_height <= y + 0.5
            assert beside or above


# --- the table --------------------------------------------------------------------------------------


def test_the_table_is_sorted_by_keyboard_and_says_so(opened: Any, tmp_path: Path) -> None:
    kept(tmp_path, 3.0, 1.0, 2.0)
    page = opened()
    page.get_by_role("button", name="Energy", exact=True).focus()
    page.keyboard.press("Enter")
    assert [row[5] for row in rows_of(page)] == ["4.50 kWh", "3.00 kWh", "1.50 kWh"]
    head = page.locator("#runs th", has_text=re.compile("^Energy"))
    assert head.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert [row[5] for row in rows_of(page)] == ["1.50 kWh", "3.00 kWh", "4.50 kWh"]
    assert page.locator("#runs th[aria-sort=ascending]").count() == 1
    names = page.locator("#runs thead th").all_inner_texts()
    assert len(set(names)) == len(names)


def test_the_table_is_filtered_and_adds_up_what_is_shown(opened: Any, tmp_path: Path) -> None:
    kept(tmp_path, *[1.0] * 30, project="small")
    kept(tmp_path, 4.0, project="large")
    page = opened()
    assert len(rows_of(page)) == 25
    page.get_by_role("button", name="Next").click()
    assert len(rows_of(page)) == 6
    page.get_by_label("Search").fill("large")
    assert [row[5] for row in rows_of(page)] == ["6.00 kWh"]
    assert "Sum: 6.00 kWh" in page.locator("#shown").inner_text()
    page.get_by_label("Search").fill("nothing like that")
    assert "No run matches" in page.locator("#shown").inner_text()
    page.get_by_label("Search").fill("")
    page.locator("#by-project").select_option("small")
    assert "of 30 rows" in page.locator("#shown").inner_text()


def test_parts_of_a_training_are_below_its_row(opened: Any, tmp_path: Path) -> None:
    several(tmp_path)
    page = opened()
    button = page.get_by_role("button", name="2 parts")
    before = len(rows_of(page))
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    assert len(rows_of(page)) == before + 2
    assert page.evaluate("document.activeElement.textContent") == "2 parts"
    page.locator("#runs tr.part a").first.click()
    page.wait_for_selector("#run-place :text('Parts of the training')")


def test_two_runs_are_compared(opened: Any, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0, project="other")
    journalled(tmp_path, *two_hours())
    page = opened()
    for i in range(3):
        page.locator("#runs tbody input").nth(i).check()
    assert page.locator("#runs tbody input:checked").count() == 2
    page.locator("#runs tbody input").nth(0).uncheck()
    page.evaluate("location.hash = '#compare=other-0,other-1'")
    page.wait_for_selector("#compare-place table")
    rows = page.locator("#compare-place tr").all_inner_texts()
    energy = next(row for row in rows if row.startswith("Energy"))
    assert "1.50 kWh" in energy
    assert "3.00 kWh" in energy
    assert energy.endswith("+100 %")


# --- what else it answers ---------------------------------------------------------------------------


def test_the_country_picker_gives_the_emissions_there(opened: Any, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    page = opened()
    page.locator("#country").select_option("POL")
    answer = page.locator("#countries-place .answer").inner_text()
    poland = tables.country("POL")
    assert poland is not None
    assert f"Poland: {formatting.emissions(1.5 * poland.g_per_kwh / 1000)}" in answer


def test_the_pareto_front_is_that_of_the_metric(opened: Any, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0, 3.0, 4.0)
    for i, accuracy in enumerate((0.7, 0.6, 0.9, 0.8)):
        changed(
            tmp_path,
            f"digits-{i}",
            logged_metrics={"val_accuracy": accuracy, "val_loss": 1 - accuracy},
        )
    page = opened()
    front = page.locator("#metric-place tbody tr")
    expected = [["0.700", "1.50 kWh"], ["0.900", "4.50 kWh"]]
    assert page.locator("#metric").input_value() == "val_accuracy"
    assert [text.split("\t")[2:] for text in front.all_inner_texts()] == expected
    page.locator("#metric").select_option("val_loss")
    assert page.locator("#less").is_checked()
    assert [text.split("\t")[3] for text in front.all_inner_texts()] == ["1.50 kWh", "4.50 kWh"]


def test_a_sentence_for_a_paper_has_the_figures(opened: Any, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    page = opened()
    said = page.locator("#sentence").inner_text()
    for words in (
        "1.50 kWh (95 % interval:",
        "A CPU",
        "rapl.package",
        "France, 50.0 g CO2e/kWh (Ember, 2025)",
    ):
        assert words in said
    page.locator("h3", has_text="Sentence").get_by_role("button").click()
    page.get_by_role("button", name="Copied").wait_for()


def test_a_sentence_about_several_runs_has_the_totals_of_the_overview(
    opened: Any, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0, 2.0, 4.0)
    changed(tmp_path, "digits-1", within=["digits-0"])
    evaluation = (Phase("evaluate", 7000.0, 1e6, 1),)
    journalled(tmp_path, replace(report_of("evaluation", kwh=8.0), phases=evaluation))
    page = opened()
    assert page.locator("h1").inner_text() == "digits"
    said = page.locator("#sentence").inner_text()
    assert said.startswith("The 3 runs consumed ")  # one is within another, one is an evaluation
    shown = page.locator("#overview dd").all_inner_texts()[:2]
    for figure, interval in (text.split("\n")[:2] for text in shown):
        assert f"{figure} (95 % interval: {interval.removeprefix('95 %: ')})" in said
    assert shown[0].split("\n")[1] in page.locator("#shown").inner_text()
    page.evaluate("location.hash = '#run=evaluation'")
    page.locator("#scope").select_option("run")
    assert page.locator("#sentence").inner_text().startswith("The evaluation of digits")


def test_the_rows_are_saved_as_csv_without_a_formula(opened: Any, tmp_path: Path) -> None:
    name = '=HYPERLINK(1), "quoted"'
    kept(tmp_path, 1.0)
    journalled(tmp_path, *two_hours("run-1", name, heartbeat_s=1800))
    page = opened()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    rows = list(
        csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8").splitlines())
    )
    found = {row["run_id"]: row for row in rows}
    assert found["run-1"]["project_name"] == "'" + name
    assert float(found["digits-0"]["energy_kwh"]) == pytest.approx(1.5)
    assert (
        float(found["digits-0"]["energy_low_kwh"])
        < 1.5
        < float(found["digits-0"]["energy_high_kwh"])
    )


def test_a_chart_is_saved_as_png(opened: Any, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours(heartbeat_s=60))
    page = opened()
    with page.expect_download() as download:
        page.get_by_role("button", name="Power over time").click()
    data = Path(download.value.path()).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") > 1000


# --- text of others ---------------------------------------------------------------------------------


def test_a_browser_shows_names_letter_by_letter(opened: Any, tmp_path: Path) -> None:
    name = """a "b" 'c' <i>d</i> & &lt;e"""
    for i in range(2):
        journalled(tmp_path, *two_hours(f"run-{i}", name, heartbeat_s=1800))
    changed(tmp_path, "run-0", logged_metrics={name: 1.0})
    page = opened()
    assert page.locator("h1").inner_text() == name
    assert rows_of(page)[0][2] == name
    assert page.locator("#run .meta").first.inner_text().startswith(name)
    assert page.locator("#metric").input_value() == name
    assert page.locator("main i").count() == 0


def test_the_page_itself_forbids_what_would_leave_it(opened: Any, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    page = opened()
    blocked = page.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'sent', error => String(error))"
    )
    policy = page.evaluate(
        "new Promise(done => { document.addEventListener('securitypolicyviolation',"
        " event => done(event.effectiveDirective)); fetch('http://127.0.0.1:9/').catch(() => 0); })"
    )
    assert "sent" not in blocked
    assert policy == "connect-src"


def test_a_browser_runs_no_other_script_and_the_page_leads_nowhere(
    browser: Any, command: Command, tmp_path: Path
) -> None:
    """Were a name ever not escaped, the browser would still not do what it says."""
    kept(tmp_path, 1.0, project="injected-here")
    evil = (
        "<script>window.evil = 1</script><img src=x onerror='window.evil = 2'>"
        "<base href='http://127.0.0.1:9/'><form action='http://127.0.0.1:9/'></form>"
    )
    path = tmp_path / "out.html"
    text = page_of(command, tmp_path)
    head, data = text.split('<script type="application/json"')
    path.write_text(
        f'{head.replace("injected-here", evil)}<script type="application/json"{data}', "utf-8"
    )
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn]")
    page.evaluate("document.forms[0].submit()")
    found = page.evaluate("[window.evil, document.baseURI]")
    page.close()
    assert found == [None, path.as_uri()]
    assert [url for url in asked if not url.startswith("file:")] == []
