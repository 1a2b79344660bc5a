"""The data of the page: one row for each run, the details of runs, and shared tables.

The page stays small with any number of runs: details and timelines are those of the newest runs, as many
as fit; totals and rows are those of all that are listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carbon_callbacks.cli.html import elsewhere, run_view
from carbon_callbacks.cli.html.advice import Adviser
from carbon_callbacks.cli.html.by_time import energy_by_time
from carbon_callbacks.cli.html.elsewhere import BestHours
from carbon_callbacks.cli.html.run_data import (
    FIELDS,
    Shared,
    detail,
    figure,
    row_of_run,
    row_of_training,
    timeline,
)
from carbon_callbacks.cli.totals import History, group_of, project_of
from carbon_core.errors import OutputError
from carbon_core.escaping import one_line
from carbon_core.outputs import past_runs
from carbon_core.outputs.history import PastRun
from carbon_core.outputs.merging import Merged, Part, part_of, trainings
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.records import Segment

# Characters of JSON: with 10,000 runs, the page stays below 8 MB.
_MOST_OF_DETAILS = 3_500_000
_MOST_OF_TIMELINES = 1_500_000
_MOST_STEPS, _MOST_STEPS_OF_NEWEST = 160, 480
# Of each kind in one run, such as phases.
_MOST_ROWS = 300
_LONGEST_NAME = 200
# Grades of energy that meters have read.
_METERS = "ABC"
# Projects with a colour of their own; the others share one.
COLOURS = 12
OTHERS = "other projects"


@dataclass
class PageData:
    """What the page needs of the runs.

    Attributes:
        projects: Names of the projects, that with most energy first.
        receipts: Number of runs with a receipt or a journal.
    """

    history: History
    projects: list[str] = field(default_factory=list)
    receipts: int = 0
    adviser: Adviser = field(default_factory=Adviser)
    _measured_kwh: float = 0.0
    _graded_kwh: float = 0.0
    _shared: Shared = field(default_factory=Shared)
    _hours: BestHours = field(default_factory=BestHours)
    _parts: dict[str, Part] = field(default_factory=dict)
    _linked: dict[str, tuple[Segment, ...]] = field(default_factory=dict)
    _details: list[Any] = field(default_factory=list)
    _timelines: dict[int, Any] = field(default_factory=dict)
    _room: int = _MOST_OF_DETAILS
    _room_of_timelines: int = _MOST_OF_TIMELINES

    def __post_init__(self) -> None:
        """Order the projects; the same order and colours are in all charts and tables."""
        by_energy = sorted(
            self.history.projects.items(), key=lambda item: -item[1].energy_kwh.value
        )
        listed = {group_of(run) for run in self.history.runs}
        # A CSV file may have a million others.
        self.projects = [
            name for i, (name, _) in enumerate(by_energy) if i < COLOURS or name in listed
        ]

    @property
    def project_count(self) -> int:
        """Number of projects, listed or not; the evaluations of a project count as another one."""
        return len(self.history.projects)

    @property
    def project_names(self) -> set[str]:
        """Names of the projects, each with its evaluations."""
        return {project_of(group) for group in self.history.projects}

    @property
    def measured_share(self) -> float | None:
        """Share of the energy that meters have read, of grades A to C; None without receipts."""
        return self._measured_kwh / self._graded_kwh if self._graded_kwh else None

    @property
    def is_several(self) -> bool:
        """Whether the page is about several runs."""
        return self.history.total.runs + self.history.total.within > 1

    @property
    def has_metrics(self) -> bool:
        """Whether any run has a logged metric."""
        return any("metrics" in one for one in self._details)

    def colour_of(self, project: int) -> int:
        """Return the index of the colour of a project; those with little energy share the last one."""
        return project if self.project_count <= COLOURS else min(project, COLOURS - 1)

    def as_json(self) -> str:
        """Return the data as the text of a script element."""
        indexes = {name: i for i, name in enumerate(self.projects)}
        rows = {}
        for i, run in enumerate(self.history.runs):
            # A row of a CSV file may have no id.
            key = run.run_id or f"row {i}"
            rows[key] = self._row(run, indexes[group_of(run)])
        data = {
            "fields": FIELDS,
            "projects": [one_line(name, _LONGEST_NAME) for name in self.projects],
            "colours": [self.colour_of(i) for i in range(len(self.projects))],
            "others": OTHERS if self.project_count > COLOURS else None,
            "rows": list(self._joined(rows)),
            "total": self._total(),
            "details": self._details,
            "timelines": self._timelines,
            "by_time": energy_by_time(
                self.history.days,
                lambda name: self.colour_of(indexes.get(name, COLOURS)),
            ),
            "countries": elsewhere.countries(),
            "hours": self._hours.data,
            **self._shared.data,
        }
        return script_json(data)

    def _total(self) -> dict[str, Any]:
        """Return the total of all runs, with the number of those that are too old to be listed."""
        total = self.history.total
        has_interval = total.without_interval < total.runs - total.unknown
        return {
            "kwh": figure(total.energy_kwh, has_interval) if total.is_known else None,
            "kg": figure(total.emissions_kg, has_interval) if total.is_known else None,
            "unlisted": total.runs + total.within - len(self.history.runs),
        }

    def _row(self, run: PastRun, project: int) -> list[Any]:
        found = _receipt(run)
        grades = "" if found is None else _grades(found)
        row = row_of_run(run, project, grades, self._shared)
        if found is not None and run.path is not None:
            self.receipts += 1
            self._parts[run.run_id] = part_of(found)
            self._linked[run.run_id] = found.linked
            self.adviser.add(found)
            for grade, share in found.share_by_grade.items():
                kwh = found.energy_kwh.estimate.value * share
                self._graded_kwh += kwh
                self._measured_kwh += kwh if grade in _METERS else 0.0
            self._hours.add(found)
            row[FIELDS.index("detail")] = self._add_detail(run.path, found)
        return row

    def _add_detail(self, path: Path, found: Receipt) -> int:
        """Add the details of a run if there is room; return their number, counted from 1, or 0."""
        if self._room <= 0:
            return 0
        data = detail(found, self._shared, _MOST_ROWS)
        self._room -= len(_compact(data))
        self._details.append(data)
        number = len(self._details)
        if self._room_of_timelines > 0:
            most_steps = _MOST_STEPS_OF_NEWEST if number == 1 else _MOST_STEPS
            view = run_view.load(path, found, most_steps)
            drawn = timeline(view, self._shared)
            if drawn is not None:
                self._room_of_timelines -= len(_compact(drawn))
                self._timelines[number] = drawn
        return number

    def _joined(self, rows: Mapping[str, list[Any]]) -> Iterator[list[Any]]:
        """Yield one row for each training, newest first: of its only run, or of all its parts."""
        whole = {}
        hidden: set[str] = set()
        for training in self._trainings():
            last = next(
                part.segment.run_id
                for part in reversed(training.parts)
                if part.segment.run_id in self._parts
            )
            hidden |= {part.segment.run_id for part in training.parts} - {last}
            whole[last] = row_of_training(training, rows, self._shared)
        for key, row in rows.items():
            if key not in hidden:
                yield whole.get(key, row)

    def _trainings(self) -> Sequence[Merged]:
        return [one for one in trainings(self._parts, self._linked) if len(one.parts) > 1]


def script_json(data: Any) -> str:
    """Return data as JSON that cannot end its script element; text of others is plain."""
    text = _compact(_plain(data))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _compact(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Return data whose text has no control characters and changes of direction."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, int) else one_line(key): _plain(v) for key, v in value.items()
        }
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _receipt(run: PastRun) -> Receipt | None:
    """Return the receipt of a run; None of a row of a CSV file, and where the file has gone since."""
    try:
        return past_runs.read(run.path) if run.path is not None else None
    except OutputError:
        return None


def _grades(found: Receipt) -> str:
    shares = sorted(found.share_by_grade.items(), key=lambda item: -item[1])
    return " ".join(grade for grade, share in shares if share >= 0.005)
