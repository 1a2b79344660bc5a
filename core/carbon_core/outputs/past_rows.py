"""Reads the runs of CSV files: of this package, and of CodeCarbon since its version 1.

column                                  if it is absent
duration, energy_consumed, emissions    the file has no runs
run_id                                  each row is a run
project_name, timestamp                 empty
task_name is present                    the rows are tasks, parts of runs
"""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TextIO

from carbon_core.errors import OutputError
from carbon_core.input_files import require_regular

_REQUIRED = ("duration", "energy_consumed", "emissions")
_COLUMNS = ("run_id", "project_name", "timestamp", *_REQUIRED)
_TASK = "task_name"
# CodeCarbon writes "None" with its API output; pandas writes "nan" for an empty cell.
_NO_ID = frozenset({"", "None", "nan", "NaN"})
_LONGEST_HEADER = 100_000


class Row(NamedTuple):
    """A row of a CSV file, in the order of the columns that are read.

    Attributes:
        run_id: The run's id, or an empty string.
        project_name: Its project.
        timestamp: Local time of its end.
        duration_s: Duration in seconds.
        energy_kwh: Energy in kWh, times PUE.
        emissions_kg: Emissions in kg CO2e.
    """

    run_id: str
    project_name: str
    timestamp: str
    duration_s: float
    energy_kwh: float
    emissions_kg: float


def is_of_tasks(path: Path) -> bool:
    """Return whether a CSV file has tasks; False if it cannot be read."""
    try:
        require_regular(path)
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return _TASK in _header(file)
    except (OSError, OutputError):
        return False


def read(path: Path) -> Iterator[Row]:
    """Yield the last row of each run: CodeCarbon adds one at each flush, with the totals so far.

    Two passes: the first finds the runs whose rows are not successive, because several processes have
    written the file. Only their rows are kept in memory.

    Raises:
        OutputError: It is no CSV file of runs, or has an invalid row; the rows before it are yielded.
        OSError: The file cannot be read.
    """
    scattered = _scattered(path)
    last_rows: dict[str, Row] = {}
    latest: Row | None = None
    fault: OutputError | None = None
    try:
        for row in _rows(path):
            if row.run_id and hash(row.run_id) in scattered:
                last_rows[row.run_id] = row
                continue
            if latest is not None and (latest.run_id != row.run_id or not row.run_id):
                yield latest
            latest = row
    except OutputError as error:  # the rows before it are valid
        fault = error
    if latest is not None:
        yield latest
    yield from last_rows.values()
    if fault is not None:
        raise fault


def _scattered(path: Path) -> set[int]:
    """Return the hashes of the ids of the runs whose rows are not successive.

    Hashes take a third of the memory of ids; with two equal ones the result is the same.
    """
    seen: set[int] = set()
    scattered: set[int] = set()
    before = ""
    with _opened(path) as (file, header):
        if "run_id" not in header:
            return scattered
        column = header.index("run_id")
        try:
            for cells in _cells(file, column + 1):
                if len(cells) > column and cells[column] != before:
                    before = cells[column]
                    key = hash(before)
                    (scattered if key in seen else seen).add(key)
        except OutputError:  # reported by the second pass
            pass
    return scattered


def _rows(path: Path) -> Iterator[Row]:
    with _opened(path) as (file, header):
        missing = [name for name in _COLUMNS if name not in header]
        if not set(missing).isdisjoint(_REQUIRED):
            raise OutputError(f"not an emissions.csv: it has no column {missing[0]}")
        indexes = [header.index(name) if name in header else -1 for name in _COLUMNS]
        cells_of, needed = _getter(indexes), max(indexes) + 1
        # The last cell of an incomplete row may be cut, and still be a number.
        least = min(needed + 1, len(header))
        for cells in _cells(file, needed):
            if len(cells) < least:
                continue
            run_id, project, time, *figures = cells_of(cells)
            try:
                duration_s, kwh, kg = map(float, figures)
            except ValueError:
                continue
            if math.isfinite(duration_s + kwh + kg):
                yield Row("" if run_id in _NO_ID else run_id, project, time, duration_s, kwh, kg)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[TextIO, list[str]]]:
    """Open a CSV file that has no tasks; yield it and its header."""
    require_regular(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        header = _header(file)
        if _TASK in header:
            raise OutputError("a file of tasks, which are parts of runs")
        yield file, header


def _header(file: TextIO) -> list[str]:
    try:
        return next(csv.reader([file.readline(_LONGEST_HEADER)]), [])
    except csv.Error as error:
        raise OutputError("not a CSV file") from error


def _getter(indexes: Sequence[int]) -> Callable[[list[str]], Sequence[str]]:
    """Return a function that selects cells of a row; an empty one for each index of -1."""
    if min(indexes) >= 0:
        return itemgetter(*indexes)
    return lambda cells: [cells[i] if i >= 0 else "" for i in indexes]


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
