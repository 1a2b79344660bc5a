"""Reads journals: the last state of a run, and what outputs have accepted of it."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from carbon_core import units
from carbon_core.decoding import DecodingError, decoded, parsed
from carbon_core.input_files import InputFileError
from carbon_core.limits import MOST_ITEMS, Count, Seconds, Time
from carbon_core.outputs.base import Delivered
from carbon_core.outputs.journal_locks import TOTALS, lines_of
from carbon_core.record import field, record
from carbon_core.records import (
    NO_ENERGY,
    Device,
    Energy,
    HostFacts,
    HourEnergy,
    IntensityShare,
    Refusal,
    Segment,
    Snapshot,
    Utilization,
)
from carbon_core.report import Phase, Report, RunFacts
from carbon_core.request_totals import Requests
from carbon_core.trials import TrialResult

SCHEMA_VERSION = 1

_RUN, _DELIVERED, _TRIAL = (
    f'{{"type": "{name}"'.encode() for name in ("run", "delivered", "trial")
)
# Before it, a line has what identifies the trial.
_STATUS = b', "status": '
_HOURS = b'"hours": [["'
_HOURS_LENGTH = len(_HOURS) + len("2026-01-01T00")
_MOST_KEPT_BYTES = 2**26
# Of a damaged journal, so many of the last records are tried.
_MOST_TRIED = 100
_MOST_DEVICES = 1024
_Record = TypeVar("_Record")


@record(frozen=True)
class Facts:
    """A record of type ``run``: what does not change, or seldom."""

    run: RunFacts
    devices: tuple[Device, ...]
    host: HostFacts
    refusals: tuple[Refusal, ...] = ()
    earlier: tuple[Segment, ...] = ()
    others: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        """Check that every device has an id of its own, or a method."""
        if len(self.devices) > _MOST_DEVICES:
            raise ValueError(f"has more than {_MOST_DEVICES} devices")
        if len({(one.id, one.method.name) for one in self.devices}) < len(self.devices):
            raise ValueError("has two devices with the same id")


@record(frozen=True)
class Totals:
    """A record of type ``totals``, without its hours and its trace."""

    status: str
    ended_at: Time
    duration_s: Seconds
    energies: tuple[Energy, ...]
    prices: tuple[IntensityShare, ...] = ()
    phases: tuple[Phase, ...] = ()
    utilization: Utilization = field(default_factory=Utilization)
    requests: Requests | None = None


@record(frozen=True)
class _Type:
    type: str = ""
    schema_version: Count = SCHEMA_VERSION


@record(frozen=True)
class _Hours:
    hours: tuple[HourEnergy, ...] = ()


def read(path: Path) -> Report:
    """Restore the last state of a run from its journal.

    Raises:
        InputFileError: The file cannot be read, or has no valid record of a run.
    """
    try:
        lines = _last_lines(lines_of(path))
        try:
            return _Reading(lines, tolerant=False).report(path)
        except DecodingError:
            if not any(lines):
                raise
            # A damaged line that appears complete replaced a valid one.
            return _Reading(lines_of(path), tolerant=True).report(path)
    except DecodingError as error:
        raise InputFileError(path, f"has no valid record of a run: {error}") from error
    except OSError as error:
        raise InputFileError(path, error) from error


def deliveries(path: Path) -> dict[str, Delivered]:
    """Return the delivery progress of each output, by its name."""
    found: dict[str, Delivered] = {}
    for line in lines_of(path):
        if line.startswith(_DELIVERED):
            with contextlib.suppress(DecodingError):
                delivered = decoded(Delivered, parsed(line))
                found[delivered.output] = delivered
    return found


class _Reading:
    """The lines of a journal that count.

    Args:
        lines: Lines.
        tolerant: Whether to skip invalid lines; otherwise they are an error.
    """

    def __init__(self, lines: Iterable[bytes], *, tolerant: bool) -> None:
        self._most = _MOST_TRIED if tolerant else 1
        self._facts: deque[bytes] = deque(maxlen=self._most)
        self._totals: deque[bytes] = deque(maxlen=self._most)
        self._hours: dict[str, HourEnergy] = {}
        self._trials: dict[tuple[str, str], TrialResult] = {}
        for line in lines:
            try:
                self._add(line)
            except DecodingError:
                if not tolerant:
                    raise

    def report(self, path: Path) -> Report:
        """Return the run in its last valid state."""
        facts = self._last_valid(Facts, self._facts, path)
        totals = self._last_valid(Totals, self._totals, path)
        devices = facts.devices
        start = Snapshot(0, devices, (NO_ENERGY,) * len(devices))
        # Of a journal that is not read whole, the last devices may not be known.
        energies = totals.energies[: len(devices)]
        end = Snapshot(units.nanoseconds(totals.duration_s), devices, energies)
        return Report(
            run=facts.run,
            status="interrupted" if totals.status == "running" else totals.status,
            ended_at=totals.ended_at,
            window=end - start,
            intensities=totals.prices,
            phases=totals.phases,
            hours=tuple(self._hours[start] for start in sorted(self._hours)),
            others=facts.others,
            earlier=facts.earlier,
            host=facts.host,
            refusals=facts.refusals,
            utilization=totals.utilization,
            trials=tuple(self._trials.values()),
            requests=totals.requests,
        )

    def _add(self, line: bytes) -> None:
        if line.startswith(_RUN):
            self._facts.append(line)
        elif line.startswith(TOTALS):
            self._totals.append(line)
            if _HOURS in line:
                for hour in decoded(_Hours, parsed(line)).hours:
                    self._hours[hour.start] = hour
                if len(self._hours) > MOST_ITEMS:
                    raise DecodingError(f"has more than {MOST_ITEMS} hours")
        elif line.startswith(_TRIAL):
            trial = decoded(TrialResult, parsed(line))
            self._trials[trial.key] = trial
            if len(self._trials) > MOST_ITEMS:
                raise DecodingError(f"has more than {MOST_ITEMS} trials")

    @staticmethod
    def _last_valid(kind: type[_Record], lines: Iterable[bytes], path: Path) -> _Record:
        fault = DecodingError("there is none")
        for line in reversed(tuple(lines)):
            try:
                record = parsed(line)
                if decoded(_Type, record).schema_version > SCHEMA_VERSION:
                    reason = "its schema is newer than this version of carbon-callbacks"
                    raise InputFileError(path, reason, may_change=True)
                return decoded(kind, record)
            except DecodingError as error:
                fault = error
        raise fault


def _last_lines(lines: Iterable[bytes]) -> list[bytes]:
    """Return the last lines of type ``run``, ``trial`` for each, and ``totals`` for each hour.

    A totals record repeats the hours that may still change. Of the records whose first hour is the
    same, the last one includes all others; a week has about two hundred of them, so few lines are
    parsed.
    """
    facts = b""
    totals: dict[bytes, bytes] = {}
    trials: dict[bytes, bytes] = {}
    kept_bytes = 0
    for line in lines:
        if line.startswith(TOTALS) and line.rstrip().endswith(b"}"):
            at = line.find(_HOURS)
            first_hour = line[at : at + _HOURS_LENGTH] if at >= 0 else b""
            # Removed and added, so that the order is that of the last lines.
            kept_bytes += len(line) - len(totals.pop(first_hour, b""))
            totals[first_hour] = line
            while kept_bytes > _MOST_KEPT_BYTES:
                kept_bytes -= len(totals.pop(next(iter(totals))))
        elif line.startswith(_RUN) and line.rstrip().endswith(b"}"):
            facts = line
        elif line.startswith(_TRIAL) and line.rstrip().endswith(b"}") and len(trials) <= MOST_ITEMS:
            trials[line.partition(_STATUS)[0]] = line
    return [facts, *totals.values(), *trials.values()]
