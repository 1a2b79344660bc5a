"""Counters of this process for Prometheus: sums over its runs that never fall.

A run's totals may fall when a late reading or a late intensity corrects them. A counter then keeps its
value until the total has reached it. A run that ends stays in the sums, so that the counters continue
with the next run of the process.
"""

from __future__ import annotations

import os
import threading
from typing import NamedTuple

from carbon_core.outputs.metric_families import RUN_LABELS, Sample, counters_of, label
from carbon_core.report import Report

# Ended runs that are known by their id: outputs of one run end at different times.
_MOST_ENDED = 256


class _Key(NamedTuple):
    """A series: its metric, and the values of its labels, in their order."""

    family: str
    run: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]


class ProcessCounters:
    """The sums over the runs of a process. Several threads may use them."""

    def __init__(self) -> None:
        # Re-entrant: the garbage collector may close a run within any line.
        self._lock = threading.RLock()
        self._running: dict[str, dict[_Key, float]] = {}
        self._nested: dict[str, bool] = {}
        self._ended: dict[str, dict[str, str]] = {}
        self._sums: dict[_Key, float] = {}
        self._shown: dict[_Key, float] = {}

    def update(self, report: Report, experiment: str) -> tuple[dict[str, str], list[Sample]]:
        """Add the totals of a run so far, instead of its earlier ones.

        Args:
            report: The totals.
            experiment: Value of the label ``experiment``.

        Returns:
            The values of `RUN_LABELS` by name, and the counters of the series that the run has.
        """
        with self._lock:
            labels = self._labels(report, experiment)
            run = tuple(labels.values())
            own = {
                _Key(one.family, run, tuple(one.labels.items())): one.value
                for one in counters_of(report)
            }
            if report.run.run_id not in self._ended:
                self._add(report, own, labels)
            shown = [Sample(key.family, dict(key.labels), self._value(key)) for key in own]
        return labels, shown

    def _add(self, report: Report, own: dict[_Key, float], labels: dict[str, str]) -> None:
        run_id = report.run.run_id
        if report.status == "running":
            self._running[run_id] = own
            return
        self._running.pop(run_id, None)
        self._nested.pop(run_id, None)
        self._ended[run_id] = labels
        while len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        for key, value in own.items():
            self._sums[key] = self._sums.get(key, 0.0) + value

    def _value(self, key: _Key) -> float:
        running = sum(values.get(key, 0.0) for values in list(self._running.values()))
        value = max(self._shown.get(key, 0.0), self._sums.get(key, 0.0) + running)
        self._shown[key] = value
        return value

    def _labels(self, report: Report, experiment: str) -> dict[str, str]:
        run = report.run
        if run.run_id in self._ended:
            return self._ended[run.run_id]
        nested = self._nested.get(run.run_id) or any(one in self._running for one in run.within)
        self._nested[run.run_id] = nested
        values = run.project_name, experiment, run.rank, "true" if nested else "false"
        return dict(zip(RUN_LABELS, map(label, values)))


_of_process: dict[int, ProcessCounters] = {}


def process_counters() -> ProcessCounters:
    """Return the counters of this process; a forked child begins with its own."""
    return _of_process.setdefault(os.getpid(), ProcessCounters())
