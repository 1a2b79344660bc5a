"""Shipped tables of public facts; SOURCES.md beside them says where each comes from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator


def rows(name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a shipped table, one at a time.

    The file is read when the first row is asked for and closed before it is handed out, so that
    a caller may stop at any row and leave nothing open.

    Args:
        name: File name of the table without ``.csv``, such as ``grid_country``.

    Yields:
        One mapping of column to text for each row, in the order of the file.

    Raises:
        FileNotFoundError: There is no such table.
    """
    lines = csv.reader(io.StringIO(text(f"{name}.csv"), newline=""))
    columns = next(lines)
    for line in lines:
        yield dict(zip(columns, line, strict=True))


def text(file: str) -> str:
    """Return the contents of a shipped file, such as ``SOURCES.md``.

    Raises:
        FileNotFoundError: There is no such file.
    """
    # Half of the cost of a first look-up is this import: whoever looks nothing up is spared it.
    from importlib.resources import files

    return files(__name__).joinpath(file).read_text(encoding="utf-8")
