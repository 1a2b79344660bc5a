"""``emissions.csv``: CodeCarbon's 38 columns, one row per run, safe for concurrent writers.

    new row                       appended with one ``write``, under a lock
    row of a run, updated         the file is replaced atomically; in a large file, whose last row
                                  it is, only this row is overwritten
    torn rows of other writers    moved to ``emissions.csv.invalid``
    file with other columns       renamed and kept

Memory does not depend on the size of the file: it is searched and copied in blocks.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from carbon_core.errors import OutputError
from carbon_core.file_locks import Timeout, exclusive
from carbon_core.outputs.base import (
    NEW_FILE_MODE,
    make_directory,
    open_for_append,
    replace,
    sync,
)
from carbon_core.outputs.csv_records import LONGEST_ROW
from carbon_core.outputs.csv_rows import (
    Span,
    as_cell,
    as_cells,
    as_lines,
    is_row_of,
    line_at,
    line_end,
    torn_rows,
)
from carbon_core.outputs.emissions_data import COLUMNS, EmissionsData

INVALID_SUFFIX = ".invalid"
_LOCK_TIMEOUT_S = 1.5
_BLOCK = 2**20
# A file up to this size is checked and replaced whole; of a larger one, this part at its end is
# checked for torn rows.
_SMALL = 2**20
# The row of a run is searched for in this part at the end: a second of work.
_SEARCHED = 2**30
_MOST_LINKS = 16


class CsvFile:
    """A CSV file and its lock; their directories are created.

    Args:
        path: The CSV file.
        lock_path: The file that writers lock.
        lock_timeout_s: Longest time to wait for the lock in seconds.
        warn: Receives a message when a file is renamed or rows are moved.

    Attributes:
        has_lock: False if the last write was made without a lock, because the file system has none.
    """

    def __init__(
        self,
        path: Path,
        lock_path: Path,
        lock_timeout_s: float = _LOCK_TIMEOUT_S,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._path = path
        self._lock_path = lock_path
        self._lock_timeout_s = lock_timeout_s
        self.has_lock = True
        self._warn = warn

    def append(self, data: EmissionsData) -> None:
        """Append a row.

        Raises:
            OutputError: The row could not be written; the file is unchanged.
        """
        self._locked(lambda: self._save(data, update=False))

    def update(self, data: EmissionsData) -> None:
        """Replace the row of the same run, or append one.

        Raises:
            OutputError: The row could not be written; the file is unchanged.
        """
        self._locked(lambda: self._save(data, update=True))

    def _locked(self, write: Callable[[], None]) -> None:
        try:
            make_directory(self._path.parent)
            with contextlib.suppress(OSError):  # a marker file takes the place of the lock
                make_directory(self._lock_path.parent)
            marker = self._path.with_name(f".{self._path.name}.locked")
            with exclusive(self._lock_path, marker, self._lock_timeout_s) as self.has_lock:
                write()
        except Timeout as error:
            raise OutputError(f"{self._path} is locked by another process") from error
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error

    def _save(self, data: EmissionsData, *, update: bool) -> None:
        path = followed(self._path)
        self._rename_file_with_other_columns(path)
        row = as_lines([as_cells(data)])
        descriptor = open_for_append(path, NEW_FILE_MODE)
        try:
            size = os.fstat(descriptor).st_size
            torn = self._set_aside(path, descriptor, size)
            own = _row_of(descriptor, size, data.run_id) if update else None
            if own is not None and not any(span.begin <= own.begin < span.end for span in torn):
                _put(path, descriptor, size, own, row, torn)
            elif torn:
                start = b"" if torn[-1].end == size else _line_end(descriptor, size)
                edits = [*((span, b"") for span in torn), (Span(size, size), start + row)]
                replace(path, _edited(descriptor, size, edits))
            else:
                start = as_lines([COLUMNS]) if size == 0 else _line_end(descriptor, size)
                _write_whole(descriptor, start + row, size)
        finally:
            os.close(descriptor)

    def _set_aside(self, path: Path, descriptor: int, size: int) -> list[Span]:
        """Save the torn rows at the end of the file in a file beside it, and return them."""
        begin = max(0, size - _SMALL)
        block = _read(descriptor, Span(begin, size))
        torn = torn_rows(block, begins_file=begin == 0)
        if not torn:
            return []
        aside = path.with_name(path.name + INVALID_SUFFIX)
        rows = [block[span.begin : span.end] for span in torn]
        try:
            _append_to(aside, b"".join(row if row.endswith(b"\n") else row + b"\n" for row in rows))
        except OSError:
            return []  # they stay where they are, and the new row is on a line of its own
        count = "a torn row" if len(torn) == 1 else f"{len(torn)} torn rows"
        self._warn(f"{path} has {count} of another program: moved to {aside.name}")
        return [Span(begin + span.begin, begin + span.end) for span in torn]

    def _rename_file_with_other_columns(self, path: Path) -> None:
        """Rename a file that has another header."""
        if not path.exists() or path.stat().st_size == 0:
            return
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = file.readline(100_000).rstrip("\r\n").split(",")
        if tuple(header) == COLUMNS:
            return
        has_runs = "emissions" in header and "duration" in header
        if path != self._path and not has_runs:
            raise OutputError(f"{self._path} is a link to {path}, which is no CSV file of runs")
        kept = _unused_name(path)
        os.replace(path, kept)
        counted = ", and carbon-callbacks report counts its runs" if has_runs else ""
        self._warn(f"{path} had other columns: it is kept as {kept.name}{counted}")


def followed(path: Path) -> Path:
    """Return the file that a path names; links are followed if this user has made them.

    Raises:
        OutputError: A link, or the file that it leads to, belongs to another user.
    """
    file = path
    for _ in range(_MOST_LINKS):
        try:
            status = os.lstat(file)
        except FileNotFoundError:
            return file
        is_link = stat.S_ISLNK(status.st_mode)
        if (is_link or file != path) and hasattr(os, "geteuid") and status.st_uid != os.geteuid():
            raise OutputError(f"cannot write {path}: a link to, or of, another user's file")
        if not is_link:
            return file
        file = file.parent / file.readlink()
    raise OutputError(f"cannot write {path}: too many links")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a whole CSV file atomically, with cells formatted as in ``emissions.csv``.

    Raises:
        OSError: The file cannot be written.
    """
    replace(path, as_lines([columns, *([as_cell(value) for value in row] for row in rows)]))


def _put(
    path: Path, descriptor: int, size: int, own: Span, row: bytes, torn: Sequence[Span]
) -> None:
    """Put a row in the place of an earlier one, and remove the torn rows."""
    if size > _SMALL and own.end == size and not torn:
        _overwrite(path, own, row)
        return
    edits = sorted([*((span, b"") for span in torn), (own, row)])
    replace(path, _edited(descriptor, size, edits))


def _overwrite(path: Path, own: Span, row: bytes) -> None:
    """Overwrite the last row of a file; if that fails, restore it.

    Written before the file is cut: a process that is killed in between leaves a whole row, and the end
    of the earlier one as a torn row.
    """
    descriptor = os.open(
        path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        before = _read(descriptor, own)
        os.lseek(descriptor, own.begin, os.SEEK_SET)
        try:
            if os.write(descriptor, row) < len(row):
                raise OSError("the disk is full")
        except OSError:
            with contextlib.suppress(OSError):  # where it was not changed at all
                os.ftruncate(descriptor, own.end)
                os.lseek(descriptor, own.begin, os.SEEK_SET)
                os.write(descriptor, before)
            raise
        os.ftruncate(descriptor, own.begin + len(row))
        sync(descriptor)
    finally:
        os.close(descriptor)


def _row_of(descriptor: int, size: int, run_id: str) -> Span | None:
    """Return the last row of a run."""
    needle = run_id.encode("utf-8", "replace")
    end = size
    while end > max(0, size - _SEARCHED):
        begin = max(0, end - _BLOCK)
        # More on both sides, so that a row at the edge is whole.
        low = max(0, begin - LONGEST_ROW)
        block = _read(descriptor, Span(low, min(size, end + LONGEST_ROW)))
        at = len(block)
        while (at := block.rfind(needle, 0, at)) >= 0:
            line = line_at(block, at)
            if is_row_of(block[line.begin : line.end], run_id):
                return Span(low + line.begin, low + line.end)
            at = line.begin
        end = begin
    return None


def _edited(descriptor: int, size: int, edits: Iterable[tuple[Span, bytes]]) -> Iterator[bytes]:
    """Yield a file with some parts replaced."""
    at = 0
    for span, new in edits:
        yield from _blocks(descriptor, Span(at, span.begin))
        yield new
        at = span.end
    yield from _blocks(descriptor, Span(at, size))


def _blocks(descriptor: int, span: Span) -> Iterator[bytes]:
    for begin in range(span.begin, span.end, _BLOCK):
        yield _read(descriptor, Span(begin, min(begin + _BLOCK, span.end)))


def _read(descriptor: int, span: Span) -> bytes:
    os.lseek(descriptor, span.begin, os.SEEK_SET)
    return os.read(descriptor, span.end - span.begin)


def _unused_name(path: Path) -> Path:
    """Return the first unused of ``x.csv.bak``, ``x.csv_0.bak``, ``x.csv_1.bak`` …."""
    candidate, number = path.with_name(f"{path.name}.bak"), 0
    while os.path.lexists(candidate):
        candidate = path.with_name(f"{path.name}_{number}.bak")
        number += 1
    return candidate


def _append_to(path: Path, data: bytes) -> None:
    descriptor = open_for_append(path, NEW_FILE_MODE)
    try:
        _write_whole(descriptor, data, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _write_whole(descriptor: int, data: bytes, size_before: int) -> None:
    """Append with one write; if that fails, restore the file."""
    try:
        written = os.write(descriptor, data)
    except OSError:
        os.ftruncate(descriptor, size_before)
        raise
    if written < len(data):
        os.ftruncate(descriptor, size_before)
        raise OSError("the disk is full")
    sync(descriptor)


def _line_end(descriptor: int, size: int) -> bytes:
    """Return the characters that end an incomplete last line, so that the next row is separate."""
    return line_end(_read(descriptor, Span(max(0, size - LONGEST_ROW), size)))
