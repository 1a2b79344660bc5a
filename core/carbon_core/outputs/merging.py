"""Merges the runs of a training, its ranks and its earlier run attempts, from their files.

A receipt or a journal has the ids of the earlier runs that its run continues and of the other ranks
that it received totals from. Runs that are linked by these ids are one training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from carbon_core.input_files import InputFileError
from carbon_core.outputs import past_runs
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.records import Estimate, Segment
from carbon_core.segments import merged
from carbon_core.uncertainty import emissions_of_segments, energy_of_segments

MISSING = "missing"


class Part(NamedTuple):
    """One process's part of a training.

    Attributes:
        segment: Its last available totals.
        status: How its run ended; `MISSING` if it has no file here and only other parts refer to it.
        rank: Its rank; None if its file is missing.
        project_name: Its project; an empty string if its file is missing.
        is_known: Whether anything was measured; if not, its totals are unknown, and count as 0.
        project_label: Its project for display.
        within: Ids of the runs that include its energy, too (`RunFacts.within`).
    """

    segment: Segment
    status: str
    rank: int | None
    project_name: str
    is_known: bool = True
    project_label: str = ""
    within: tuple[str, ...] = ()


class Merged(NamedTuple):
    """A training: its parts in the order of their starts, and their totals."""

    parts: tuple[Part, ...]

    @property
    def is_known(self) -> bool:
        """Whether the energy of any part is known; if not, the totals are 0 and mean nothing."""
        return any(part.is_known for part in self.parts)

    @property
    def energy(self) -> Estimate:
        """Energy in kWh with its 95 % interval, times PUE."""
        return energy_of_segments(part.segment for part in self.parts)

    @property
    def emissions(self) -> Estimate:
        """Emissions in kg CO2e with their 95 % interval."""
        return emissions_of_segments(part.segment for part in self.parts)

    @property
    def energy_kwh(self) -> float:
        """Energy in kWh, times PUE."""
        return self.energy.value

    @property
    def emissions_kg(self) -> float:
        """Emissions in kg CO2e."""
        return self.emissions.value


def merge(
    directory: Path, skip: Callable[[Path, str], None] = lambda path, reason: None
) -> list[Merged]:
    """Return the trainings whose files are in a directory, oldest first.

    Args:
        directory: An output directory, or its ``carbon_runs``.
        skip: Receives the files that cannot be read, each with the reason.
    """
    files: dict[str, Receipt] = {}
    for path, found in past_runs.in_directory(directory):
        if isinstance(found, InputFileError):
            skip(path, found.reason)
        else:
            files[found.run.run_id] = found
    trainings = [_merged(ids, files) for ids in _groups(files)]
    return sorted(trainings, key=lambda training: training.parts[0].segment.started_at)


def _groups(files: dict[str, Receipt]) -> list[set[str]]:
    """Return the ids of the runs of each training."""
    groups: list[set[str]] = []
    for run_id, file in files.items():
        group = {run_id, *(one.run_id for one in file.linked)}
        separate = [one for one in groups if not one & group]
        overlapping = [one for one in groups if one & group]
        groups = [*separate, group.union(*overlapping)]
    return groups


def _merged(ids: set[str], files: dict[str, Receipt]) -> Merged:
    here = [files[run_id] for run_id in ids if run_id in files]
    linked = [segment for file in here for segment in file.linked]
    latest = merged([*linked, *(file.segment for file in here)])
    return Merged(tuple(_part(segment, files) for segment in latest))


def _part(segment: Segment, files: dict[str, Receipt]) -> Part:
    file = files.get(segment.run_id)
    if file is None:
        return Part(segment, MISSING, None, "")
    run = file.run
    facts = file.status, run.rank, run.project_name, file.is_known
    return Part(file.segment, *facts, run.project_label, run.within)
