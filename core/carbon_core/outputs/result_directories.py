"""Finds output directories below a directory: those with ``carbon_runs`` or CodeCarbon's file.

The search is bounded, because the directory may be a home directory, or full of data. Links to
directories are followed, each directory once.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from carbon_core.outputs.base import RUNS_DIRECTORY

MOST_DIRECTORIES = 10_000
_DEEPEST = 10
_CSV_FILES = ("emissions*.csv", "emissions*.csv*.bak")
# Besides hidden ones: directories of programs, which have no results.
_NOT_SEARCHED = frozenset({RUNS_DIRECTORY, "__pycache__", "node_modules", "site-packages"})


class Search:
    """A search below a directory.

    Attributes:
        is_complete: Whether all directories were searched; valid when it has ended.

    Args:
        top: Where to search; not a result itself.
        most: At most so many directories are searched.
    """

    def __init__(self, top: Path, most: int = MOST_DIRECTORIES) -> None:
        self.is_complete = True
        self._top = top
        self._left = most

    def found(self) -> Iterator[tuple[Path, list[Path]]]:
        """Yield each output directory with its CSV files; those that are less deep come first."""
        seen = {_identity(self._top)}
        waiting = deque([(self._top, 0)])
        while waiting:
            directory, depth = waiting.popleft()
            if not self._left:
                self.is_complete = False
                return
            self._left -= 1
            entries = _entries(directory)
            names = [entry.name for entry in entries]
            if depth:
                files = [name for name in names if any(fnmatch(name, one) for one in _CSV_FILES)]
                if files or RUNS_DIRECTORY in names:
                    yield directory, [directory / name for name in files]
            for entry in entries if depth < _DEEPEST else ():
                if _is_searched(entry) and (identity := _identity(Path(entry.path))) not in seen:
                    seen.add(identity)
                    waiting.append((Path(entry.path), depth + 1))


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _is_searched(entry: os.DirEntry[str]) -> bool:
    try:
        is_hidden = entry.name.startswith(".") or entry.name in _NOT_SEARCHED
        return not is_hidden and entry.is_dir()
    except OSError:
        return False


def _identity(directory: Path) -> tuple[int, int] | None:
    try:
        status = directory.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
