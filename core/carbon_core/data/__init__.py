"""The package's data tables; SOURCES.md in this directory has their sources."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator


def rows(name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a shipped table, one at a time.

    The file is read and closed before the first row is yielded, so that no file stays open if the
    caller stops at any row.

    Args:
        name: File name of the table without ``.csv``, such as ``grid_country``.

    Yields:
        A mapping of column to text for each row, in the order of the file.

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
    # This import takes half of the time of the first look-up; imported only when needed.
    from importlib.resources import files

    return files(__name__).joinpath(file).read_text(encoding="utf-8")
