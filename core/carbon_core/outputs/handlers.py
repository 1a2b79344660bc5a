"""Adapters for outputs that users bring: CodeCarbon's interface, and Python's logging."""

from __future__ import annotations

import json
import logging
from typing import Any

from carbon_core.outputs.emissions_data import delta_data, emissions_data, task_data
from carbon_core.records import Amounts
from carbon_core.report import Report


class CodeCarbonHandler:
    """An object with CodeCarbon's ``out``, ``live_out``, ``task_out`` and ``exit`` as an output.

    Args:
        handler: The object; of these methods, what it lacks is not called.
        experiment_name: Passed to ``task_out``.
    """

    calls_program = True

    def __init__(self, handler: Any, experiment_name: str) -> None:
        self._handler = handler
        self._experiment_name = experiment_name

    def open(self, report: Report) -> None:
        """No-op: CodeCarbon's interface has no method for the start."""

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """Call ``live_out``."""
        return self._out("live_out", report, delta)

    def flush(self, report: Report, delta: Amounts) -> Amounts | None:
        """Call ``out``, and ``task_out`` for the tasks that have ended, if any."""
        accepted = self._out("out", report, delta)
        tasks = [task_data(name, task) for name, task in report.tasks]
        if tasks and hasattr(self._handler, "task_out"):
            self._handler.task_out(tasks, self._experiment_name)
        return accepted

    def close(self, report: Report, delta: Amounts) -> Amounts | None:
        """Call what a flush calls, and ``exit``."""
        self.flush(report, delta)
        if hasattr(self._handler, "exit"):
            self._handler.exit()
        return None

    def _out(self, method: str, report: Report, delta: Amounts) -> Amounts | None:
        if not hasattr(self._handler, method):
            return Amounts()
        total = emissions_data(report)
        getattr(self._handler, method)(total, delta_data(total, delta))
        return None


def adapted(handler: Any, experiment_name: str) -> CodeCarbonHandler:
    """Return an object of CodeCarbon's kind as an output."""
    return CodeCarbonHandler(handler, experiment_name)


class LoggerOutput:
    """The totals as one line of JSON in a logger of Python.

    Args:
        logger: The logger.
        level: The level of its records.
    """

    calls_program = True

    def __init__(self, logger: logging.Logger, level: int = logging.INFO) -> None:
        self._logger = logger
        self._level = level

    def open(self, report: Report) -> None:
        """Nothing is logged at the beginning."""

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """Log the totals so far."""
        self._logger.log(self._level, json.dumps(emissions_data(report).values, default=str))
        return None

    close = update
