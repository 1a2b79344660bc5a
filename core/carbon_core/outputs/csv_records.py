"""Splits the text of a CSV file into rows, where programs have left torn rows between valid ones.

The reader of ``emissions.csv`` and its writer use the same rules:

a row that is complete by itself    is a row, also within an open quotation mark of an earlier one
an open quotation mark              continues on the next lines if that gives a complete row, before
                                    such a row begins; otherwise only its own line is torn
a row appended to a torn one        is a row, if it begins with a time

Unlike in Python's `csv`, a cell may have any length and any character.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator

# The first cell of a row.
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
# More lines in one quoted cell are taken for an open quotation mark.
LONGEST_ROW = 2**18
# A row that follows a torn one begins with one of the last times of its line.
_MOST_TIMES = 16


def cells_of(row: str) -> list[str] | None:
    """Return the cells of a row; None if a quotation mark is still open at its end."""
    row = row.rstrip("\r\n")
    cells: list[str] = []
    at = 0
    while True:
        end = _after_quotes(row, at + 1) if row.startswith('"', at) else at
        if end < 0:
            return None
        stop = _next_comma(row, end)
        quoted = row[at + 1 : end - 1].replace('""', '"') if end > at else ""
        cells.append(quoted + row[end:stop])
        if stop == len(row):
            return cells
        at = stop + 1


def ends_open(line: str, *, begins_open: bool = False) -> bool:
    """Return whether a quotation mark is open at the end of a line.

    Args:
        line: A line of a file.
        begins_open: Whether one is open at its beginning.
    """
    opened = begins_open or line.startswith('"')
    at = 1 if opened and not begins_open else 0
    while True:
        if opened:
            at = _after_quotes(line, at)
            if at < 0:
                return True
        at = _next_comma(line, at) + 1
        if at > len(line):
            return False
        opened = line.startswith('"', at)
        at += opened


def records(
    line: str,
    following: Iterator[str],
    is_complete: Callable[[str], bool],
    begins_with_time: bool = True,
) -> Iterator[str]:
    """Yield a line with those that its quoted cells continue on, and then the lines read ahead.

    A line in which a row was appended to a torn one is yielded as two.

    Args:
        line: A line of a file.
        following: The lines after it; those that are read are yielded.
        is_complete: Whether a text is a row with all columns.
        begins_with_time: Whether the first cell of a row is a time.
    """
    parts = _parts(line, is_complete, begins_with_time)
    if len(parts) > 1 or not ends_open(line):
        yield from parts
        return
    ahead: list[str] = []
    length = 0
    for more in following:
        parts = _parts(more, is_complete, begins_with_time)
        ahead += parts
        length += len(more)
        if length > LONGEST_ROW or len(parts) > 1 or is_complete(more):
            break
        if not ends_open(more, begins_open=True):
            if is_complete(whole := line + "".join(ahead)):
                yield whole
                return
            break
    # Lines read ahead are not continued in turn: the time would be quadratic.
    yield line
    yield from ahead


def _parts(line: str, is_complete: Callable[[str], bool], begins_with_time: bool) -> list[str]:
    """Split a line into a torn row and the complete row that was appended to it, if it has both."""
    if begins_with_time and not is_complete(line):
        for match in deque(TIMESTAMP.finditer(line, 1), _MOST_TIMES):
            at = match.start()
            if is_complete(line[at:]):
                return [line[:at], line[at:]]
    return [line]


def _after_quotes(text: str, at: int) -> int:
    """Return the offset after the quotation mark that closes a cell; -1 without one."""
    while (at := text.find('"', at)) >= 0:
        if not text.startswith('"', at + 1):
            return at + 1
        at += 2
    return -1


def _next_comma(text: str, at: int) -> int:
    comma = text.find(",", at)
    return len(text) if comma < 0 else comma
