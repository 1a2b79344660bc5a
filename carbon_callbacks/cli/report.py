"""``carbon-callbacks report``: list runs, with totals by project."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from carbon_callbacks._missing import missing_package
from carbon_callbacks.cli.skipped import print_skipped, unknown_note
from carbon_callbacks.cli.terminal import PlainConsole, say, warn, write_data
from carbon_callbacks.cli.totals import History, Total
from carbon_core.errors import CarbonError
from carbon_core.escaping import markdown_cell
from carbon_core.formatting import formatted
from carbon_core.outputs.csv_rows import as_cell, as_lines
from carbon_core.outputs.history import PastRun, Skipped, read
from carbon_core.outputs.receipt import estimate_data
from carbon_core.units import GRAMS_PER_KG

FORMATS = ("table", "json", "csv", "markdown")
COLUMNS = ("run_id", "project_name", "time", "status", "duration_s",
           "energy_kwh", "emissions_kg")  # fmt: skip
_HEAD = ("project", "runs", "hours", "kWh", "gCO2e (95 %)")
_RUN_HEAD = ("time", "project", "status", "seconds", "kWh", "gCO2e")
_UNKNOWN = ("unknown", "unknown")
_S_PER_HOUR = 3600.0


def run(
    paths: Sequence[Path], *, output_format: str, latest: int, html: Path | None = None
) -> None:
    """Print the runs in files, or write an HTML report; exit with 2 if there are no runs.

    Args:
        paths: Files and output directories.
        output_format: One of `FORMATS`.
        latest: Number of recent runs to list; totals include all runs.
        html: Write an HTML report to this file instead of printing.
    """
    history = History(latest, with_days=html is not None)
    for found in read(paths):
        history.skipped.append(found) if isinstance(found, Skipped) else history.add(found)
    print_skipped(history.skipped)
    if not history.total.runs:
        warn(f"no run found in {', '.join(map(str, paths))}")
        raise typer.Exit(2)
    if html is not None:
        _html(history, html)
    else:
        {"table": _table, "json": _json, "csv": _csv, "markdown": _markdown}[output_format](history)


def _table(history: History) -> None:
    console = PlainConsole()
    runs = Table(*_RUN_HEAD, title=f"Recent runs ({history.recent_of_total})")
    for cells in _run_rows(history):
        runs.add_row(*cells)
    if history.runs:
        console.print(runs)
    projects = Table(*_HEAD, title="Projects")
    *rows, total = _project_rows(history)
    for cells in rows:
        projects.add_row(*cells)
    projects.add_section()
    projects.add_row(*total)
    projects.caption = _uncertainty_note(history.total)
    console.print(projects)


def _html(history: History, path: Path) -> None:
    try:
        from carbon_callbacks.cli.html import write
    except ImportError as error:
        missing = missing_package(error)
        if not missing or missing.startswith("carbon_"):
            raise
        warn(
            f"the HTML report needs a package that is missing, {missing}: "
            "pip install 'carbon-callbacks[report]'"
        )
        raise typer.Exit(1) from error
    try:
        write(history, path)
    except CarbonError as error:
        warn(error)
        raise typer.Exit(2) from error
    say(f"{path}: {history.total.runs:,} run{'' if history.total.runs == 1 else 's'}")


def _json(history: History) -> None:
    projects = {name: _total_data(total) for name, total in history.projects.items()}
    runs = [_run_data(run) for run in history.runs]
    total = _total_data(history.total)
    write_data(json.dumps({"total": total, "projects": projects, "runs": runs}, indent=2))


def _csv(history: History) -> None:
    runs = (
        [*run[:5], *(run.energy_kwh.value, run.emissions_kg.value)]
        if run.is_known
        else [*run[:5], "", ""]
        for run in history.runs
    )
    table = as_lines([COLUMNS, *(map(as_cell, run) for run in runs)])
    write_data(table.decode().removesuffix("\n"))


def _markdown(history: History) -> None:
    for head, rows in ((_HEAD, _project_rows(history)), (_RUN_HEAD, _run_rows(history))):
        say(f"| {' | '.join(head)} |")
        say(f"|{'---|' * len(head)}")
        for cells in rows:
            say(f"| {' | '.join(map(markdown_cell, cells))} |")
        say()
    if note := _uncertainty_note(history.total):
        say(f"{note}.")


def _uncertainty_note(total: Total) -> str | None:
    """Return a note on runs of unknown energy or without uncertainty (CSV rows); None without any."""
    notes = [unknown_note(total.unknown, total.runs)]
    if total.without_interval:
        counts = f"{total.without_interval:,} of {total.runs:,}"
        notes.append(f"{counts} runs lack uncertainty (counted as exact)")
    return "; ".join(filter(None, notes)) or None


def _run_rows(history: History) -> Iterator[list[str]]:
    for run in history.runs:
        kwh, grams = run.energy_kwh.value, run.emissions_kg.value * GRAMS_PER_KG
        seconds = f"{run.duration_s:.0f}"
        yield [
            run.time[:19],
            run.project_name,
            run.status,
            seconds,
            *((formatted(kwh), formatted(grams)) if run.is_known else _UNKNOWN),
        ]


def _project_rows(history: History) -> Iterator[list[str]]:
    projects = sorted(history.projects.items(), key=lambda item: -item[1].energy_kwh.value)
    for name, total in (*projects, ("total", history.total)):
        grams = total.emissions_kg.scaled(GRAMS_PER_KG)
        interval = f"{formatted(grams.value)} ({formatted(grams.low)} to {formatted(grams.high)})"
        hours = f"{total.duration_s / _S_PER_HOUR:.2f}"
        figures = (formatted(total.energy_kwh.value), interval)
        yield [name, str(total.runs), hours, *(figures if total.is_known else _UNKNOWN)]


def _run_data(run: PastRun) -> dict[str, Any]:
    return {**dict(zip(COLUMNS[:5], run)), **_estimates(run)}


def _total_data(total: Total) -> dict[str, Any]:
    counts = {
        "runs": total.runs,
        "runs_unknown": total.unknown,
        "runs_without_interval": total.without_interval,
    }
    return {**counts, "duration_s": total.duration_s, **_estimates(total)}


def _estimates(found: PastRun | Total) -> dict[str, Any]:
    if not found.is_known:
        unknown = {"value": None, "low_95": None, "high_95": None}
        return {"energy_kwh": unknown, "emissions_kg": unknown}
    return {
        "energy_kwh": estimate_data(found.energy_kwh),
        "emissions_kg": estimate_data(found.emissions_kg),
    }
