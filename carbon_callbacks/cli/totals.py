"""Totals of runs, with memory independent of the number of runs."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from carbon_core.outputs.history import PastRun, Skipped
from carbon_core.outputs.receipt_reading import EVALUATION
from carbon_core.outputs.run_totals import Total
from carbon_core.outputs.studies import StudySum, StudyTotals

__all__ = ["History", "Total", "group_of", "project_of"]

_EVALUATIONS = ", evaluations"


def group_of(run: PastRun) -> str:
    """Return the group that a run is added up in: the runs of a project, or its evaluations."""
    project = run.project_label or run.project_name
    return project + _EVALUATIONS if run.kind == EVALUATION else project


def project_of(group: str) -> str:
    """Return the project of a group."""
    return group.removesuffix(_EVALUATIONS)


@dataclass
class History:
    """Totals of runs by project and, optionally, by day, and the most recent runs.

    Attributes:
        latest: Number of recent runs to keep.
        with_days: Whether to compute totals by day.
        lists_studies: Whether the runs of studies are among the recent runs.
        total: Total of all runs.
        projects: Totals by group: the project as it is displayed; its evaluations are a group of their
            own (`group_of`).
        days: Totals by day (ISO date) and group.
        skipped: Files without a readable run.
        studies: Totals by study.
    """

    latest: int
    with_days: bool = False
    lists_studies: bool = True
    total: Total = field(default_factory=Total)
    projects: dict[str, Total] = field(default_factory=dict)
    days: dict[tuple[str, str], Total] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    studies: dict[str, StudySum] = field(default_factory=dict)
    _unlisted: int = 0
    _heap: list[tuple[str, int, PastRun]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def add(self, run: PastRun) -> None:
        """Add a run."""
        self.total.add(run)
        group = group_of(run)
        project = self.projects.get(group)
        if project is None:
            project = self.projects[group] = Total()
        project.add(run)
        if self.with_days:
            self.days.setdefault((run.time[:10], group), Total()).add(run)
        if run.study is not None:
            study_id = run.study.study_id
            self.studies.setdefault(study_id, StudySum(study_id)).add(run)
            if not self.lists_studies:
                self._unlisted += 1
                return
        if len(self._heap) < self.latest:
            heapq.heappush(self._heap, (run.time, next(self._numbers), run))
        elif self.latest and run.time > self._heap[0][0]:
            heapq.heapreplace(self._heap, (run.time, next(self._numbers), run))

    @property
    def recent_of_total(self) -> str:
        """Number of recent runs as text, with that of all runs if they differ."""
        recent = len(self._heap)
        total = self.total.runs + self.total.within - self._unlisted
        return f"{recent:,}" if recent == total else f"{recent:,} of {total:,}"

    @property
    def runs(self) -> list[PastRun]:
        """The most recent runs, newest first."""
        return [run for _, _, run in sorted(self._heap, reverse=True)]

    @property
    def study_totals(self) -> list[StudyTotals]:
        """The studies, that with most energy first."""
        found = [one.totals() for one in self.studies.values()]
        return sorted(found, key=lambda one: -(one.energy_kwh or 0.0))
