"""``carbon-callbacks report``: list runs, with totals by project."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import typer

from carbon_callbacks.cli import report_studies
from carbon_callbacks.cli.extras import needing
from carbon_callbacks.cli.skipped import print_skipped, unknown_note
from carbon_callbacks.cli.tables import Column, show
from carbon_callbacks.cli.terminal import PlainConsole, say, say_wrapped, warn, write_data
from carbon_callbacks.cli.totals import History, Total, group_of
from carbon_core.errors import CarbonError
from carbon_core.escaping import markdown_cell
from carbon_core.fleet import is_export
from carbon_core.formatting import duration, emissions, emissions_interval, energy, local_time
from carbon_core.job_environment import JobFacts
from carbon_core.limits import time_of
from carbon_core.outputs.csv_rows import as_cell, as_lines
from carbon_core.outputs.history import PastRun, Skipped, read
from carbon_core.outputs.receipt import estimate_data
from carbon_core.record import asdict

FORMATS = ("table", "json", "csv", "markdown")
# Those of `--csv`, and of the runs of `--json` with more.
COLUMNS = ("run_id", "project_name", "time", "status", "duration_s",
           "energy_kwh", "emissions_kg")  # fmt: skip
# Those of the job, of `--csv`.
_JOB_COLUMNS = tuple(f"job_{name.removeprefix('job_')}" for name in asdict(JobFacts("")))
_PROJECTS = (
    Column("project", folds=True),
    Column("runs"),
    Column("time", dropped=1),
    Column("energy"),
    Column("emissions (95 %)"),
)
_RUNS = (
    Column("started", wraps=True),
    Column("project", folds=True),
    Column("kind", dropped=2),
    Column("status", wraps=True, dropped=3),
    Column("time", dropped=1),
    Column("energy"),
    Column("emissions"),
)
_UNKNOWN = ("unknown", "unknown")
# Recent runs that are listed by default, in tables and on the page.
_LATEST, _MOST_OF_PAGE = 20, 10_000


def run(
    paths: Sequence[Path],
    *,
    output_format: str,
    latest: int | None = None,
    html: Path | None = None,
) -> None:
    """Print the runs in files, or write an HTML report; exit with 2 if there are no runs.

    Args:
        paths: Files and output directories.
        output_format: One of `FORMATS`.
        latest: Number of recent runs to list; totals include all runs. None for the default.
        html: Write an HTML report to this file instead of printing.
    """
    listed = latest if latest is not None else (_MOST_OF_PAGE if html else _LATEST)
    by_run = html is not None or output_format in ("json", "csv")
    history = History(listed, with_days=html is not None, lists_studies=by_run)
    for found in _read(paths):
        history.skipped.append(found) if isinstance(found, Skipped) else history.add(found)
    print_skipped(history.skipped)
    if not history.total.runs:
        warn(f"no run found in {', '.join(map(str, paths))}")
        if html is None:
            raise typer.Exit(2)
    if html is not None:  # without runs, a page with the first steps
        _html(history, html, paths)
    else:
        {"table": _table, "json": _json, "csv": _csv, "markdown": _markdown}[output_format](history)


def _read(paths: Sequence[Path]) -> Iterator[PastRun | Skipped]:
    """Yield the runs of files and directories, and those of exports that were not read from them."""
    exports = [path for path in paths if is_export(path)]
    if not exports:
        yield from read(paths)
        return
    from carbon_core.fleet import reading
    from carbon_core.fleet.values import csv_run_id

    rows: dict[str, int] = {}
    seen: set[str] = set()
    others = read([path for path in paths if path not in exports])
    with needing("fleet", "Parquet"):
        for found in chain(others, *map(reading.runs, exports)):
            if isinstance(found, Skipped):
                yield found
                continue
            run_id = found.run_id or csv_run_id(found, rows)
            if run_id not in seen:
                seen.add(run_id)
                yield found


def _table(history: History) -> None:
    console = PlainConsole()
    if history.runs:
        title = f"Recent runs ({history.recent_of_total})"
        show(console, _RUNS, _run_rows(history), title=title)
    if studies := history.study_totals:
        show(console, report_studies.COLUMNS, report_studies.rows(studies), title="Studies")
    *rows, total = _project_rows(history)
    show(console, _PROJECTS, rows, title="Projects", total=total)
    for note in _notes(history):
        say_wrapped(note)


def _html(history: History, path: Path, searched: Sequence[Path]) -> None:
    with needing("report", "--html"):
        from carbon_callbacks.cli.html import write
    try:
        write(history, path, searched)
    except CarbonError as error:
        warn(error)
        raise typer.Exit(2) from error
    say(f"{path}: {history.total.runs:,} run{'' if history.total.runs == 1 else 's'}")


def _json(history: History) -> None:
    projects = {name: _total_data(total) for name, total in history.projects.items()}
    runs = [_run_data(run) for run in history.runs]
    total = _total_data(history.total)
    studies = [report_studies.data(study) for study in history.study_totals]
    found = {"total": total, "projects": projects, "studies": studies, "runs": runs}
    write_data(json.dumps(found, indent=2))


def _csv(history: History) -> None:
    rows: list[list[object]] = []
    for run in history.runs:
        known = run.energy_kwh.value, run.emissions_kg.value
        figures = known if run.is_known else ("", "")
        job = asdict(run.job or JobFacts("")).values()
        rows.append([*run[:5], *figures, run.kind, run.part_of, run.counted, *job])
    heading = (*COLUMNS, "kind", "part_of", "counted_share", *_JOB_COLUMNS)
    table = as_lines([heading, *(map(as_cell, row) for row in rows)])
    write_data(table.decode().removesuffix("\n"))


def _markdown(history: History) -> None:
    tables = [(_PROJECTS, _project_rows(history)), (_RUNS, _run_rows(history))]
    if studies := history.study_totals:
        tables.insert(1, (report_studies.COLUMNS, report_studies.rows(studies)))
    for columns, rows in tables:
        say(f"| {' | '.join(column.name for column in columns)} |")
        say(f"|{'---|' * len(columns)}")
        for cells in rows:
            say(f"| {' | '.join(map(markdown_cell, cells))} |")
        say()
    for note in _notes(history):
        say(f"{note}.")


def _notes(history: History) -> Iterator[str]:
    """Yield what the tables do not show: what is unknown, counted elsewhere, or not over."""
    total = history.total
    if note := unknown_note(total.unknown, total.runs):
        yield note
    if total.without_interval:
        counts = f"{total.without_interval:,} of {total.runs:,}"
        yield f"{counts} runs lack uncertainty (counted as exact)"
    yield from report_studies.notes(history.study_totals)
    if total.within:
        yield "in parentheses and after +: parts of other runs, counted there only"
    for run in history.runs:
        if run.writer is not None:
            where = f" on {run.writer.host}" if run.writer.host else ""
            heartbeat = local_time(run.writer.heartbeat_at)
            yield f"run {run.run_id}: {run.status}{where}, last heartbeat {heartbeat}"


def _run_rows(history: History) -> Iterator[list[str]]:
    for run in history.runs:
        figures = energy(run.energy_kwh.value), emissions(run.emissions_kg.value)
        if not run.counted:
            figures = _in_parentheses(*figures)
        yield [
            _started(run),
            run.project_label or run.project_name,
            run.kind or "run",
            run.status,
            duration(run.duration_s),
            *(figures if run.is_known else _UNKNOWN),
        ]


def _started(run: PastRun) -> str:
    """Return the local time of a run's start; a CSV file has that of its end."""
    if run.path is not None:
        return local_time(run.time)
    try:
        return local_time(time_of(run.time).astimezone() - timedelta(seconds=run.duration_s))
    except (ValueError, OverflowError, OSError):
        return run.time


def _in_parentheses(energy: str, emissions: str) -> tuple[str, str]:
    return f"({energy})", f"({emissions})"


def _project_rows(history: History) -> Iterator[list[str]]:
    projects = sorted(history.projects.items(), key=lambda item: -item[1].energy_kwh.value)
    for name, total in (*projects, ("total", history.total)):
        runs = f"{total.runs:,} + {total.within:,}" if total.within else f"{total.runs:,}"
        figures = energy(total.energy_kwh.value), emissions_interval(total.emissions_kg)
        if not total.runs:
            figures = _in_parentheses(energy(total.within_kwh), emissions(total.within_kg))
        elif not total.is_known:
            figures = _UNKNOWN
        yield [name, runs, duration(total.duration_s), *figures]


def _run_data(run: PastRun) -> dict[str, Any]:
    writer = run.writer
    return {
        **dict(zip(COLUMNS[:5], run)),
        "project": group_of(run),
        "kind": run.kind or None,
        "part_of": run.part_of or None,
        "study_id": run.study.study_id if run.study else None,
        "job": asdict(run.job) if run.job else None,
        "counted_share": run.counted,
        "host": writer.host if writer else None,
        "heartbeat_at": writer.heartbeat_at if writer else None,
        **_estimates(run),
    }


def _total_data(total: Total) -> dict[str, Any]:
    counts = {
        "runs": total.runs,
        "runs_within_others": total.within,
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
