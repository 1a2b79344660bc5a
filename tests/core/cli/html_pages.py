"""Runs for pages of `carbon-callbacks report --html`, and what stands in a page."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.cli.conftest import Command
from core.outputs.conftest import report_of

from carbon_core import units
from carbon_core.outputs import receipt
from carbon_core.outputs.journal import Journal, journal_path
from carbon_core.records import Energy, HourEnergy, Snapshot, TraceData
from carbon_core.report import Report


def two_hours(
    run_id: str = "run-1", project: str = "digits", heartbeat_s: int = 15, **facts: Any
) -> list[Report]:
    """Return the reports of a run at each heartbeat: the GPU at 200 W, then at 100 W; PUE 1.5.

    An hour at 50 g/kWh, one at 100.
    """
    reports = []
    whole = report_of(run_id, project_name=project, **facts)
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


def changed(directory: Path, run_id: str, **values: Any) -> None:
    """Change values in the receipt of a run; a value for `settings` is one of the run's."""
    path = directory / "carbon_runs" / f"{run_id}{receipt.SUFFIX}"
    data = json.loads(path.read_text())
    data["run"].update({key: values.pop(key) for key in set(data["run"]) & set(values)})
    path.write_text(json.dumps({**data, **values}))


def page_of(command: Command, tmp_path: Path, *words: str) -> str:
    done = command("report", *words, "--html", "out.html")
    assert done.returncode == 0, done.stderr
    return (tmp_path / "out.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    """Return the data of a page."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    data: dict[str, Any] = json.loads(text)
    return data


def runs_of(page: str) -> list[dict[str, Any]]:
    """Return the rows of the table of runs by column, each with its details and timeline."""
    data = data_of(page)
    return [_run(row, data) for row in data["rows"]]


def _run(row: list[Any], data: dict[str, Any]) -> dict[str, Any]:
    run = dict(zip(data["fields"], row, strict=True))
    number = run["detail"]
    run["status"] = data["words"][run["status"]]
    run["grades"] = data["words"][run["grades"]]
    run["project"] = data["projects"][run["project"]] if run["project"] is not None else None
    run["detail"] = data["details"][number - 1] if number else None
    run["timeline"] = data["timelines"].get(str(number))
    run["parts"] = [_run(part, data) for part in run["parts"] or []]
    return run


def text_of(page: str) -> str:
    """Return what stands in the page outside of scripts."""
    bare = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare)))
