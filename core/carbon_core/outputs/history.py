"""Reads past runs from receipts, from journals of runs without a receipt, and from CSV files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from carbon_core import input_files
from carbon_core.errors import OutputError
from carbon_core.outputs import journal, past_rows, receipt
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.outputs.past_rows import Row
from carbon_core.records import Estimate
from carbon_core.uncertainty import Sigmas


class PastRun(NamedTuple):
    """Results of a past run, as read from a file.

    Attributes:
        run_id: The run's id; an empty string for a row of a CSV file without one.
        project_name: Its project.
        time: ISO time: of its beginning (UTC), or in a CSV file of its end (local).
        status: How it ended; an empty string if the file has no status.
        duration_s: Duration in seconds.
        energy_kwh: Energy in kWh, times PUE; low and high equal the value if the file has no interval.
        emissions_kg: Emissions in kg CO2e, with the same rule.
        sigmas_ln: Uncertainty of the energy; None if the file does not have it.
        meters: Hardware and methods of measurement; runs with equal ones have the same systematic error.
        path: Its receipt or journal; None for a row of a CSV file.
    """

    run_id: str
    project_name: str
    time: str
    status: str
    duration_s: float
    energy_kwh: Estimate
    emissions_kg: Estimate
    sigmas_ln: Sigmas | None = None
    meters: tuple[str, ...] = ()
    path: Path | None = None


class Skipped(NamedTuple):
    """A file that could not be read as runs.

    Attributes:
        path: The file.
        reason: Why it was skipped.
    """

    path: Path
    reason: str


def read(paths: Iterable[Path]) -> Iterator[PastRun | Skipped]:
    """Yield the runs of files and directories; a run that is in several files is yielded once.

    Args:
        paths: Receipts, journals, CSV files, and directories that contain them.
    """
    seen: set[object] = set()
    for path in paths:
        for file in _files(path) if path.is_dir() else (path,):
            rows_without_id: Counter[int] = Counter()
            try:
                for run in _runs(file):
                    key = run.run_id or _key(run, rows_without_id)
                    if key not in seen:
                        seen.add(key)
                        yield run
            except OutputError as error:
                yield Skipped(file, str(error))


def _key(run: PastRun, rows: Counter[int]) -> tuple[int, int]:
    """Identify a row without run id: equal rows of a file are different runs, of two files the same."""
    content = hash((run.time, run.project_name, run.duration_s, run.energy_kwh, run.emissions_kg))
    rows[content] += 1
    return content, rows[content]


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files of an output directory, the most detailed kind first."""
    runs = directory if directory.name == RUNS_DIRECTORY else directory / RUNS_DIRECTORY
    yield from sorted(runs.glob(f"*{receipt.SUFFIX}"))
    yield from sorted(runs.glob(f"*{journal.SUFFIX}"))
    # Backups are files of older versions, which had other columns.
    for path in (*sorted(directory.glob("*.csv")), *sorted(directory.glob("*.csv*.bak"))):
        if not past_rows.is_of_tasks(path):
            yield path


def _runs(path: Path) -> Iterator[PastRun]:
    try:
        input_files.require_regular(path)
        if path.suffix == ".csv" or (path.suffix == ".bak" and ".csv" in path.name):
            yield from map(_of_row, past_rows.read(path))
        elif path.name.endswith(journal.SUFFIX):
            with_receipt = path.with_name(path.name.replace(journal.SUFFIX, receipt.SUFFIX))
            if not with_receipt.exists():
                yield _of_receipt(receipt.data_of(journal.read(path)), path)
        else:
            yield _of_receipt(json.loads(input_files.text_of(path)), path)
    except OSError as error:
        raise OutputError(f"cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError("not a receipt, journal or CSV file of a run") from error


def _of_row(row: Row) -> PastRun:
    kwh, kg = row.energy_kwh, row.emissions_kg
    estimates = Estimate(kwh, kwh, kwh), Estimate(kg, kg, kg)
    return PastRun(row.run_id, row.project_name, row.timestamp, "", row.duration_s, *estimates)


def _of_receipt(data: dict[str, Any], path: Path) -> PastRun:
    if data["schema_version"] > receipt.SCHEMA_VERSION:
        raise OutputError(
            f"its schema ({data['schema_version']}) is newer than this version of carbon-callbacks"
        )
    run, host = data["run"], data["host"]
    methods = [f"{one['component']} {one['method']}" for one in data["devices"]]
    return PastRun(
        run["run_id"],
        run["project_name"],
        run["started_at"],
        data["status"],
        data["duration_s"],
        _estimate(data["energy_kwh"]),
        _estimate(data["emissions_kg"]),
        Sigmas(**data["energy_sigma_ln"]),
        (str(host["cpu_model"]), *host["gpu_models"], *sorted(set(methods))),
        path,
    )


def _estimate(data: dict[str, float | None]) -> Estimate:
    return Estimate(data["value"] or 0.0, data["low_95"] or 0.0, data["high_95"] or 0.0)
