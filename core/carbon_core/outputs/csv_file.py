"""``emissions.csv``: CodeCarbon's 38 columns, one row per run, safe for concurrent writers.

A new row is appended with one ``write`` under a lock; for every other change the whole file is
replaced atomically. A file with other columns is renamed and kept.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from carbon_core.errors import OutputError
from carbon_core.file_locks import FileLock, Timeout
from carbon_core.outputs.base import open_for_append, replace
from carbon_core.outputs.emissions_data import COLUMNS, EmissionsData

_LOCK_TIMEOUT_S = 1.5
_MAX_CELL = 1000
_TAIL = 2**17
# A spreadsheet evaluates a cell that begins with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# Columns without a value where no meter gave a reading.
_MEASURED = (
    "emissions",
    "emissions_rate",
    "cpu_power",
    "gpu_power",
    "ram_power",
    "cpu_energy",
    "gpu_energy",
    "ram_energy",
    "energy_consumed",
    "water_consumed",
)


class CsvFile:
    """A CSV file and its lock.

    Args:
        path: The CSV file.
        lock_path: The file that writers lock.
        lock_timeout_s: Longest time to wait for the lock in seconds.
    """

    def __init__(
        self, path: Path, lock_path: Path, lock_timeout_s: float = _LOCK_TIMEOUT_S
    ) -> None:
        self._path = path
        self._lock = FileLock(lock_path, timeout=lock_timeout_s, thread_local=False)

    def append(self, data: EmissionsData) -> None:
        """Append a row.

        Raises:
            OutputError: The row could not be written; the file is unchanged.
        """
        self._locked(lambda: self._append(data))

    def update(self, data: EmissionsData) -> None:
        """Replace the row of the same run, or append one.

        Raises:
            OutputError: The row could not be written; the file is unchanged.
        """
        self._locked(lambda: self._update(data))

    def _locked(self, write: Any) -> None:
        try:
            with self._lock:
                write()
        except Timeout as error:
            raise OutputError(f"{self._path} is locked by another process") from error
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error

    def _append(self, data: EmissionsData) -> None:
        self._rename_file_with_other_columns()
        descriptor = open_for_append(self._path, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            start = _line_end(descriptor, size)
            header = _lines([COLUMNS]) if size == 0 else ""
            _write_whole(descriptor, start + header + _lines([_cells(data)]), size)
        finally:
            os.close(descriptor)

    def _update(self, data: EmissionsData) -> None:
        self._rename_file_with_other_columns()
        # Bytes, line by line: other rows are not changed, whatever their content.
        lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
        own = [i for i, line in enumerate(lines) if _is_row_of(line, data.run_id)]
        if not own:
            self._append(data)
            return
        lines[own[-1]] = _lines([_cells(data)]).encode("utf-8", "replace")
        replace(self._path, b"".join(lines))

    def _rename_file_with_other_columns(self) -> None:
        """Rename a file that has another header."""
        if not self._path.exists() or self._path.stat().st_size == 0:
            return
        with self._path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = file.readline(100_000).rstrip("\r\n").split(",")
        if tuple(header) != COLUMNS:
            os.replace(self._path, _unused_name(self._path))


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a whole CSV file atomically, with cells formatted as in ``emissions.csv``.

    Raises:
        OSError: The file cannot be written.
    """
    text = _lines([columns, *([_cell(value) for value in row] for row in rows)])
    replace(path, text.encode("utf-8", "replace"))


def _unused_name(path: Path) -> Path:
    """Return the first unused of ``x.csv.bak``, ``x.csv_0.bak``, ``x.csv_1.bak`` …."""
    candidate, number = path.with_name(f"{path.name}.bak"), 0
    while candidate.exists():
        candidate = path.with_name(f"{path.name}_{number}.bak")
        number += 1
    return candidate


def _write_whole(descriptor: int, text: str, size_before: int) -> None:
    """Append text with one write; if that fails, restore the file."""
    data = text.encode("utf-8", "replace")
    try:
        written = os.write(descriptor, data)
    except OSError:
        os.ftruncate(descriptor, size_before)
        raise
    if written < len(data):
        os.ftruncate(descriptor, size_before)
        raise OSError("the disk is full")
    os.fsync(descriptor)


def _is_row_of(line: bytes, run_id: str) -> bool:
    if run_id.encode("utf-8", "replace") not in line:
        return False
    cells = next(csv.reader([line.decode("utf-8", "replace").rstrip("\r\n")]), [])
    column = COLUMNS.index("run_id")
    return cells[column : column + 1] == [run_id]


def _line_end(descriptor: int, size: int) -> str:
    """Return the characters that end an incomplete last line, so that the next row is separate."""
    os.lseek(descriptor, -min(size, _TAIL), os.SEEK_END)
    tail = os.read(descriptor, _TAIL).rpartition(b"\n")[2]
    return ('"\n' if tail.count(b'"') % 2 else "\n") if tail else ""


def _cells(data: EmissionsData) -> list[str]:
    absent = () if getattr(data.provenance, "is_known", True) else _MEASURED
    return ["" if name in absent else _cell(value) for name, value in data.values.items()]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    clean = "".join(c if c.isprintable() else " " for c in value[:_MAX_CELL])
    return "'" + clean if value.startswith(_FORMULA_STARTS) else clean


def _lines(rows: Iterable[Iterable[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
