"""Writes the files of a run: the journal during the run, the CSV row and the receipt at its end.

An absent directory is created. If nothing can be written, the user is warned once and the run
continues; `stop()` still returns its results.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from carbon_core import units
from carbon_core.clock import SystemClock
from carbon_core.errors import OutputError
from carbon_core.input_files import InputFileError
from carbon_core.outputs import journal, receipt
from carbon_core.outputs.base import RUNS_DIRECTORY, make_directory, safe_name
from carbon_core.outputs.csv_file import CsvFile, followed, write_table
from carbon_core.outputs.emissions_data import (
    TASK_COLUMNS,
    EmissionsData,
    emissions_data,
    task_data,
)
from carbon_core.outputs.journal import Journal
from carbon_core.report import Report
from carbon_core.trials import TrialResult

_R = TypeVar("_R")

# Limits of the recovery of other runs at the start of a run.
_RECOVERY_S = 0.5
_RECOVERY_BYTES = 2**28


class RunDirectory:
    """An output (see `carbon_core.outputs.base.FileOutput`) that writes the files of a run.

    Args:
        directory: The output directory, with ``emissions.csv`` and the directory ``carbon_runs``.
        csv_name: Name of the CSV file within it.
        always_update: Replace the run's row even at the end of the run.
        keep_journal: Whether to write a journal.
        experiment_name: Part of the name of the tasks' file.
        warn: Receives warnings about files that are written nevertheless.
    """

    def __init__(
        self,
        directory: Path,
        csv_name: str,
        *,
        always_update: bool,
        keep_journal: bool,
        experiment_name: str = "base",
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._warn = warn
        self._experiment_name = experiment_name
        self.csv_path = directory / csv_name
        self.runs_path = directory / RUNS_DIRECTORY
        self._csv = CsvFile(self.csv_path, _lock_path(self.csv_path, self.runs_path), warn=warn)
        self._update_row = always_update
        self._keep_journal = keep_journal
        self._journal: Journal | None = None
        # Trials that have begun or ended before the journal was started.
        self._noted: list[TrialResult] = []
        self._closed = False

    def receipt_path(self, run_id: str) -> Path:
        """Return the path of a run's receipt."""
        return self.runs_path / f"{run_id}{receipt.SUFFIX}"

    def open(self, report: Report) -> None:
        """Start the journal, then recover the results of killed runs."""
        try:
            self.update(report)
        finally:
            if self._keep_journal:
                self._recover()

    def update(self, report: Report) -> None:
        """Append the totals to the journal; start it if that failed before."""
        if self._keep_journal and not self._closed:
            self._with_output_error(lambda: self._append(report))

    def note_trial(self, facts: TrialResult) -> None:
        """Note the begin or the end of a trial in the journal."""
        if self._keep_journal and not self._closed:
            self._noted.append(facts)
            if self._journal is not None:
                self._with_output_error(self._write_noted)

    def flush(self, report: Report) -> None:
        """Save the totals so far in the journal and the CSV files."""
        self._update_row = True
        _raise_first(
            self._errors_of(
                lambda: self.update(report),
                self._make_directory,
                lambda: self._save_csv(emissions_data(report), update=True),
                lambda: self._write_tasks(report),
            )
        )

    def close(self, report: Report) -> None:
        """Save the row and the receipt, then close the journal."""
        saved = False
        try:
            journaled = self._errors_of(lambda: self.update(report), self._make_directory)
            refused = self._save(report, update=self._update_row)
            saved = not refused
        finally:
            self._closed = True
            if self._journal is not None:
                self._journal.close(saved=saved)
                self._journal = None
        if saved:
            for error in journaled:  # no result is lost
                self._warn(str(error))
        else:
            _raise_first([*journaled, *refused])

    def _append(self, report: Report) -> None:
        if self._journal is None:
            make_directory(self.runs_path)
            self._journal = Journal(self._journal_path(report.run.run_id), report)
            self._note_lock(has_lock=self._journal.has_lock)
        self._journal.append(report)
        self._write_noted()

    def _write_noted(self) -> None:
        noted, self._noted = self._noted, []
        if self._journal is not None:
            self._journal.note_trials(noted)

    def _journal_path(self, run_id: str) -> Path:
        return self.runs_path / f"{run_id}{journal.SUFFIX}"

    def _save(self, report: Report, *, update: bool) -> list[OutputError]:
        """Write the files of a finished run; one that is refused does not prevent the others."""
        path = self.receipt_path(report.run.run_id)
        # Where locks do not reach other hosts, another run may have recovered this one.
        known = update or os.path.lexists(path)
        return self._errors_of(
            lambda: self._save_csv(emissions_data(report), update=known),
            lambda: receipt.write(report, path),
            lambda: self._write_tasks(report),
        )

    def _save_csv(self, data: EmissionsData, *, update: bool) -> None:
        if update:
            self._csv.update(data)
        else:
            self._csv.append(data)
        self._note_lock(has_lock=self._csv.has_lock)

    def _note_lock(self, *, has_lock: bool) -> None:
        if not has_lock:
            self._warn(
                f"file locks do not work in {self.runs_path.parent}; files are written without them"
            )

    def _write_tasks(self, report: Report) -> None:
        """Write the file of the run's tasks, if there are any; its name is CodeCarbon's."""
        if not report.tasks:
            return
        name = f"emissions_{safe_name(self._experiment_name)}_{report.run.run_id}.csv"
        rows = [task_data(task, part).values.values() for task, part in report.tasks]
        write_table(self.csv_path.parent / name, TASK_COLUMNS, rows)

    def _recover(self) -> None:
        """Add the results of killed processes, read from their journals.

        Limited in time, number and bytes; the next run continues.
        """
        deadline_ns = SystemClock.monotonic_ns() + units.nanoseconds(_RECOVERY_S)

        def has_time() -> bool:
            return SystemClock.monotonic_ns() < deadline_ns

        left_bytes = _RECOVERY_BYTES
        # Nothing in the files of other runs may stop this one.
        with (
            contextlib.suppress(Exception),
            journal.abandoned(self.runs_path, go_on=has_time) as paths,
        ):
            for path in paths:
                if not has_time() or left_bytes <= 0:
                    break
                with contextlib.suppress(Exception):
                    left_bytes -= path.stat().st_size
                    self._recover_run(path)

    def _recover_run(self, path: Path) -> None:
        try:
            report = journal.read(path)
        except InputFileError as error:
            # Its content will not become valid; but a run that has just begun may still write it.
            if not error.may_change and journal.is_stale(path):
                journal.mark_recovered(path)
                if path.stat().st_size:
                    self._warn(f"a run is not recovered: {error}")
            raise
        own_path = self._journal_path(report.run.run_id)
        if path.name != own_path.name:
            # A copy, perhaps an incomplete one: it must not replace the results of its run.
            journal.mark_recovered(path)
            self._warn(f"a run is not recovered: {path} is named unlike its run, {own_path.name}")
        elif not self._save(report, update=True):
            journal.mark_recovered(path)

    def _make_directory(self) -> None:
        make_directory(self.runs_path)

    def _errors_of(self, *writes: Callable[[], None]) -> list[OutputError]:
        """Call all functions and return their errors."""
        errors: list[OutputError] = []
        for write in writes:
            try:
                self._with_output_error(write)
            except OutputError as error:
                errors.append(error)
            except Exception as error:  # noqa: BLE001 - one file must not cost the others
                errors.append(OutputError(f"cannot write in {self.runs_path.parent}: {error!r}"))
        return errors

    def _with_output_error(self, write: Callable[[], _R]) -> _R:
        try:
            return write()
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"cannot write in {self.runs_path.parent}: {reason}") from error


def _lock_path(csv_path: Path, runs_path: Path) -> Path:
    """Return the lock of a CSV file: the same one for all output directories that lead to the file.

    It is in the output directory where a lock cannot be created beside the file.
    """
    path = csv_path
    # An invalid name is reported by the first write.
    with contextlib.suppress(OutputError, OSError, ValueError):
        path = followed(csv_path)
    place = path.parent / RUNS_DIRECTORY
    existing = place if os.path.lexists(place) else path.parent
    if os.path.lexists(existing) and not os.access(existing, os.W_OK):
        place = runs_path
    return place / f"{path.name}.lock"


def _raise_first(errors: Sequence[OutputError]) -> None:
    if errors:
        raise errors[0]
