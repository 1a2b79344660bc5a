"""The text of rows of ``emissions.csv``, and the search for torn rows in it."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from carbon_core.escaping import csv_cell
from carbon_core.outputs.csv_records import (
    LINE,
    cells_of,
    ends_open,
    records,
)
from carbon_core.outputs.emissions_data import COLUMNS, EmissionsData

_LINE_ENDS = ("\n", "\r")


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
    return csv_cell(value)


def as_cells(data: EmissionsData) -> list[str]:
    """Return the cells of a run; those of figures that are unknown are empty."""
    return [as_cell(value) for value in data.values.values()]


def as_lines(rows: Iterable[Iterable[str]]) -> bytes:
    """Return rows of cells as lines of a CSV file."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode("utf-8", "replace")


def is_row_of(line: bytes, run_id: str) -> bool:
    """Return whether a line is the complete row of a run."""
    column = COLUMNS.index("run_id")
    text = line.decode("utf-8", "replace")
    cells = (cells_of(text) or []) if _is_complete(text) else []
    return cells[column : column + 1] == [run_id]


def line_at(block: bytes, at: int) -> Span:
    """Return the line that contains the byte at an offset."""
    begin = block.rfind(b"\n", 0, at) + 1
    begin = max(begin, block.rfind(b"\r", begin, at) + 1)
    end = block.find(b"\n", at) + 1 or len(block)
    return Span(begin, block.find(b"\r", at, end - 2) + 1 or end)


def line_end(last_part: bytes) -> bytes:
    """Return the characters that end the last line of a file, so that the next row is separate."""
    if last_part.endswith((b"\n", b"\r")):
        return b"" if last_part.endswith(b"\n") else b"\n"
    lines = _lines_of(last_part.decode("latin-1"))
    separate = chain.from_iterable(records(line, lines, _is_complete) for line in lines)
    last = deque(separate, 1)[0] if last_part else ""
    return (b'"\n' if ends_open(last) else b"\n") if last else b""


def torn_rows(block: bytes, *, begins_file: bool) -> list[Span]:
    """Return the rows that do not have all columns, such as one whose writer was killed.

    Args:
        block: The last part of a file, or all of it.
        begins_file: Whether it begins with the file's header; otherwise the rows before the first
            complete one are skipped.
    """
    text = block.decode("latin-1")  # a character for each byte
    lines = _lines_of(text)
    at = len(next(lines, ""))
    if not begins_file:
        for line in lines:
            if _is_complete(line):
                lines = chain((line,), lines)
                break
            at += len(line)
    found: list[Span] = []
    for line in lines:
        for record in records(line, lines, _is_complete):
            end = at + len(record)
            # A row without a line break, but with a row after it, may lack the end of its last cell.
            is_whole = _is_complete(record) and (end == len(text) or record.endswith(_LINE_ENDS))
            if record.strip() and not is_whole:
                found.append(Span(at, end))
            at = end
    return found


def _lines_of(text: str) -> Iterator[str]:
    return (match[0] for match in LINE.finditer(text))


def _is_complete(text: str) -> bool:
    if '"' not in text:
        return text.count(",") == len(COLUMNS) - 1
    return len(cells_of(text) or ()) == len(COLUMNS)
