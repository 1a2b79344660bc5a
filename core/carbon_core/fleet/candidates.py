"""Finds the files that may have runs, without reading them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from carbon_core.fleet.values import File
from carbon_core.input_files import InputFileError
from carbon_core.outputs import past_rows, receipt
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.outputs.history import Skipped
from carbon_core.outputs.journal_locks import SUFFIX as JOURNAL_SUFFIX
from carbon_core.outputs.result_directories import MOST_DIRECTORIES, Search

_SUFFIXES = (receipt.SUFFIX, JOURNAL_SUFFIX)


class Candidate(NamedTuple):
    """A file that may have runs.

    Attributes:
        path: The file.
        shown: Its absolute path as text that can be written to any file.
        size_bytes: Its size.
        mtime_ns: Time of its last change, in nanoseconds.
        is_csv: Whether it is a CSV file.
    """

    path: str
    shown: str
    size_bytes: int
    mtime_ns: int
    is_csv: bool = False

    @property
    def file(self) -> File:
        """The file as the rows of its runs have it."""
        return File(*self[1:4])

    @property
    def stem(self) -> str:
        """The name of a receipt or a journal without the suffix, which is the run's id."""
        name = self.path.rpartition(os.sep)[2]
        return next((name[: -len(one)] for one in _SUFFIXES if name.endswith(one)), "")


# Gets the absolute path as text, size and time of a file.
IsKnown = Callable[[str, int, int], bool]


def candidates(
    path: Path, is_known: IsKnown = lambda *file: False
) -> Iterator[Candidate | Skipped]:
    """Yield the files of a path that may have runs, the most detailed kind first.

    Args:
        path: A file, or a directory: its ``carbon_runs``, its CSV files, and those below it.
        is_known: Returns whether a receipt need not be yielded.
    """
    if not os.path.isdir(path):  # noqa: PTH112 - `Path.is_dir` may raise, such as for a long name
        yield _of_file(path)
        return
    yield from _of_runs(path, is_known)
    for file in (*sorted(path.glob("*.csv")), *sorted(path.glob("*.csv*.bak"))):
        yield from _of_csv(file)
    if path.name == RUNS_DIRECTORY:
        return
    search = Search(path)
    for directory, files in search.found():
        yield from _of_runs(directory, is_known)
        for file in files:
            yield from _of_csv(file)
    if not search.is_complete:
        yield Skipped(path, f"only {MOST_DIRECTORIES:,} of its sub-directories were searched")


def _of_runs(directory: Path, is_known: IsKnown) -> Iterator[Candidate | Skipped]:
    """Yield the receipts of a directory, and then its journals, each by name."""
    runs = directory if directory.name == RUNS_DIRECTORY else directory / RUNS_DIRECTORY
    prefix = _absolute(runs) + os.sep
    found: list[Candidate] = []
    try:
        with os.scandir(runs) as entries:
            for entry in entries:
                name = entry.name
                if not name.endswith(_SUFFIXES):
                    continue
                try:
                    status = entry.stat()
                except OSError as error:  # deleted, or a link to nothing
                    yield Skipped(Path(entry.path), InputFileError(runs, error).reason)
                    continue
                shown = prefix + name if name.isascii() else prefix + _shown(name)
                file = shown, status.st_size, status.st_mtime_ns
                if not (name.endswith(receipt.SUFFIX) and is_known(*file)):
                    found.append(Candidate(shown if entry.path == shown else entry.path, *file))
    except FileNotFoundError:
        return
    except OSError as error:
        yield Skipped(runs, InputFileError(runs, error).reason)
        return
    found.sort(key=lambda one: (one.path.endswith(JOURNAL_SUFFIX), one.path))
    yield from found


def _of_csv(path: Path) -> Iterator[Candidate | Skipped]:
    if not past_rows.is_of_tasks(path):
        yield _of_file(path)


def _of_file(path: Path) -> Candidate | Skipped:
    try:
        status = path.stat()
    except OSError as error:
        return Skipped(path, InputFileError(path, error).reason)
    except ValueError as error:  # a name with a null byte
        return Skipped(path, str(error))
    is_csv = path.suffix == ".csv" or (path.suffix == ".bak" and ".csv" in path.name)
    facts = status.st_size, status.st_mtime_ns, is_csv
    return Candidate(os.fspath(path), _absolute(path), *facts)


def _absolute(path: Path) -> str:
    return _shown(os.path.abspath(path))  # noqa: PTH100 - `Path.resolve` follows links


def _shown(name: str) -> str:
    """Return a name as text that can be written to any file: names may be bytes of any kind."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()
