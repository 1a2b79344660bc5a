"""Finds the files that may have runs, without reading them, in the order of `history.read`."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
        file: Its absolute path as text, its size and time.
        stem: Its name without the suffix, which is the run's id; empty for a CSV file.
        is_csv: Whether it is a CSV file.
    """

    path: str
    file: File
    stem: str
    is_csv: bool


def candidates(path: Path) -> Iterator[Candidate | Skipped]:
    """Yield the files of a path that may have runs, the most detailed kind first.

    Args:
        path: A file, or a directory: its ``carbon_runs``, its CSV files, and those below it.
    """
    if not os.path.isdir(path):  # noqa: PTH112 - `Path.is_dir` may raise, such as for a long name
        yield _of_file(path)
        return
    yield from _of_runs(path)
    for file in (*sorted(path.glob("*.csv")), *sorted(path.glob("*.csv*.bak"))):
        yield from _of_csv(file)
    if path.name == RUNS_DIRECTORY:
        return
    search = Search(path)
    for directory, files in search.found():
        yield from _of_runs(directory)
        for file in files:
            yield from _of_csv(file)
    if not search.is_complete:
        yield Skipped(path, f"only {MOST_DIRECTORIES:,} of its sub-directories were searched")


def _of_runs(directory: Path) -> Iterator[Candidate | Skipped]:
    """Yield the receipts of a directory, and then its journals, each by name."""
    runs = directory if directory.name == RUNS_DIRECTORY else directory / RUNS_DIRECTORY
    absolute = _absolute(runs)
    found: dict[str, list[Candidate]] = {suffix: [] for suffix in _SUFFIXES}
    try:
        with os.scandir(runs) as entries:
            for entry in entries:
                name = entry.name
                suffix = next((one for one in _SUFFIXES if name.endswith(one)), None)
                if suffix is None:
                    continue
                try:
                    status = entry.stat()
                except OSError as error:  # deleted, or a link to nothing
                    yield Skipped(Path(entry.path), InputFileError(runs, error).reason)
                    continue
                file = File(f"{absolute}/{_shown(name)}", status.st_size, status.st_mtime_ns)
                found[suffix].append(Candidate(entry.path, file, name[: -len(suffix)], False))
    except FileNotFoundError:
        return
    except OSError as error:
        yield Skipped(runs, InputFileError(runs, error).reason)
        return
    for suffix in _SUFFIXES:
        yield from sorted(found[suffix], key=lambda one: one.stem)


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
    stem = next((path.name[: -len(one)] for one in _SUFFIXES if path.name.endswith(one)), "")
    is_csv = path.suffix == ".csv" or (path.suffix == ".bak" and ".csv" in path.name)
    file = File(_absolute(path), status.st_size, status.st_mtime_ns)
    return Candidate(os.fspath(path), file, stem, is_csv)


def _absolute(path: Path) -> str:
    return _shown(os.path.abspath(path))  # noqa: PTH100 - `Path.resolve` follows links


def _shown(name: str) -> str:
    """Return a name as text that can be written to any file: names may be bytes of any kind."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()
