"""Reads past runs from receipts, from journals of runs without a receipt, and from CSV files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from carbon_core.errors import OutputError
from carbon_core.outputs import journal, receipt
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.records import Estimate
from carbon_core.uncertainty import Sigmas

_CSV_COLUMNS = (
    "run_id", "project_name", "timestamp", "duration", "energy_consumed", "emissions"
)  # fmt: skip


class PastRun(NamedTuple):
    """Results of a past run, as read from a file.

    Attributes:
        run_id: The run's id.
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
    seen: set[str] = set()
    for path in paths:
        for file in _files(path) if path.is_dir() else (path,):
            try:
                for run in _runs(file):
                    if run.run_id not in seen:
                        seen.add(run.run_id)
                        yield run
            except OutputError as error:
                yield Skipped(file, str(error))


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files of an output directory, the most detailed kind first."""
    runs = directory if directory.name == RUNS_DIRECTORY else directory / RUNS_DIRECTORY
    yield from sorted(runs.glob(f"*{receipt.SUFFIX}"))
    yield from sorted(runs.glob(f"*{journal.SUFFIX}"))
    yield from sorted(directory.glob("*.csv"))


def _runs(path: Path) -> Iterable[PastRun]:
    try:
        if path.suffix == ".csv":
            return _of_csv(path)
        if path.name.endswith(journal.SUFFIX):
            with_receipt = path.with_name(path.name.replace(journal.SUFFIX, receipt.SUFFIX))
            if with_receipt.exists():
                return ()
            return (_of_receipt(receipt.data_of(journal.read(path)), path),)
        return (_of_receipt(json.loads(path.read_text("utf-8")), path),)
    except OSError as error:
        raise OutputError(f"cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError("not a receipt, journal or CSV file of a run") from error


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


def _estimate(data: dict[str, float]) -> Estimate:
    return Estimate(data["value"], data["low_95"], data["high_95"])


def _of_csv(path: Path) -> Iterator[PastRun]:
    """Yield the last of successive rows of each run; CodeCarbon adds a row at each flush."""
    rows = _rows(path)
    latest: PastRun | None = None
    fault: OutputError | None = None
    try:
        for row in rows:
            if latest is not None and latest.run_id != row.run_id:
                yield latest
            latest = row
    except OutputError as error:  # the rows before it are valid
        fault = error
    if latest is not None:
        yield latest
    if fault is not None:
        raise fault


def _rows(path: Path) -> Iterator[PastRun]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        header = next(csv.reader(file), [])
        if missing := [name for name in _CSV_COLUMNS if name not in header]:
            raise OutputError(f"not an emissions.csv: it has no column {missing[0]}")
        indexes = [header.index(name) for name in _CSV_COLUMNS]
        cells_of = itemgetter(*indexes)
        for cells in _cells(file, max(indexes) + 1):
            try:
                run_id, project, time, duration, energy, emissions = cells_of(cells)
                kwh, kg, seconds = float(energy), float(emissions), float(duration)
            except (ValueError, IndexError):  # an incomplete row
                continue
            estimates = Estimate(kwh, kwh, kwh), Estimate(kg, kg, kg)
            yield PastRun(run_id, project, time, "", seconds, *estimates)


def _cells(file: Iterator[str], needed: int) -> Iterator[list[str]]:
    """Yield the cells of each row, at least the first `needed` ones.

    A line without a quotation mark is split at its commas, which takes a quarter of the time of
    `csv.reader`; that matters for a file of a million rows.
    """
    for line in file:
        if '"' in line:
            try:
                yield next(csv.reader(chain((line,), file)))
            except csv.Error as error:
                raise OutputError(f"read up to an invalid row: {error}") from error
        else:
            yield line.rstrip("\r\n").split(",", needed)
