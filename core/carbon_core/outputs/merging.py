"""Merges the runs of a training, its ranks and its earlier run attempts, from their files.

A receipt or a journal has the ids of the earlier runs that its run continues and of the other ranks
that it received totals from. Runs that are linked by these ids are one training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from carbon_core.input_files import InputFileError
from carbon_core.outputs import past_runs
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.records import Estimate, Segment
from carbon_core.segments import merged
from carbon_core.uncertainty import emissions_of_segments, energy_of_segments

MISSING = "missing"
# The file of such a run may lack what came after its last record.
_WITHOUT_END = ("interrupted", "running")


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
    parts: dict[str, Part] = {}
    linked: dict[str, tuple[Segment, ...]] = {}
    for path, found in past_runs.in_directory(directory):
        if isinstance(found, InputFileError):
            skip(path, found.reason)
        else:
            parts[found.run.run_id] = part_of(found)
            linked[found.run.run_id] = found.linked
    return trainings(parts, linked)


def part_of(file: Receipt) -> Part:
    """Return a run as a part of its training."""
    run = file.run
    facts = file.status, run.rank, run.project_name, file.is_known
    return Part(file.segment, *facts, run.project_label, run.within)


def trainings(parts: Mapping[str, Part], linked: Mapping[str, tuple[Segment, ...]]) -> list[Merged]:
    """Return the trainings that runs are parts of, oldest first.

    Args:
        parts: The runs whose files are known, by id.
        linked: Of each, the last totals of the other parts that it has received.
    """
    found = []
    for ids in _groups({run_id: [one.run_id for one in linked[run_id]] for run_id in parts}):
        here = [run_id for run_id in ids if run_id in parts]
        segments = [parts[run_id].segment for run_id in here]
        others = [segment for run_id in here for segment in linked[run_id]]
        latest = merged([*others, *segments])
        missing = (Part(one, MISSING, None, "") for one in latest if one.run_id not in parts)
        own = {one.segment.run_id: one for one in (*missing, *(parts[run_id] for run_id in here))}
        found.append(Merged(tuple(_up_to(segment, own[segment.run_id]) for segment in latest)))
    return sorted(found, key=lambda training: training.parts[0].segment.started_at)


def _up_to(latest: Segment, part: Part) -> Part:
    """Return a part with its last totals: a checkpoint may be later than the journal of a killed run."""
    if part.status in _WITHOUT_END and latest.duration_s > part.segment.duration_s:
        return part._replace(segment=latest, is_known=True)
    return part


def _groups(links: Mapping[str, Iterable[str]]) -> Iterable[set[str]]:
    """Return the ids of the runs of each training, in time that grows with their number only."""
    groups: dict[str, set[str]] = {}
    for run_id, others in links.items():
        group = groups.setdefault(run_id, {run_id})
        for other in others:
            joined = groups.setdefault(other, {other})
            if joined is not group:
                small, group = sorted((joined, group), key=len)
                group |= small
                groups.update(dict.fromkeys(small, group))
    return {id(group): group for group in groups.values()}.values()
