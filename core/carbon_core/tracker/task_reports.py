"""The results of a run's tasks; extrapolated ones are corrected when their readings arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from carbon_core.records import Window
from carbon_core.report import Report

# Each task is kept until the end.
_MOST_TASKS = 10_000


class Task(Protocol):
    """A task of a run: an `OpenWindow` that is closed.

    Attributes:
        name: Its name; several tasks of a run may have the same.
    """

    name: str

    @property
    def result(self) -> Window:
        """What it measured, as far as it is known."""
        ...


class TaskReports:
    """The reports of the tasks that have ended.

    Args:
        part_report: Returns the report of a window.
        warn: Callback that receives messages for the user.
    """

    def __init__(
        self, part_report: Callable[[Window], Report], warn: Callable[[str], None]
    ) -> None:
        self._part_report = part_report
        self._warn = warn
        self._reports: dict[Task, tuple[str, Report]] = {}
        self._provisional: dict[Task, None] = {}
        # Those that were provisional at their end: a device that joins late counts in them, too.
        self._corrected: dict[Task, None] = {}

    @property
    def reports(self) -> tuple[tuple[str, Report], ...]:
        """Name and report of each task."""
        return tuple(self._reports.copy().values())  # other threads may end tasks meanwhile

    def note(self, task: Task) -> Report:
        """Keep the results of a task, once, and return them."""
        report = self._part_report(task.result)
        if len(self._reports) < _MOST_TASKS:
            self._reports[task] = (task.name, report)
            if report.provisional:
                self._provisional[task] = self._corrected[task] = None
        else:
            self._warn(f"only the first {_MOST_TASKS} tasks are kept for the results")
        return report

    def settle(self, *, is_last: bool = False) -> None:
        """Replace the reports whose late readings have arrived.

        Args:
            is_last: Whether none arrives any more.
        """
        for task in (self._corrected if is_last else self._provisional).copy():
            window = task.result
            if is_last or not window.provisional:
                self._reports[task] = (task.name, self._part_report(window))
                self._provisional.pop(task, None)
