"""The package's data tables; SOURCES.md in this directory has their sources."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from typing import Any


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
    # Also works in a zip file or a bundled program; `importlib.resources` loads twenty modules.
    loader: Any = __spec__.loader
    try:
        data: bytes = loader.get_data(os.path.join(os.path.dirname(__file__), file))  # noqa: PTH118, PTH120
    except OSError as error:
        raise FileNotFoundError(f"there is no data file {file}") from error
    return data.decode("utf-8")
