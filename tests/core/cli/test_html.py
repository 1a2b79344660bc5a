"""`carbon-callbacks report --html`: what the page says, and that a browser can show it to anybody."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.cli.conftest import Command, kept
from core.outputs.conftest import report_of

from carbon_core import units
from carbon_core.formatting import formatted
from carbon_core.outputs import receipt
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.outputs.journal import Journal, journal_path
from carbon_core.records import Energy, HourEnergy, Snapshot, TraceData
from carbon_core.report import Report

pytest.importorskip("typer", reason="the extra report is not installed here")
pytest.importorskip("plotly", reason="the extra report is not installed here")
pytest.importorskip("jinja2", reason="the extra report is not installed here")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# Where the pictures of the page are kept; they are looked at by people, not compared.
PICTURES = os.environ.get("CARBON_PICTURES")


def two_hours(
    run_id: str = "run-1", project: str = "digits", heartbeat_s: int = 15
) -> list[Report]:
    """Return the reports of a run at each heartbeat: the GPU at 200 W, then at 100 W; PUE 1.5.

    An hour at 50 g/kWh, one at 100.
    """
    reports = []
    whole = report_of(run_id, project_name=project)
    for t_s in range(0, 7201, heartbeat_s):
        gpu_j = 200.0 * min(t_s, 3600) + 100.0 * max(0, t_s - 3600)
        energies = (Energy(50.0 * t_s), Energy(gpu_j), Energy(20.0 * t_s))
        end = Snapshot(units.nanoseconds(t_s), whole.window.end.devices, energies)
        hours = tuple(
            HourEnergy(start, joules, units.kwh(joules) * 1.5 * g_per_kwh)
            for start, joules, g_per_kwh in (
                ("2026-01-01T10:00Z", 270.0 * min(t_s, 3600), 50.0),
                ("2026-01-01T11:00Z", 170.0 * max(0, t_s - 3600), 100.0),
            )
            if joules
        )
        trace = TraceData(
            phases=((0.0, "setup"), (15.0, "train")) if t_s == 15 else (),
            windows=(("epoch", t_s - 1800.0, float(t_s)),) if t_s and t_s % 1800 == 0 else (),
        )
        if t_s == 7200:
            trace = trace._replace(phases=((6900.0, "validate"),))
        prices = tuple(
            share._replace(joules=hour.joules, grams=hour.grams)
            for share, hour in zip(whole.intensities, hours)
        )
        window = end - Snapshot(0)
        status = "running" if t_s < 7200 else "completed"
        reports.append(
            replace(
                whole, window=window, hours=hours, intensities=prices, trace=trace, status=status
            )
        )
    return reports


def journalled(directory: Path, *reports: Report, finished: bool = True) -> Path:
    """Put the journal of a run into a directory, and the receipt if it has finished."""
    path = journal_path(directory, reports[0].run.run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept_journal = Journal(path, reports[0])
    for report in reports:
        kept_journal.append(report)
    kept_journal.close()
    if finished:
        receipt.write(reports[-1], path.with_name(reports[0].run.run_id + receipt.SUFFIX))
    return path


def page_of(command: Command, tmp_path: Path, *words: str) -> str:
    done = command("report", *words, "--html", "out.html")
    assert done.returncode == 0, done.stderr
    return (tmp_path / "out.html").read_text(encoding="utf-8")


def figures(page: str) -> dict[str, dict[str, Any]]:
    """Return what is drawn, by the charts' titles."""
    script = '<script type="application/json">(.*?)</script>'
    pattern = rf'<h3>([^<]*)</h3>\s*<div class="plot"[^>]*>\s*{script}'
    found = re.findall(pattern, page, re.DOTALL)
    return {html.unescape(title): json.loads(text) for title, text in found}


def test_every_figure_of_the_page_has_its_interval(command: Command, tmp_path: Path) -> None:
    reports = two_hours()
    host = replace(reports[-1].host, idle_w={"cpu:package-0": 10.0})
    task = report_of("task", kwh=0.1)
    earlier = (report_of("earlier").segment,)
    last = replace(reports[-1], host=host, tasks=(("load", task),), earlier=earlier)
    journalled(tmp_path, *reports[:-1], last)
    text = text_of(page_of(command, tmp_path, "."))
    intervals = last.intervals
    assert intervals.net_kwh is not None
    figures = [
        *(intervals.component_kwh(name) for name in last.components),
        *map(intervals.phase_kwh, last.phases),
        intervals.net_kwh,
        intervals.training_kwh,
        intervals.training_kg.scaled(1000.0),
        task.energy_kwh,
    ]
    for one in figures:
        assert f"{formatted(one.low)} to {formatted(one.high)}" in text


def test_a_receipt_of_an_older_version_is_shown_without_them(
    command: Command, tmp_path: Path
) -> None:
    journalled(tmp_path, *two_hours())
    (path,) = (tmp_path / "carbon_runs").glob(f"*{receipt.SUFFIX}")
    data = json.loads(path.read_text())
    for row in (data, data["training"], *data["components"].values(), *data["phases"]):
        for key in [key for key in row if "_low_" in key or "_high_" in key]:
            del row[key]
    del data["energy_sd_kwh"], data["tasks"]
    data["earlier_starts"] = [{**OLD_SEGMENT, "run_id": "old"}]
    data["net_energy_kwh"] = 0.1
    path.write_text(json.dumps(data))
    assert "Above idle" in text_of(page_of(command, tmp_path, "."))


OLD_SEGMENT = {
    "started_at": "2026-01-01T00:00:00+00:00",
    "duration_s": 1.0,
    "energy_kwh": 1.0,
    "emissions_kg": 0.1,
}


def text_of(page: str) -> str:
    """Return what stands in the page outside of scripts."""
    bare = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare)))


# --- what it says ---------------------------------------------------------------------------------


def test_the_charts_hold_the_joules_of_the_journal(command: Command, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours())
    charts = figures(page_of(command, tmp_path))
    cpu, gpu, ram = charts["Power by device"]["data"][:3]
    assert (cpu["name"], gpu["name"], ram["name"]) == ("package-0", "A100", "64 GiB")
    assert gpu["x"][0] == 0
    assert gpu["x"][-1] == 120  # minutes
    # Times PUE, like every energy that is reported.
    assert set(cpu["y"]) == {75.0}
    assert gpu["y"][:300] == [300.0] * 300
    assert gpu["y"][300:] == [150.0] * 301
    low, high, energy = charts["Energy"]["data"]
    kwh = units.kwh((270 + 170) * 3600) * 1.5
    assert energy["y"][-1] == pytest.approx(kwh)
    assert low["y"][-1] < kwh < high["y"][-1]
    *_, emissions = charts["Emissions"]["data"]
    grams = units.kwh(270 * 3600) * 1.5 * 50 + units.kwh(170 * 3600) * 1.5 * 100
    assert emissions["y"][-1] == pytest.approx(grams)
    assert emissions["y"][300] == pytest.approx(units.kwh(270 * 3600) * 1.5 * 50)
    assert charts["Grid carbon intensity over time"]["data"][0]["y"] == pytest.approx(
        [50, 100, 100]
    )


def test_phases_are_shaded_and_epochs_numbered(command: Command, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours())
    power = figures(page_of(command, tmp_path))["Power by device"]
    shaded = [shape for shape in power["layout"]["shapes"] if shape["type"] == "rect"]
    assert [(shape["x0"], shape["x1"]) for shape in shaded] == [(0, 0.25), (0.25, 115), (115, 120)]
    names = [trace["name"] for trace in power["data"][3:]]
    assert names == ["setup", "train", "validate"]
    numbers = {note["text"]: note["x"] for note in power["layout"]["annotations"]}
    assert numbers == {"1": 30, "2": 60, "3": 90, "4": 120}


@pytest.mark.slow
def test_time_that_was_not_metered_is_marked_at_the_foot(command: Command, tmp_path: Path) -> None:
    reports = two_hours()
    for i, report in enumerate(reports):
        end = report.window.end
        cpu = end.energies[0]._replace(missing_s=15.0 * min(max(i - 100, 0), 40))
        energies = (cpu, *end.energies[1:])
        reports[i] = replace(
            report, window=replace(report.window, end=replace(end, energies=energies))
        )
    journalled(tmp_path, *reports)
    page = page_of(command, tmp_path)
    shapes = figures(page)["Power by device"]["layout"]["shapes"]
    assert [(one["x0"], one["x1"]) for one in shapes if one["y1"] < 1] == [(25, 35)]
    assert "Red: missing data, extrapolated." in text_of(page)
    journalled(tmp_path / "whole", *two_hours())
    assert "Red: missing data, extrapolated." not in text_of(page_of(command, tmp_path, "whole"))


def test_the_same_joules_elsewhere_and_at_other_hours(command: Command, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours())
    page = page_of(command, tmp_path)
    charts = figures(page)
    (bars,) = charts["Emissions in other countries"]["data"]
    kwh = units.kwh((270 + 170) * 3600) * 1.5
    assert bars["y"] == sorted(bars["y"])
    assert len(bars["y"]) > 190
    assert len(bars["text"]) == len(set(bars["text"]))
    table = re.search(r"<th scope=\"row\">Poland</th><td>POL</td>(.*?)</tr>", page)
    intensity, grams = re.findall(r'<td class="n">([\d.,e+-]+)</td>', table[1])
    assert float(grams) == pytest.approx(float(intensity) * kwh, rel=0.01)
    assert bars["y"][bars["text"].index("Poland")] == pytest.approx(float(grams), rel=0.01)
    (hours,) = charts["Emissions at other hours"]["data"]
    assert (hours["x"], hours["y"]) == (["10:00", "11:00"], pytest.approx([kwh * 50, kwh * 100]))


def test_methods_sources_and_what_is_not_metered_are_told(command: Command, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours())
    said = text_of(page_of(command, tmp_path))
    for word in ("rapl", "nvml", "Ember", "EM", "Power supply losses", "no zone", "grades:"):
        assert word in said


def test_many_runs_are_compared_with_their_intervals(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, *[1.0] * 30, project="small")
    kept(tmp_path, 40.0, project="large")
    page = page_of(command, tmp_path)
    charts = figures(page)
    (by_day,) = (chart for title, chart in charts.items() if title.startswith("Energy by"))
    energies = {trace["name"]: sum(trace["y"]) for trace in by_day["data"]}
    assert energies == pytest.approx({"large": 60.0, "small": 45.0})
    latest = charts["Recent runs (20 of 31)"]["data"]
    assert sum(len(trace["y"]) for trace in latest) == 20
    for trace in latest:
        assert all(length > 0 for length in trace["error_y"]["array"])
    assert "31 runs of 2 projects" in text_of(page)


def test_a_run_that_was_killed_is_drawn_up_to_its_last_whole_line(
    command: Command, tmp_path: Path
) -> None:
    path = journalled(tmp_path, *two_hours()[:100], finished=False)
    path.write_bytes(path.read_bytes()[:-100])
    page = page_of(command, tmp_path)
    assert "interrupted" in text_of(page)
    power = figures(page)["Power by device"]["data"][1]
    assert power["x"][-1] == pytest.approx(98 * 15 / 60)
    assert set(power["y"]) == {300.0}


def test_without_a_journal_the_figures_are_there_and_no_charts_of_time(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    page = page_of(command, tmp_path)
    assert "this run has no journal" in text_of(page)
    assert set(figures(page)) == {"Emissions in other countries"}


def test_a_receipt_without_intensities_is_drawn(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    path = tmp_path / "carbon_runs" / f"digits-1{receipt.SUFFIX}"
    data = json.loads(path.read_text())
    data["run"]["started_at"] = "2026-02-01T10:00:00+00:00"
    path.write_text(json.dumps({**data, "intensities": []}))
    said = text_of(page_of(command, tmp_path))
    assert "2 runs of 1 project" in said
    assert "run digits-1" in said


def test_a_run_of_unknown_energy_is_shown_as_unknown(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    path = tmp_path / "carbon_runs" / f"digits-1{receipt.SUFFIX}"
    data = json.loads(path.read_text())
    data["run"]["started_at"] = "2026-02-01T10:00:00+00:00"
    path.write_text(json.dumps({**data, "is_known": False}))
    said = text_of(page_of(command, tmp_path))
    assert "2 runs of 1 project; 1 has an unknown energy (not in the totals)" in said
    assert "Energy unknown no meter gave a reading" in said
    assert "2026-02-01 10:00:00 digits completed 2.0 h unknown unknown" in said
    path = tmp_path / "carbon_runs" / f"digits-0{receipt.SUFFIX}"
    path.write_text(json.dumps({**json.loads(path.read_text()), "is_known": False}))
    said = text_of(page_of(command, tmp_path))
    assert "Energy of all runs unknown no meter gave a reading" in said
    assert "digits 2 4.0 h unknown unknown" in said


@pytest.mark.slow
def test_a_receipt_alone_is_the_run_that_is_drawn(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    journalled(tmp_path, *two_hours(heartbeat_s=1800))
    page = page_of(command, tmp_path, f"carbon_runs/digits-0{receipt.SUFFIX}")
    assert "run digits-0" in text_of(page)
    page = page_of(command, tmp_path, f"carbon_runs/run-1{receipt.SUFFIX}")
    assert "Power by device" in figures(page)


def test_rows_alone_make_a_page_too(command: Command, tmp_path: Path) -> None:
    rows = CsvFile(tmp_path / "emissions.csv", tmp_path / "lock")
    for i in range(3):
        rows.append(emissions_data(report_of(f"run-{i}", kwh=1.0)))
    page = page_of(command, tmp_path)
    assert "3 runs of 1 project; 3 lack uncertainty" in text_of(page)
    assert "Recent runs (3)" in figures(page)


def test_the_policy_names_the_scripts_of_the_page(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    page = page_of(command, tmp_path)
    policy = re.search(r'Content-Security-Policy"\s+content="([^"]*)"', page)[1]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert directives == {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{one}'" for one in hashes),
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_names_are_shown_letter_by_letter(command: Command, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><b>&amp;"
    for i in range(2):
        journalled(tmp_path, *two_hours(f"run-{i}", evil, heartbeat_s=1800))
    page = page_of(command, tmp_path)
    assert "alert(1)</script>" not in page.replace(plotly_js(), "")
    assert evil in text_of(page)
    (trace,) = figures(page)["Recent runs (2)"]["data"]
    assert html.unescape(trace["name"]) == evil
    assert "<" not in trace["name"]


def plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@pytest.mark.slow
def test_a_week_of_readings_is_drawn_in_a_few_hundred_steps(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    reports = two_hours()
    last = reports[-1].window.end
    week = [
        replace(
            reports[-1],
            window=replace(last, t_ns=units.nanoseconds(t_s)) - Snapshot(0),
            trace=TraceData(windows=(("epoch", t_s - 15.0, float(t_s)),)),
        )
        for t_s in range(7200, 7 * 24 * 3600 + 1, 15)
    ]
    journalled(tmp_path, *reports[:-1], *week)
    page = page_of(command, tmp_path)
    assert len(page) - len(plotly_js()) < 400_000
    assert len(figures(page)["Power by device"]["layout"]["annotations"]) <= 26


def test_where_it_cannot_be_written_is_said(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    done = command("report", "--html", "absent/out.html")
    assert done.returncode == 2
    assert "cannot write absent/out.html" in done.stderr


def test_without_the_extra_what_to_install_is_said(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "plotly.py").write_text("raise ImportError('none', name='plotly')")
    done = command(
        "report", "--html", "out.html", PYTHONPATH=os.pathsep.join([str(blocked), *sys.path])
    )
    assert done.returncode == 1
    assert "pip install 'carbon-callbacks[report]'" in done.stderr


# --- what a browser makes of it -------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed here")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_a_browser_shows_it_without_a_request_and_everybody_can_read_it(
    scheme: str, width: int, browser: Any, command: Command, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    journalled(tmp_path, *two_hours())
    kept(tmp_path, 0.2, 0.3, 0.5, project="earlier")
    page_of(command, tmp_path, ".", "--latest", "10")
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    address = (tmp_path / "out.html").as_uri()
    page.goto(address)
    page.wait_for_selector("html[data-drawn]")
    drawn = page.locator(".plot svg.main-svg").count()
    picture = page.screenshot(full_page=True)
    found = axe.run(page).response["violations"]
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    page.close()
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        (Path(PICTURES) / f"report-{scheme}-{width}.png").write_bytes(picture)
    assert said == []
    assert asked == [address]
    assert drawn >= 8
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    assert overflow <= 0


@pytest.mark.slow
def test_the_charts_follow_the_theme_when_it_changes(
    browser: Any, command: Command, tmp_path: Path
) -> None:
    journalled(tmp_path, *two_hours())
    page_of(command, tmp_path)
    page = browser.new_page(color_scheme="light")
    page.goto((tmp_path / "out.html").as_uri())
    page.wait_for_selector("html[data-drawn]")
    colour = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    assert page.evaluate(colour) == "rgb(28, 33, 38)"
    page.emulate_media(color_scheme="dark")
    for _ in range(100):  # it is drawn anew when the browser comes to it
        if page.evaluate(colour) == "rgb(232, 236, 239)":
            break
        page.wait_for_timeout(50)
    assert page.evaluate(colour) == "rgb(232, 236, 239)"
    page.close()


@pytest.mark.slow
def test_a_browser_shows_names_letter_by_letter(
    browser: Any, command: Command, tmp_path: Path
) -> None:
    name = """a "b" 'c' <i>d</i> & &lt;e"""
    for i in range(2):
        journalled(tmp_path, *two_hours(f"run-{i}", name, heartbeat_s=1800))
    page_of(command, tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "out.html").as_uri())
    page.wait_for_selector("html[data-drawn]")
    heading = page.locator("#run").inner_text()
    legends = page.locator(".legendtext").all_text_contents()
    page.close()
    assert heading == f"Latest run: {name}"
    assert name in legends


@pytest.mark.slow
def test_the_page_itself_forbids_what_would_leave_it(
    browser: Any, command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    page_of(command, tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "out.html").as_uri())
    blocked = page.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'sent', error => String(error))"
    )
    policy = page.evaluate(
        "new Promise(done => { document.addEventListener('securitypolicyviolation',"
        " event => done(event.effectiveDirective)); fetch('http://127.0.0.1:9/').catch(() => 0); })"
    )
    page.close()
    assert "sent" not in blocked
    assert policy == "connect-src"


@pytest.mark.slow
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
    path.write_text(page_of(command, tmp_path).replace("injected-here", evil), encoding="utf-8")
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
