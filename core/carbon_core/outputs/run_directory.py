"""Writes the files of a run: the journal during the run, the CSV row and the receipt at its end.

An absent directory is created. If nothing can be written, the user is warned once and the run
continues; `stop()` still returns its results.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from carbon_core.errors import OutputError
from carbon_core.outputs import journal, receipt
from carbon_core.outputs.base import RUNS_DIRECTORY, safe_name
from carbon_core.outputs.csv_file import CsvFile, followed, write_table
from carbon_core.outputs.emissions_data import TASK_COLUMNS, emissions_data, task_data
from carbon_core.outputs.journal import Journal
from carbon_core.report import Report

_R = TypeVar("_R")


class RunDirectory:
    """An output (see `carbon_core.outputs.base.FileOutput`) that writes the files of a run.

    Args:
        directory: The output directory, with ``emissions.csv`` and the directory ``carbon_runs``.
        csv_name: Name of the CSV file within it.
        always_update: Replace the run's row even at the end of the run.
        keep_journal: Whether to write a journal.
        experiment_name: Part of the name of the tasks' file.
        warn: Receives a message when a file is renamed or rows are moved.
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
        self._experiment_name = experiment_name
        self.csv_path = directory / csv_name
        self.runs_path = directory / RUNS_DIRECTORY
        self._csv = CsvFile(self.csv_path, _lock_path(self.csv_path, self.runs_path), warn=warn)
        self._update_row = always_update
        self._keep_journal = keep_journal
        self._journal: Journal | None = None

    def receipt_path(self, run_id: str) -> Path:
        """Return the path of a run's receipt."""
        return self.runs_path / f"{run_id}{receipt.SUFFIX}"

    def open(self, report: Report) -> None:
        """Recover the results of killed runs, then start the journal."""
        self._make_directory()
        if self._keep_journal:
            self._recover()
            path = self.runs_path / f"{report.run.run_id}{journal.SUFFIX}"
            self._journal = self._with_output_error(lambda: Journal(path, report))
            self.update(report)

    def update(self, report: Report) -> None:
        """Append the totals to the journal."""
        if self._journal is not None:
            append = self._journal.append
            self._with_output_error(lambda: append(report))

    def flush(self, report: Report) -> None:
        """Save the totals so far in the journal and the CSV files."""
        self.update(report)
        self._make_directory()
        self._csv.update(emissions_data(report))
        if report.tasks:
            self._with_output_error(lambda: self._write_tasks(report))
        self._update_row = True

    def close(self, report: Report) -> None:
        """Save the row and the receipt, then close the journal."""
        saved = False
        try:
            try:
                self.update(report)
            finally:
                self._make_directory()
                self._save(report, update=self._update_row)
            saved = True
        finally:
            if self._journal is not None:
                self._journal.close(saved=saved)
                self._journal = None

    def _save(self, report: Report, *, update: bool) -> None:
        data = emissions_data(report)
        if update:
            self._csv.update(data)
        else:
            self._csv.append(data)
        path = self.receipt_path(report.run.run_id)
        self._with_output_error(lambda: receipt.write(report, path))
        if report.tasks:
            self._with_output_error(lambda: self._write_tasks(report))

    def _write_tasks(self, report: Report) -> None:
        """Write the file of the run's tasks; its name is CodeCarbon's."""
        name = f"emissions_{safe_name(self._experiment_name)}_{report.run.run_id}.csv"
        rows = [task_data(task, part).values.values() for task, part in report.tasks]
        write_table(self.csv_path.parent / name, TASK_COLUMNS, rows)

    def _recover(self) -> None:
        """Add the results of killed processes, read from their journals."""
        with journal.abandoned(self.runs_path) as paths:
            for path in paths:
                try:
                    self._save(journal.read(path), update=True)
                except (OutputError, OSError):
                    # The journal is invalid or its results cannot be saved: keep it.
                    continue
                journal.mark_recovered(path)

    def _make_directory(self) -> None:
        self._with_output_error(lambda: self.runs_path.mkdir(parents=True, exist_ok=True))

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
