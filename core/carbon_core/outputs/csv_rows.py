"""The text of rows of ``emissions.csv``, and the search for torn rows in it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from carbon_core.outputs.emissions_data import COLUMNS

_MAX_CELL = 1000
# A spreadsheet evaluates a cell that begins with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# The first cell of a row.
_TIMESTAMP = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")


class Span(NamedTuple):
    """A part of a file: offsets of its first byte and of the one after its last."""

    begin: int
    end: int


def as_cell(value: Any) -> str:
    """Return a value as the text of a cell: one line, printable, no formula."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    clean = "".join(c if c.isprintable() else " " for c in value[:_MAX_CELL])
    return "'" + clean if value.startswith(_FORMULA_STARTS) else clean


def as_lines(rows: Iterable[Iterable[str]]) -> bytes:
    """Return rows of cells as lines of a CSV file."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode("utf-8", "replace")


def is_row_of(line: bytes, run_id: str) -> bool:
    """Return whether a line is the row of a run."""
    column = COLUMNS.index("run_id")
    return _cells(line)[column : column + 1] == [run_id]


def torn_rows(block: bytes, *, begins_file: bool) -> list[Span]:
    """Return the rows that do not have all columns, such as one whose writer was killed.

    Args:
        block: The last part of a file, or all of it.
        begins_file: Whether it begins with the file's header; otherwise the rows before the first
            complete one are skipped.
    """
    found: list[Span] = []
    at = block.find(b"\n") + 1 or len(block)
    if not begins_file:
        at = next(
            (line.begin for line in _lines(block, at) if _begins_row(block, line)), len(block)
        )
    while at < len(block):
        first = next(_lines(block, at))
        record = first if _is_complete(block[first.begin : first.end]) else _record(block, first)
        text = block[record.begin : record.end]
        if text.strip() and not _is_complete(text):
            # Another row may have been appended to the torn one, without a line break between.
            record = first._replace(end=_glued_row(block, first) or record.end)
            found.append(record)
        at = record.end
    return found


def _record(block: bytes, first: Span) -> Span:
    """Return a line with the lines that its quoted cells continue on, up to the next row at most."""
    quotes = 0
    end = first.end
    for line in _lines(block, first.begin):
        if line != first and _begins_row(block, line):
            break
        end = line.end
        quotes += block.count(b'"', line.begin, line.end)
        if quotes % 2 == 0:
            break
    else:
        # The quotation mark is never closed: only its own line is torn.
        return first
    return first._replace(end=end)


def _glued_row(block: bytes, line: Span) -> int | None:
    """Return where a complete row begins within a line, after its beginning."""
    for match in _TIMESTAMP.finditer(block, line.begin + 1, line.end):
        if _is_complete(block[match.start() : line.end]):
            return match.start()
    return None


def _begins_row(block: bytes, line: Span) -> bool:
    text = block[line.begin : line.end]
    return _TIMESTAMP.match(text) is not None and _is_complete(text)


def _is_complete(text: bytes) -> bool:
    if b'"' not in text:
        return text.count(b",") == len(COLUMNS) - 1
    return text.count(b'"') % 2 == 0 and len(_cells(text)) == len(COLUMNS)


def _cells(text: bytes) -> list[str]:
    decoded = text.decode("utf-8", "replace").rstrip("\r\n").replace("\0", " ")
    try:
        return next(csv.reader(io.StringIO(decoded, newline="")), [])
    except csv.Error:  # a cell of another program, too long for Python's reader
        return []


def _lines(block: bytes, at: int) -> Iterator[Span]:
    while at < len(block):
        end = block.find(b"\n", at) + 1 or len(block)
        yield Span(at, end)
        at = end
