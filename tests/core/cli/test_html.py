"""`carbon-callbacks report --html`: what the page holds; test_html_browser has what a browser shows."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.cli.conftest import Command, kept
from core.cli.html_pages import (
    changed,
    data_of,
    journalled,
    page_of,
    runs_of,
    text_of,
    two_hours,
)
from core.outputs.conftest import report_of

from carbon_core import formatting, units
from carbon_core.outputs import receipt
from carbon_core.outputs.csv_file import CsvFile
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.records import Snapshot, TraceData
from carbon_core.trials import StudyFacts, TrialResult

pytest.importorskip("typer", reason="the extra report is not installed here")
pytest.importorskip("jinja2", reason="the extra report is not installed here")

KWH = units.kwh((270 + 170) * 3600) * 1.5
OLD_SEGMENT = {
    "started_at": "2026-01-01T00:00:00+00:00",
    "duration_s": 1.0,
    "energy_kwh": 1.0,
    "emissions_kg": 0.1,
}


def named(page: str, run: dict[str, Any], kind: str) -> dict[str, list[Any]]:
    """Return the rows of a kind in a run's details by their name."""
    words = data_of(page)["words"]
    return {words[name]: row for name, *row in run["detail"][kind]}


def sums(by_time: dict[str, Any]) -> list[float]:
    """Return the energy of each period."""
    return [sum(kwh) for kwh in zip(*(row for _, row in by_time["series"]))]


# --- one run ----------------------------------------------------------------------------------------


def test_every_figure_of_the_page_has_its_interval(command: Command, tmp_path: Path) -> None:
    reports = two_hours()
    host = replace(reports[-1].host, idle_w={"cpu:package-0": 10.0})
    task = report_of("task", kwh=0.1)
    earlier = (report_of("earlier").segment,)
    last = replace(reports[-1], host=host, tasks=(("load", task),), earlier=earlier)
    journalled(tmp_path, *reports[:-1], last)
    page = page_of(command, tmp_path, ".")
    (training,) = runs_of(page)
    _, run = training["parts"]
    intervals = last.intervals
    assert intervals.net_kwh is not None
    assert run["kwh"] == pytest.approx(last.energy_kwh, rel=1e-4)
    assert training["kwh"] == pytest.approx(intervals.training_kwh, rel=1e-4)
    assert training["kg"] == pytest.approx(intervals.training_kg, rel=1e-4)
    assert run["detail"]["net"] == pytest.approx(intervals.net_kwh, rel=1e-4)
    components = named(page, run, "components")
    for name in last.components:
        assert components[name] == pytest.approx(intervals.component_kwh(name), rel=1e-4)
    for phase in last.phases:
        found = named(page, run, "phases")[phase.name][2:]
        assert found == pytest.approx(intervals.phase_kwh(phase), rel=1e-4)
    assert named(page, run, "tasks")["load"][1:] == pytest.approx(task.energy_kwh, rel=1e-4)


def test_a_receipt_of_an_older_version_is_shown_without_them(
    command: Command, tmp_path: Path
) -> None:
    journalled(tmp_path, *two_hours())
    (path,) = (tmp_path / "carbon_runs").glob(f"*{receipt.SUFFIX}")
    data = json.loads(path.read_text())
    for row in (data, data["training"], *data["components"].values(), *data["phases"]):
        for key in [key for key in row if "_low_" in key or "_high_" in key]:
            del row[key]
    del data["energy_sd_kwh"], data["tasks"], data["logged_metrics"]
    data["earlier_starts"] = [{**OLD_SEGMENT, "run_id": "old"}]
    data["net_energy_kwh"] = 0.1
    path.write_text(json.dumps(data))
    page = page_of(command, tmp_path, ".")
    (training,) = runs_of(page)
    missing, run = training["parts"]
    assert (missing["status"], missing["kwh"]) == ("missing", [1])
    assert run["detail"]["net"] == [0.1]
    assert all(len(row) == 1 for row in named(page, run, "components").values())


def test_a_study_has_a_row_with_its_waste_and_its_front(command: Command, tmp_path: Path) -> None:
    trials = tuple(
        TrialResult(name, "2026-01-01T10:00:00+00:00", status, value, {}, 60.0, kwh, kwh, kwh)
        for name, status, value, kwh in (
            ("0", "completed", 0.9, 0.2), ("1", "completed", 0.8, 0.1), ("<i>", "failed", None, 0.15),
        )
    )  # fmt: skip
    study = StudyFacts("l|r<b>", has_trials=True, direction="maximize")
    one = replace(two_hours(study=study)[-1], trials=trials)
    journalled(tmp_path, one)
    page = page_of(command, tmp_path)
    section = page.partition('<section id="studies"')[2].partition("</section>")[0]
    assert '<th scope="row">l|r&lt;b&gt;</th>' in section
    assert "<td>2 completed, 1 failed</td>" in section
    assert f"<td>{formatting.energy(0.15)} (" in section
    assert "Pareto front of l|r&lt;b&gt; (metric, energy): 1 (0.800, " in section
    assert '<a href="#studies">Studies</a>' in page


def test_a_page_without_studies_has_no_section_for_them(command: Command, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours())
    assert "studies" not in page_of(command, tmp_path).partition("<script")[0].lower()


def test_the_timeline_holds_the_joules_of_the_journal(command: Command, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours())
    (run,) = runs_of(page_of(command, tmp_path))
    cpu, gpu, ram = run["timeline"]["watts"]
    assert run["timeline"]["step_s"] * len(gpu) == pytest.approx(7200)
    # Times PUE, like every energy that is reported.
    assert (set(cpu), set(ram)) == ({75}, {30})
    assert gpu == [300] * (len(gpu) // 2) + [150] * (len(gpu) // 2)
    joules = sum(map(sum, run["timeline"]["watts"])) * run["timeline"]["step_s"]
    assert units.kwh(joules) == pytest.approx(KWH)
    assert run["timeline"]["grid"] == [[0, 50], [3600, 100]]


def test_the_timeline_of_a_short_run_is_as_long_as_the_run(
    command: Command, tmp_path: Path
) -> None:
    whole = report_of("short", kwh=1e-6)
    end = replace(whole.window.end, t_ns=units.nanoseconds(0.1))
    journalled(tmp_path, replace(whole, window=replace(whole.window, end=end)))
    (run,) = runs_of(page_of(command, tmp_path, "."))
    watts, step_s = run["timeline"]["watts"], run["timeline"]["step_s"]
    assert len(watts[0]) * step_s == pytest.approx(0.1)
    assert sum(map(sum, watts)) * step_s / 3.6e6 == pytest.approx(run["kwh"][0], rel=1e-3)


def test_phases_and_epochs_are_in_the_timeline(command: Command, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours())
    page = page_of(command, tmp_path)
    words, timeline = data_of(page)["words"], runs_of(page)[0]["timeline"]
    phases = [(words[name], begin, end) for name, begin, end in timeline["phases"]]
    assert phases == [("setup", 0, 15), ("train", 15, 6900), ("validate", 6900, 7200)]
    windows = [(words[name], end) for name, _, end in timeline["windows"]]
    assert windows == [("epoch", end) for end in (1800, 3600, 5400, 7200)]


@pytest.mark.slow
def test_time_that_was_not_metered_is_in_the_timeline(command: Command, tmp_path: Path) -> None:
    reports = two_hours()
    for i, report in enumerate(reports):
        end = report.window.end
        cpu = end.energies[0]._replace(missing_s=15.0 * min(max(i - 100, 0), 40))
        energies = (cpu, *end.energies[1:])
        reports[i] = replace(
            report, window=replace(report.window, end=replace(end, energies=energies))
        )
    journalled(tmp_path, *reports)
    (run,) = runs_of(page_of(command, tmp_path))
    assert run["timeline"]["missing"] == [[1500, 2100]]


def test_a_run_that_was_killed_is_drawn_up_to_its_last_whole_line(
    command: Command, tmp_path: Path
) -> None:
    path = journalled(tmp_path, *two_hours()[:100], finished=False)
    path.write_bytes(path.read_bytes()[:-100])
    (run,) = runs_of(page_of(command, tmp_path))
    assert run["status"] == "interrupted"
    gpu = run["timeline"]["watts"][1]
    assert run["timeline"]["step_s"] * len(gpu) == pytest.approx(98 * 15)
    assert set(gpu) == {300}


def test_methods_sources_and_what_is_not_metered_are_told(command: Command, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours())
    data = data_of(page_of(command, tmp_path))
    assert [row[:4] for row in data["devices"]] == [
        ["package-0", "cpu", "rapl.package", "A"],
        ["A100", "gpu", "nvml.power", "B"],
        ["64 GiB", "ram", "ram.model", "E"],
    ]
    assert [row[4] for row in data["grids"]] == ["Ember", "EM"]
    assert data["refusals"] == [["cpu", "rapl", "no zone", "none"]]
    assert "not metered" in data["words"][data["details"][0]["not_metered"]]


def test_without_a_journal_the_figures_are_there_and_no_timeline(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    (run,) = runs_of(page_of(command, tmp_path))
    assert run["timeline"] is None
    assert run["kwh"][0] == pytest.approx(1.5)


def test_a_receipt_without_intensities_is_shown(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    changed(tmp_path, "digits-1", intensities=[])
    assert {run["id"] for run in runs_of(page_of(command, tmp_path))} == {"digits-0", "digits-1"}


@pytest.mark.parametrize("budget", ["budget_kwh", "budget_kg_co2e"])
def test_a_budget_of_the_settings_is_in_the_details(
    budget: str, command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    changed(tmp_path, "digits-0", settings={budget: "2.5"})
    (run,) = runs_of(page_of(command, tmp_path))
    assert [one for one in run["detail"]["budgets"] if one] == [2.5]


def test_the_energy_of_the_whole_machine_is_beside_that_of_the_components(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    node = {"node_energy_kwh": 2.0, "node_energy_low_kwh": 1.8, "node_energy_high_kwh": 2.4}
    changed(tmp_path, "digits-0", **node)
    (run,) = runs_of(page_of(command, tmp_path))
    assert run["detail"]["node"] == [2, 1.8, 2.4]
    assert run["kwh"][0] == pytest.approx(1.5)


# --- many runs --------------------------------------------------------------------------------------


def test_totals_have_a_plain_scale_and_their_interval(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, *[2000.0] * 6)
    said = text_of(page_of(command, tmp_path))
    total = report_of(kwh=2000.0)
    ends = [6 * end for end in total.energy_kwh[1:]]
    assert f"Energy 18.0 MWh 95 %: {formatting.energy_range(*ends)}" in said
    kg = [6 * end for end in total.emissions_kg]
    assert f"Emissions {formatting.emissions(kg[0])} 95 %: " in said
    assert formatting.emissions_range(*kg[1:]) in said
    assert re.search(r"gCO2e|\de[+-]\d", said) is None


def test_rows_of_a_csv_file_have_no_interval(command: Command, tmp_path: Path) -> None:
    rows = CsvFile(tmp_path / "emissions.csv", tmp_path / "lock")
    for i in range(3):
        rows.append(emissions_data(report_of(f"run-{i}", kwh=1.0)))
    page = page_of(command, tmp_path)
    said = text_of(page)
    assert "3 runs of 1 project" in said
    assert "no interval in these files" in said
    assert "95 %: 4" not in said
    assert [run["kwh"] for run in runs_of(page)] == [[1.5]] * 3
    assert [run["detail"] for run in runs_of(page)] == [None] * 3
    kept(tmp_path, 1.0, project="other")
    said = text_of(page_of(command, tmp_path))
    assert "3 lack uncertainty (counted as exact)" in said
    assert "digits 3 6 h 4.50 kWh" in said
    assert said.count("no interval") == 1  # of the rows' project; the total has one


def test_many_runs_are_in_one_table_and_add_up(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, *[1.0] * 30, project="small")
    kept(tmp_path, 40.0, project="large")
    page = page_of(command, tmp_path)
    data, runs = data_of(page), runs_of(page)
    assert len(runs) == 31
    assert data["projects"] == ["large", "small"]
    energies = {data["projects"][i]: sum(kwh) for i, kwh in data["by_time"]["series"]}
    assert energies == pytest.approx({"large": 60.0, "small": 45.0})
    assert all(run["kwh"][1] < run["kwh"][0] < run["kwh"][2] for run in runs)
    assert "31 runs of 2 projects" in text_of(page)
    assert len(runs_of(page_of(command, tmp_path, ".", "--latest", "10"))) == 10


@pytest.mark.parametrize("count", [3, 9, 12, 15])
def test_each_project_has_its_colour_and_the_same_place_everywhere(
    count: int, command: Command, tmp_path: Path
) -> None:
    for i in range(count):
        kept(tmp_path, 1.0 + i, project=f"project-{i}")
    page = page_of(command, tmp_path)
    data = data_of(page)
    order = [f"project-{i}" for i in reversed(range(count))]
    assert data["projects"] == order
    table = re.findall(r'class="c(\d+)"/></svg>([^<]*)</th>', page)
    assert [name for _, name in table] == order
    assert [int(colour) for colour, _ in table] == data["colours"]
    series = [index for index, _ in data["by_time"]["series"]]
    assert series == sorted(set(data["colours"]))
    assert len(series) == min(count, 12)
    assert (data["others"] is not None) == (count > 12)


SPANS = {
    "day": ("2026-01-01", "2026-03-01", 60),
    "week": ("2026-01-01", "2026-03-02", 10),
    "month": ("2025-01-31", "2026-11-01", 23),
    "year": ("2019-12-31", "2026-01-01", 8),
}


@pytest.mark.parametrize("unit", SPANS)
def test_bars_are_of_equal_periods_in_order_without_a_gap(
    unit: str, command: Command, tmp_path: Path
) -> None:
    first, last, count = SPANS[unit]
    kept(tmp_path, 1.0, 2.0, 4.0)
    changed(tmp_path, "digits-0", started_at=f"{last}T10:00:00+00:00")
    changed(tmp_path, "digits-1", started_at=f"{first}T10:00:00+00:00")
    changed(tmp_path, "digits-2", started_at=f"{first}T20:00:00+00:00")
    by_time = data_of(page_of(command, tmp_path))["by_time"]
    assert by_time["unit"] == unit
    assert by_time["starts"] == sorted(set(by_time["starts"]))
    assert len(by_time["starts"]) == count
    assert sums(by_time) == pytest.approx([9.0, *[0.0] * (count - 2), 1.5])


def test_of_more_years_than_bars_the_latest_are_shown(command: Command, tmp_path: Path) -> None:
    head = "timestamp,project_name,duration,energy_consumed,emissions\n"
    rows = "".join(f"{year}-01-01T00:00:00,p,1,3,1\n" for year in ("0001", "1960", "2026"))
    (tmp_path / "emissions.csv").write_text(head + rows)
    by_time = data_of(page_of(command, tmp_path))["by_time"]
    assert (by_time["unit"], len(by_time["starts"])) == ("year", 60)
    assert sums(by_time)[-1] == pytest.approx(3.0)


def test_rows_without_a_valid_date_have_no_bar(command: Command, tmp_path: Path) -> None:
    head = "timestamp,project_name,duration,energy_consumed,emissions\n"
    rows = "".join(f"{time},p,1,1,1\n" for time in ("", "nonsense", "2026-02-30T00:00:00"))
    (tmp_path / "emissions.csv").write_text(head + rows)
    page = page_of(command, tmp_path)
    assert data_of(page)["by_time"] is None
    assert len(runs_of(page)) == 3


def test_a_resumed_training_is_one_row_with_its_parts(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0, 4.0, 8.0)
    for i, time in enumerate(("10", "13", "16", "19")):
        changed(tmp_path, f"digits-{i}", started_at=f"2026-01-01T{time}:00:00+00:00")
    segments = [
        {**OLD_SEGMENT, "run_id": run_id, "energy_kwh": kwh}
        for run_id, kwh in (("digits-0", 0.1), ("digits-1", 3.0), ("lost", 0.5))
    ]
    changed(tmp_path, "digits-1", earlier_starts=segments[:1])
    changed(tmp_path, "digits-3", earlier_starts=segments)
    training, single = runs_of(page_of(command, tmp_path))
    assert (training["id"], single["id"]) == ("digits-3", "digits-2")
    assert [part["id"] for part in training["parts"]] == [
        "lost",
        "digits-0",
        "digits-1",
        "digits-3",
    ]
    assert training["time"] == "2026-01-01T00:00:00Z"
    assert training["kwh"][0] == pytest.approx(0.5 + 1.5 + 3.0 + 12.0)
    assert training["kwh"][1] < training["kwh"][0] < training["kwh"][2]
    assert training["duration_s"] == pytest.approx(3 * 7200 + 1)
    assert [bool(part["detail"]) for part in training["parts"]] == [False, True, True, True]
    assert single["parts"] == []


def test_parts_of_a_training_add_up_where_a_checkpoint_is_later_than_a_file(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0, 2.0)
    changed(tmp_path, "digits-0", status="interrupted")
    changed(tmp_path, "digits-1", earlier_starts=[
        {**OLD_SEGMENT, "run_id": "digits-0", "duration_s": 7300.0, "energy_kwh": 5.0}
    ])  # fmt: skip
    (training,) = runs_of(page_of(command, tmp_path))
    by_id = {part["id"]: part for part in training["parts"]}
    assert (by_id["digits-0"]["duration_s"], by_id["digits-0"]["kwh"][0]) == (7300, 5)
    assert training["kwh"][0] == pytest.approx(sum(part["kwh"][0] for part in by_id.values()))


def test_ranks_of_a_training_are_its_parts_and_run_at_the_same_time(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0, 2.0)
    other = {**OLD_SEGMENT, "run_id": "digits-1"}
    changed(tmp_path, "digits-0", other_ranks=[other])
    changed(tmp_path, "digits-1", rank=1)
    (training,) = runs_of(page_of(command, tmp_path))
    assert training["duration_s"] == pytest.approx(7200)
    assert training["kwh"][0] == pytest.approx(4.5)


def test_runs_of_unknown_energy_are_shown_as_unknown(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    changed(tmp_path, "digits-1", is_known=False)
    page = page_of(command, tmp_path)
    assert "1 has an unknown energy (not in the totals)" in text_of(page)
    found = {run["id"]: run["kwh"] for run in runs_of(page)}
    assert found["digits-1"] is None
    assert found["digits-0"][0] == pytest.approx(1.5)
    changed(tmp_path, "digits-0", is_known=False)
    said = text_of(page_of(command, tmp_path))
    assert "Energy unknown no meter gave a reading" in said
    assert "digits 2 4 h unknown unknown" in said


def test_a_run_within_another_is_listed_and_counted_once(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 2.0, 1.0)
    changed(tmp_path, "digits-1", within=["digits-0"])
    page = page_of(command, tmp_path)
    assert {run["id"]: run["counted"] for run in runs_of(page)} == {"digits-0": 1, "digits-1": 0}
    said = text_of(page)
    assert "1 run within others is counted there only" in said
    assert "Energy 3.00 kWh" in said


def test_logged_metrics_are_with_their_runs(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    page = page_of(command, tmp_path)
    assert "No run has a logged metric" in text_of(page)
    changed(tmp_path, "digits-1", logged_metrics={"val_accuracy": 0.91})
    page = page_of(command, tmp_path)
    words = data_of(page)["words"]
    found = {
        run["id"]: {words[int(i)]: x for i, x in run["detail"].get("metrics", {}).items()}
        for run in runs_of(page)
    }
    assert found == {"digits-0": {}, "digits-1": {"val_accuracy": 0.91}}
    assert "No run has a logged metric" not in text_of(page)


# --- where, when and how it would be better ---------------------------------------------------------


def test_countries_are_those_of_the_tables_cleanest_first(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    rows = data_of(page_of(command, tmp_path))["countries"]["rows"]
    intensities = [row[2] for row in rows]
    assert intensities == sorted(intensities)
    assert len({row[0] for row in rows}) == len({row[1] for row in rows}) == len(rows) > 190
    assert {"FRA", "POL", "USA"} < {row[0] for row in rows}


def test_best_hours_are_the_means_of_live_data(command: Command, tmp_path: Path) -> None:
    journalled(tmp_path, *two_hours())
    (hours,) = data_of(page_of(command, tmp_path))["hours"]
    assert hours == {"place": "FR", "hours": [[10, 50], [11, 100]], "count": 2}


def test_without_live_data_no_hour_is_better(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    path = tmp_path / "carbon_runs" / f"digits-0{receipt.SUFFIX}"
    data = json.loads(path.read_text())
    changed(tmp_path, "digits-0", intensities=data["intensities"][:1])
    assert data_of(page_of(command, tmp_path))["hours"] == []


def test_remedies_of_refused_meters_are_advice(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    refusal = {
        "meter": "rapl", "component": "cpu", "reason": "not readable", "remedy": "chmod a+r energy_uj",
    }  # fmt: skip
    changed(tmp_path, "digits-0", refused_meters=[refusal])
    changed(tmp_path, "digits-1", refused_meters=[refusal])
    said = text_of(page_of(command, tmp_path))
    assert "Chmod a+r energy_uj cpu · rapl: not readable · 2 runs" in said
    assert "Set a token of a live source" in said


def test_without_a_run_the_page_says_how_to_get_one(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = command("report", "empty", "--html", "out.html")
    assert done.returncode == 0
    assert "no run found in empty" in done.stderr
    said = text_of((tmp_path / "out.html").read_text())
    for words in ("No runs yet", "EmissionsCallback()", "carbon-callbacks run --", "empty"):
        assert words in said


# --- the file ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_receipt_alone_makes_a_page(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 2.0)
    journalled(tmp_path, *two_hours(heartbeat_s=1800))
    (run,) = runs_of(page_of(command, tmp_path, f"carbon_runs/digits-0{receipt.SUFFIX}"))
    assert run["id"] == "digits-0"
    (run,) = runs_of(page_of(command, tmp_path, f"carbon_runs/run-1{receipt.SUFFIX}"))
    assert run["timeline"] is not None


def test_the_policy_names_the_scripts_and_the_style_of_the_page(
    command: Command, tmp_path: Path
) -> None:
    kept(tmp_path, 1.0)
    page = page_of(command, tmp_path)
    policy = re.search(r'Content-Security-Policy"\s+content="([^"]*)"', page)[1]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))

    def hashes(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [hashlib.sha256(one.encode()).digest() for one in found]
        return " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in digests)

    assert directives == {
        "default-src": "'none'",
        "script-src": hashes("script"),
        "style-src": hashes("style"),
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert (
        re.search(r"\sstyle=|\son[a-z]+=|innerHTML|insertAdjacent|document\.write|eval\(", page)
        is None
    )


def test_names_are_shown_letter_by_letter(command: Command, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><b>&amp;<!--"
    for i in range(2):
        journalled(tmp_path, *two_hours(f"run-{i}", evil, heartbeat_s=1800))
    changed(tmp_path, "run-1", logged_metrics={evil: 1.0})
    page = page_of(command, tmp_path)
    assert "alert(1)</script>" not in page
    assert "<!--" not in page
    assert evil in text_of(page)
    assert data_of(page)["projects"] == [evil]
    assert evil in data_of(page)["words"]


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
    assert len(page) < 250_000
    assert all(len(watts) <= 480 for watts in runs_of(page)[0]["timeline"]["watts"])


def test_where_it_cannot_be_written_is_said(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    done = command("report", "--html", "absent/out.html")
    assert done.returncode == 2
    assert "cannot write absent/out.html" in done.stderr


def test_without_the_extra_what_to_install_is_said(command: Command, tmp_path: Path) -> None:
    kept(tmp_path, 1.0)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "jinja2.py").write_text("raise ImportError('none', name='jinja2')")
    done = command(
        "report", "--html", "out.html", PYTHONPATH=os.pathsep.join([str(blocked), *sys.path])
    )
    assert done.returncode == 1
    assert "pip install 'carbon-callbacks[report]'" in done.stderr
