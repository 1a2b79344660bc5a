"""Values of the exported tables: functions that read them from runs, receipts and their parts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from operator import attrgetter
from typing import Any, NamedTuple

from carbon_core import units
from carbon_core.limits import time_of
from carbon_core.outputs.history import PastRun
from carbon_core.outputs.receipt_reading import DeviceEnergy, Receipt
from carbon_core.record import asdict
from carbon_core.records import Component
from carbon_core.uncertainty import is_unread

UNKNOWN_MONTH = "unknown"
# The last words of the names of accuracies, and what their data are called, the most meaningful first.
_ACCURACY, _DATA_SETS = ("accuracy", "acc"), ("test", "val", "eval")
_BETWEEN_WORDS = re.compile("[^a-z0-9]+")


class File(NamedTuple):
    """A file that runs are read from, as it was found before it was read.

    Attributes:
        path: Its absolute path.
        size_bytes: Its size.
        mtime_ns: Time of its last change, in nanoseconds.
    """

    path: str
    size_bytes: int
    mtime_ns: int


class RunSource(NamedTuple):
    """A run with its receipt and file.

    Attributes:
        run: The run, with the share of its energy that no other run includes.
        file: The file that it was read from.
        receipt: Its receipt, or a journal's content as one; None for a row of a CSV file.
        began: When it began, in UTC; None if unknown.
        ended: When it ended, in UTC; None if unknown.
        month: The month in which it began, as ``2026-01``, or `UNKNOWN_MONTH`.
    """

    run: PastRun
    file: File
    receipt: Receipt | None
    began: datetime | None
    ended: datetime | None
    month: str


def source_of(run: PastRun, file: File, receipt: Receipt | None) -> RunSource:
    """Return a run with its receipt and file."""
    began = ended = None
    try:
        if receipt is not None:
            began, ended = _utc(run.time), _utc(receipt.ended_at)
        else:  # a CSV file has the local time of its end
            ended = _utc(run.time)
            began = ended - timedelta(seconds=run.duration_s)
    except (ValueError, OverflowError, OSError):
        pass
    month = f"{began.year}-{began.month:02}" if began else UNKNOWN_MONTH
    return RunSource(run, file, receipt, began, ended, month)


def _utc(text: str) -> datetime:
    """Return an ISO time in UTC, without its zone; a time without a zone is local."""
    return time_of(text).astimezone(timezone.utc).replace(tzinfo=None)


def known(read: Callable[[PastRun], Any]) -> Callable[[RunSource], Any]:
    """Return a function that reads a figure of a run; null where nothing was measured."""
    return lambda one: read(one.run) if one.run.is_known else None


def known_in_receipt(path: str) -> Callable[[Receipt], Any]:
    """Return a function that reads a figure of a receipt; null where nothing was measured."""
    read = attrgetter(path)
    return lambda found: read(found) if found.is_known else None


def component_kwh(name: Component) -> Callable[[Receipt], Any]:
    """Return a function that reads the energy of a component."""

    def energy_kwh(found: Receipt) -> float | None:
        component = found.components.get(name)
        return component.energy_kwh if component else None

    return energy_kwh


def water_l(found: Receipt) -> float | None:
    """Return the litres of water: WUE x energy of the hardware; null where nothing was measured."""
    kwh = found.hardware_energy_kwh
    return None if kwh is None else kwh * found.run.wue


def grade_share(grade: str) -> Callable[[Receipt], Any]:
    """Return a function that reads the share of the energy of a grade."""
    # A grade without energy is not listed; older versions listed none.
    return lambda found: found.share_by_grade.get(grade, 0.0) if found.share_by_grade else None


def main_intensity(name: str) -> Callable[[Receipt], Any]:
    """Return a function that reads a fact of the grid intensity of most of the energy."""

    def fact(found: Receipt) -> Any:
        if not found.intensities:
            return None
        return getattr(max(found.intensities, key=lambda one: one.energy_kwh or 0.0), name)

    return fact


def job(name: str) -> Callable[[Receipt], Any]:
    """Return a function that reads a fact of the job of a run."""
    return lambda found: getattr(found.run.job, name) if found.run.job else None


def requests(name: str) -> Callable[[Receipt], Any]:
    """Return a function that adds up a count over the counters of requests."""

    def count(found: Receipt) -> int | None:
        if found.requests is None:
            return None
        counts: list[int] = [getattr(one, name) for one in found.requests.counters]
        return sum(counts)

    return count


def accuracy(index: int) -> Callable[[Receipt], Any]:
    """Return a function that reads the name (0) or value (1) of the logged accuracy."""

    def value(found: Receipt) -> Any:
        metric = accuracy_of(found.logged_metrics) if found.logged_metrics else None
        return metric[index] if metric else None

    return value


def accuracy_of(metrics: Mapping[str, float]) -> tuple[str, float] | None:
    """Return the accuracy among logged metrics, that of data which was not trained on first.

    A metric counts by its name, whose last word is ``accuracy`` or ``acc``, such as ``val_accuracy``.
    """
    found = [name for name in metrics if _words(name)[-1] in _ACCURACY]
    name = min(found, key=_preference, default=None)
    return (name, metrics[name]) if name is not None else None


def _words(name: str) -> list[str]:
    return _BETWEEN_WORDS.split(name.lower())


def _preference(name: str) -> tuple[int, str]:
    words = _words(name)
    ranks = (i for i, one in enumerate(_DATA_SETS) if any(word.startswith(one) for word in words))
    return next(ranks, len(_DATA_SETS)), name


def as_json(found: Mapping[str, float]) -> str:
    """Return a mapping as JSON; an empty text for an empty one."""
    return json.dumps(found) if found else ""


def of_study(name: str) -> Callable[[RunSource], Any]:
    """Return a function that reads a fact of the study of a run."""
    return lambda one: getattr(one.run.study, name) if one.run.study else None


def study_json(one: RunSource) -> str:
    """Return the study of a run as JSON."""
    return json.dumps(asdict(one.run.study)) if one.run.study else ""


def trials_json(one: RunSource) -> str:
    """Return the trials that a run measured as JSON."""
    return json.dumps([trial._asdict() for trial in one.run.trials]) if one.run.trials else ""


def errors(name: str) -> Callable[[RunSource], Any]:
    """Return a function that reads the errors of a run's totals, as a `Segment` has them, as JSON."""

    def text(one: RunSource) -> str:
        found = getattr(one.run.segment, name) if one.run.segment else None
        return "" if found is None else json.dumps(found)

    return text


def device_kwh(one: tuple[RunSource, DeviceEnergy]) -> float | None:
    """Return the energy of a device in kWh, times PUE; null where it gave no reading."""
    run, device = one
    if device.energy_kwh is not None:
        return device.energy_kwh
    found = run.receipt
    if found is None or is_unread(device.energy, found.duration_s):
        return None
    return units.kwh(device.joules) * found.run.pue  # older versions wrote joules only


def optional(name: str) -> Callable[[object], Any]:
    """Return a function that reads what not every part has."""
    return lambda part: getattr(part, name, None)


def calibration(name: str) -> Callable[[DeviceEnergy], Any]:
    """Return a function that reads a fact of a device's calibration."""
    return lambda device: getattr(device.calibration, name) if device.calibration else None


def csv_run_id(run: PastRun, seen: dict[str, int]) -> str:
    """Return an id for a row of a CSV file without one: equal rows of a file are different runs.

    Args:
        run: The run of the row.
        seen: Number of the rows before it with the same content; it is counted.
    """
    content = repr((run.time, run.project_name, run.duration_s, *run.energy_kwh, *run.emissions_kg))
    seen[content] = number = seen.get(content, 0) + 1
    return f"row-{hashlib.sha256(f'{content}{number}'.encode()).hexdigest()[:32]}"
