"""Merges the runs of a training, its ranks and its earlier run attempts, from their files.

A receipt or a journal has the ids of the earlier runs that its run continues and of the other ranks
that it received totals from. Runs that are linked by these ids are one training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from carbon_core.errors import OutputError
from carbon_core.input_files import require_regular, text_of
from carbon_core.outputs import journal, receipt
from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.records import Segment
from carbon_core.segments import merged

MISSING = "missing"


class Part(NamedTuple):
    """One process's part of a training.

    Attributes:
        segment: Its last available totals.
        status: How its run ended; `MISSING` if it has no file here and only other parts refer to it.
        rank: Its rank; None if its file is missing.
        project_name: Its project; an empty string if its file is missing.
    """

    segment: Segment
    status: str
    rank: int | None
    project_name: str


class Merged(NamedTuple):
    """A training: its parts in the order of their starts, and their totals."""

    parts: tuple[Part, ...]

    @property
    def energy_kwh(self) -> float:
        """Energy in kWh, times PUE."""
        return sum(part.segment.energy_kwh for part in self.parts)

    @property
    def emissions_kg(self) -> float:
        """Emissions in kg CO2e."""
        return sum(part.segment.emissions_kg for part in self.parts)


class _File(NamedTuple):
    part: Part
    linked: tuple[Segment, ...]


def merge(
    directory: Path, skip: Callable[[Path, str], None] = lambda path, reason: None
) -> list[Merged]:
    """Return the trainings whose files are in a directory, oldest first.

    Args:
        directory: An output directory, or its ``carbon_runs``.
        skip: Receives the files that cannot be read, each with the reason.
    """
    runs = directory if directory.name == RUNS_DIRECTORY else directory / RUNS_DIRECTORY
    files = {file.part.segment.run_id: file for file in _files(runs, skip)}
    trainings = [_merged(ids, files) for ids in _groups(files)]
    return sorted(trainings, key=lambda training: training.parts[0].segment.started_at)


def _files(runs: Path, skip: Callable[[Path, str], None]) -> Iterable[_File]:
    receipts = set()
    for path in sorted(runs.glob(f"*{receipt.SUFFIX}")):
        try:
            yield _of_receipt(path)
            receipts.add(path.name.removesuffix(receipt.SUFFIX))
        except OSError as error:
            skip(path, f"cannot be read: {error.strerror or error}")
        except (OutputError, ValueError, KeyError, TypeError, AttributeError):
            skip(path, "not a receipt of a run")
    for path in sorted(runs.glob(f"*{journal.SUFFIX}")):
        if path.name.removesuffix(journal.SUFFIX) not in receipts:
            try:
                yield _of_journal(path)
            except OSError as error:
                skip(path, f"cannot be read: {error.strerror or error}")
            except OutputError:
                skip(path, "not a journal of a run")


def _of_journal(path: Path) -> _File:
    require_regular(path)
    report = journal.read(path)
    run = report.run
    part = Part(report.segment, report.status, run.rank, run.project_name)
    return _File(part, (*report.earlier, *report.others))


def _of_receipt(path: Path) -> _File:
    data = json.loads(text_of(path))
    run = data["run"]
    part = Part(receipt.segment(path), data["status"], run["rank"], run["project_name"])
    linked = [*data.get("earlier_starts", ()), *data.get("other_ranks", ())]
    return _File(part, tuple(Segment(**one) for one in linked))


def _groups(files: dict[str, _File]) -> list[set[str]]:
    """Return the ids of the runs of each training."""
    groups: list[set[str]] = []
    for run_id, file in files.items():
        group = {run_id, *(one.run_id for one in file.linked)}
        separate = [one for one in groups if not one & group]
        overlapping = [one for one in groups if one & group]
        groups = [*separate, group.union(*overlapping)]
    return groups


def _merged(ids: set[str], files: dict[str, _File]) -> Merged:
    here = [files[run_id] for run_id in ids if run_id in files]
    linked = [segment for file in here for segment in file.linked]
    latest = merged([*linked, *(file.part.segment for file in here)])
    return Merged(tuple(_part(segment, files) for segment in latest))


def _part(segment: Segment, files: dict[str, _File]) -> Part:
    file = files.get(segment.run_id)
    return file.part if file else Part(segment, MISSING, None, "")
