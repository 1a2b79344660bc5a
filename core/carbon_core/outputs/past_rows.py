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
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from carbon_core.errors import OutputError
from carbon_core.input_files import open_text
from carbon_core.limits import LARGEST
from carbon_core.outputs.csv_records import TIMESTAMP, cells_of, records

_REQUIRED = ("duration", "energy_consumed", "emissions")
_COLUMNS = ("run_id", "project_name", "timestamp", *_REQUIRED)
_TASK = "task_name"
# CodeCarbon writes "None" with its API output; pandas writes "nan" for an empty cell.
_NO_ID = frozenset({"", "None", "nan", "NaN"})
# A longer line is read in parts.
_LONGEST_LINE = 2**20


class Row(NamedTuple):
    """A row of a CSV file, in the order of the columns that are read.

    Attributes:
        run_id: The run's id, or an empty string.
        project_name: Its project.
        timestamp: Local time of its end.
        duration_s: Duration in seconds.
        energy_kwh: Energy in kWh, times PUE.
        emissions_kg: Emissions in kg CO2e.
        is_known: Whether anything was measured; if not, the cells of energy and emissions are empty, and
            are 0 here.
        more: The cells of further columns that were selected; empty where a column is absent.
    """

    run_id: str
    project_name: str
    timestamp: str
    duration_s: float
    energy_kwh: float
    emissions_kg: float
    is_known: bool = True
    more: tuple[str, ...] = ()


def is_of_tasks(path: Path) -> bool:
    """Return whether a CSV file has tasks; False if it cannot be read."""
    try:
        with open_text(path, "replace") as file:
            return _TASK in _header(iter((file.readline(_LONGEST_LINE),)))
    except (OSError, OutputError):
        return False


def read(path: Path, more: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the last row of each run: CodeCarbon adds one at each flush, with the totals so far.

    Two passes: the first finds the runs whose rows are not successive, because several processes have
    written the file. Only their rows are kept in memory.

    Args:
        path: The file.
        more: Further columns to select; those after the required ones take more time.

    Raises:
        OutputError: It is no CSV file of runs.
        OSError: The file cannot be read.
    """
    scattered = _scattered(path)
    last_rows: dict[str, Row] = {}
    latest: Row | None = None
    for row in _rows(path, more):
        if scattered and row.run_id and hash(row.run_id) in scattered:
            last_rows[row.run_id] = row
            continue
        if latest is not None and (latest.run_id != row.run_id or not row.run_id):
            yield latest
        latest = row
    if latest is not None:
        yield latest
    yield from last_rows.values()


def _scattered(path: Path) -> set[int]:
    """Return the hashes of the ids of the runs whose rows are not successive.

    Hashes take a third of the memory of ids; with two equal ones the result is the same.
    """
    seen: set[int] = set()
    scattered: set[int] = set()
    before = ""
    with _opened(path) as (lines, columns):
        column = columns.indexes[0]
        if column < 0:
            return scattered
        # The number of cells is not checked: that would take a third of the time.
        for cells in _cells(lines, columns, column + 1, checked=False):
            if len(cells) > column and cells[column] != before:
                before = cells[column]
                key = hash(before)
                (scattered if key in seen else seen).add(key)
    return scattered


def _rows(path: Path, more: Sequence[str]) -> Iterator[Row]:
    with _opened(path, more) as (lines, columns):
        select = columns.select
        # The last cell of an incomplete row may be cut, and still be a number.
        least = min(columns.needed + 1, columns.count)
        for cells in _cells(lines, columns, columns.needed):
            if len(cells) < least:
                continue
            run_id, project, time, *figures = (found := select(cells))[: len(_COLUMNS)]
            is_known = any(figures[1:])
            try:
                duration_s, kwh, kg = map(float, figures if is_known else (figures[0], "0", "0"))
            except ValueError:
                continue
            # Of larger figures, sums and quotients may be infinite.
            if abs(duration_s) + abs(kwh) + abs(kg) <= LARGEST:
                own_id = "" if run_id in _NO_ID else run_id
                also = tuple(found[len(_COLUMNS) :]) if more else ()
                yield Row(own_id, project, time, duration_s, kwh, kg, is_known, also)


class _Columns:
    """The columns of a file.

    Args:
        header: Their names.
        more: Further columns that are selected.

    Raises:
        OutputError: A required column is absent, or the rows are tasks.

    Attributes:
        count: Their number.
        indexes: The index of each column that is read, or -1.
        needed: Number of cells of a row up to the last column that is read.
        select: Selects these columns of a row; an empty cell for each absent one.
        begins_with_time: Whether the first column is the time, as in CodeCarbon's files.
    """

    def __init__(self, header: list[str], more: Sequence[str] = ()) -> None:
        if _TASK in header:
            raise OutputError("a file of tasks, which are parts of runs")
        missing = [name for name in _COLUMNS if name not in header]
        if not set(missing).isdisjoint(_REQUIRED):
            raise OutputError(f"not an emissions.csv: it has no column {missing[0]}")
        self.count = len(header)
        selected = (*_COLUMNS, *more)
        self.indexes = [header.index(name) if name in header else -1 for name in selected]
        self.needed = max(self.indexes) + 1
        self.select = _getter(self.indexes)
        self.begins_with_time = header[0] == "timestamp"

    def is_complete(self, text: str) -> bool:
        """Return whether a text is a row with all columns, and with a time or valid figures."""
        cells = cells_of(text)
        if cells is None or len(cells) != self.count:
            return False
        if self.begins_with_time and TIMESTAMP.match(text):
            return True
        try:
            return math.isfinite(sum(map(float, self.select(cells)[3 : len(_COLUMNS)])))
        except ValueError:
            return False


@contextlib.contextmanager
def _opened(path: Path, more: Sequence[str] = ()) -> Iterator[tuple[Iterator[str], _Columns]]:
    """Open a CSV file of runs; yield its lines after the header, and its columns."""
    with open_text(path, "replace") as file:
        lines = iter(partial(file.readline, _LONGEST_LINE), "")
        yield lines, _Columns(_header(lines), more)


def _header(lines: Iterator[str]) -> list[str]:
    return cells_of(next(lines, "")) or []


def _getter(indexes: Sequence[int]) -> Callable[[list[str]], Sequence[str]]:
    """Return a function that selects cells of a row; an empty one for each index of -1."""
    if min(indexes) >= 0:
        return itemgetter(*indexes)
    return lambda cells: [cells[i] if i >= 0 else "" for i in indexes]


def _cells(
    lines: Iterator[str], columns: _Columns, needed: int, *, checked: bool = True
) -> Iterator[list[str]]:
    """Yield the cells of each row, at least the first `needed` ones.

    A line without a quotation mark is split at its commas, which takes a quarter of the time of
    `csv.reader`; that matters for a file of a million rows.

    Args:
        lines: The lines of a file after its header.
        columns: Its columns.
        needed: Number of cells.
        checked: Whether to search lines with missing or more cells for a row after a torn one.
    """
    commas, has_last = columns.count - 1, needed >= columns.count
    for line in lines:
        if '"' in line:
            cells = _quoted_cells(line)
            if len(cells) == columns.count:
                yield cells
                continue
        elif not checked or line.count(",") == commas:
            cells = line.split(",", needed)
            if has_last:
                cells[-1] = cells[-1].rstrip("\r\n")
            yield cells
            continue
        for row in records(line, lines, columns.is_complete, columns.begins_with_time):
            cells_of_row = cells_of(row)
            if cells_of_row is not None:  # else a torn row
                yield cells_of_row


def _quoted_cells(line: str) -> list[str]:
    """Return the cells of a line that is a row; an empty list if it is none."""
    try:
        return next(csv.reader((line,), strict=True), [])
    except csv.Error:  # such as an open quotation mark, or a cell longer than its limit
        return []
