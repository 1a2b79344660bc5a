"""Exports runs to tables: those that are new or have changed since the last export."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from carbon_core.errors import OutputError
from carbon_core.fleet.candidates import Candidate, candidates
from carbon_core.fleet.columns import rows_of
from carbon_core.fleet.files import Exported, ExportFiles
from carbon_core.fleet.values import RunSource, csv_run_id, source_of
from carbon_core.input_files import InputFileError
from carbon_core.outputs import past_rows, past_runs
from carbon_core.outputs.history import PastRun, Skipped, counted_among, run_of, run_of_row
from carbon_core.outputs.journal_locks import RUNNING, RUNNING_OR_LOST

# Runs that are read before the files with most of them are written; the rows of so many take 60 MB.
_MOST_WAITING, _LEAST_WAITING = 10_000, 5_000
_MOST_OUTER = 1_000
_ACTIVE = (RUNNING, RUNNING_OR_LOST)


class Result(NamedTuple):
    """What an export did.

    Attributes:
        added: Number of runs that were exported for the first time.
        changed: Number of runs whose rows were replaced.
        total: Number of runs in the export.
        skipped: Files that could not be read.
    """

    added: int
    changed: int
    total: int
    skipped: list[Skipped]


def export(paths: Iterable[Path], files: ExportFiles) -> Result:
    """Export the runs of files and directories.

    The caller holds the lock of the place.

    Args:
        paths: Receipts, journals, CSV files, and directories that contain them.
        files: The files of the export.

    Raises:
        OutputError: A file of the export cannot be used.
        OSError: It cannot be read or written.
    """
    one = _Export(files)
    one.run(paths)
    return Result(one.added, one.changed, len(one.exported), one.skipped)


class _Export:
    """One export.

    Args:
        files: The files of the export.
    """

    def __init__(self, files: ExportFiles) -> None:
        self._files = files
        self.added = self.changed = 0
        self.skipped: list[Skipped] = []
        self.exported = {one.run_id: one for one in files.load()}
        # Those of receipts and journals whose runs have ended, and those of CSV files, by file.
        self._known = {one.source: one for one in self.exported.values() if _has_ended(one)}
        self._of_csv: dict[str, list[Exported]] = {}
        for one in self.exported.values():
            if one.status is None:
                self._of_csv.setdefault(one.source, []).append(one)
        # Runs found in this export, and those read from a file that is new or has changed. Files of
        # runs that may be needed again.
        self._found: set[str] = set()
        self._read: set[str] = set()
        self._paths: dict[str, str] = {}
        self._rows: dict[str, dict[str, dict[str, list[Any]]]] = {}
        self._waiting = 0
        self._outer = functools.lru_cache(_MOST_OUTER)(self._read_outer)

    def run(self, paths: Iterable[Path]) -> None:
        """Export the runs of files and directories."""
        inner: list[tuple[str, Candidate]] = []
        tables: list[Candidate] = []
        for found in (one for path in paths for one in candidates(path, self._is_known)):
            if isinstance(found, Skipped):
                self.skipped.append(found)
            elif found.is_csv:
                tables.append(found)
            elif found.stem not in self._found and not self._is_known(*found[1:4]):
                self._add_file(found, inner)
        for table in tables:  # last: they have the least details
            self._add_rows(table)
        inner += self._inner_of_changed()
        # Those within one run are together: it is read once.
        for _, candidate in sorted(inner):
            self._add_inner(candidate)
        self._write()

    def _is_known(self, shown: str, size_bytes: int, mtime_ns: int) -> bool:
        """Return whether a file was exported as it is."""
        one = self._known.get(shown)
        if one is None or one.mtime_ns != mtime_ns or one.size_bytes != size_bytes:
            return False
        self._found.add(one.run_id)
        return True

    def _add_file(self, found: Candidate, inner: list[tuple[str, Candidate]]) -> None:
        source = self._source(found)
        if source is None or source.run.run_id in self._found:
            return
        run_id = source.run.run_id
        self._found.add(run_id)
        self._read.add(run_id)
        if source.run.within or found.path != found.shown:
            self._paths[run_id] = found.path
        if source.run.within:
            inner.append((source.run.within[0], found))
        else:
            self._add(source)

    def _source(self, found: Candidate) -> RunSource | None:
        path = Path(found.path)
        try:
            receipt = past_runs.read(path)
        except InputFileError as error:
            self.skipped.append(Skipped(path, error.reason))
            return None
        return source_of(run_of(receipt, path), found.file, receipt)

    def _add_rows(self, found: Candidate) -> None:
        """Add the runs of a CSV file that no receipt or journal has."""
        before = self._of_csv.get(found.shown, [])
        if any((one.size_bytes, one.mtime_ns) == found[2:4] for one in before):
            self._found.update(one.run_id for one in before)
            return
        path = Path(found.path)
        for run in self._rows_of(path):
            earlier = self.exported.get(run.run_id)
            if earlier is not None and earlier.figures == _figures(run):
                self._found.add(run.run_id)
            # What was read from a receipt has more, even if that was deleted since.
            elif run.run_id not in self._found and (earlier is None or earlier.status is None):
                self._found.add(run.run_id)
                self._add(source_of(run, found.file, None))

    def _rows_of(self, path: Path) -> Iterator[PastRun]:
        seen: dict[str, int] = {}
        try:
            for row in past_rows.read(path):
                run = run_of_row(row, path)
                yield run if run.run_id else run._replace(run_id=csv_run_id(run, seen))
        except OSError as error:
            self.skipped.append(Skipped(path, InputFileError(path, error).reason))
        except OutputError as error:
            self.skipped.append(Skipped(path, str(error)))

    def _inner_of_changed(self) -> Iterator[tuple[str, Candidate]]:
        """Yield the files of runs whose outer run is new or has changed; they did not change."""
        for one in list(self.exported.values()):
            if one.within and one.run_id not in self._read:
                outer = one.within.split()
                if not self._read.isdisjoint(outer):
                    for found in candidates(Path(one.source)):
                        if isinstance(found, Candidate):  # it may be deleted
                            yield outer[0], found

    def _add_inner(self, found: Candidate) -> None:
        source = self._source(found)
        if source is not None:
            outer = [one for one in map(self._outer, source.run.within) if one is not None]
            self._add(source._replace(run=counted_among(source.run, outer)))

    def _read_outer(self, run_id: str) -> PastRun | None:
        """Return a run that others are within, from its file."""
        exported = self.exported.get(run_id)
        path = self._paths.get(run_id) or (exported.source if exported else None)
        if path is None:
            return None
        try:
            return run_of(past_runs.read(Path(path)), Path(path))
        except InputFileError:
            return None

    def _add(self, source: RunSource) -> None:
        """Add the rows of a run, in place of earlier ones."""
        run_id, month = source.run.run_id, source.month
        before = self.exported.get(run_id)
        if before is not None and before.month == month:
            part = before.part
        else:
            part = self._files.part_for(month, self._rows)
        if before is None:
            self.added += 1
        else:
            self.changed += 1
            if before.part != part:
                self._rows.setdefault(before.part, {})[run_id] = {}
        self._rows.setdefault(part, {})[run_id] = rows_of(source)
        within = " ".join(source.run.within) or None
        status = source.run.status or None
        facts = run_id, *source.file, status, within, month, *_figures(source.run), part
        self.exported[run_id] = Exported._make(facts)
        self._waiting += 1
        if self._waiting >= _MOST_WAITING:
            self._write(_LEAST_WAITING)

    def _write(self, most_left: int = 0) -> None:
        """Write the rows of files, those with the most runs first: a file is written again for more."""
        chosen = {}
        for part in sorted(self._rows, key=lambda one: -len(self._rows[one])):
            if self._waiting <= most_left and most_left:
                break
            chosen[part] = self._rows.pop(part)
            self._waiting -= len(chosen[part])
        if chosen:
            self._files.write(chosen)


def _figures(run: PastRun) -> tuple[float | None, ...]:
    if not run.is_known:
        return run.duration_s, None, None
    return run.duration_s, run.energy_kwh.value, run.emissions_kg.value


def _has_ended(one: Exported) -> bool:
    """Return whether a run of a receipt or journal has ended; before, its status may change alone."""
    return one.status is not None and one.status not in _ACTIVE
