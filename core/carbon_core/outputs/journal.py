"""The journal: an append-only log of a run's energy use, one JSON object per line.

The first line has the facts that do not change, each further one the totals so far. A killed process
leaves a journal whose lock is free; the next run in the same directory adds it to the results. An
incomplete last line is dropped; all lines before it are used.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from carbon_core import units
from carbon_core.errors import OutputError
from carbon_core.file_locks import FileLock, Timeout
from carbon_core.methods import Method
from carbon_core.outputs.base import RUNS_DIRECTORY, Delivered, open_for_append
from carbon_core.records import (
    Amounts,
    Device,
    Energy,
    HostFacts,
    HourEnergy,
    Intensity,
    IntensityShare,
    Refusal,
    Segment,
    Snapshot,
    Utilization,
)
from carbon_core.report import Phase, Report, RunFacts
from carbon_core.segments import is_safe_id

SUFFIX = ".journal.jsonl"
_LOCK_SUFFIX = ".lock"
_RUN, _TOTALS, _DELIVERED = (
    f'{{"type": "{name}"'.encode() for name in ("run", "totals", "delivered")
)
_HOURS = b'"hours": [["'
_HOURS_LENGTH = len(_HOURS) + len("2026-01-01T00")


class Journal:
    """The open journal of this process's run.

    Args:
        path: Path of a file that does not exist yet.
        report: State of the run at its beginning.
    """

    def __init__(self, path: Path, report: Report) -> None:
        self._lock = FileLock(f"{path}{_LOCK_SUFFIX}", timeout=0, thread_local=False)
        self._lock.acquire()
        self._descriptor = -1
        self._written = _facts(report)
        self._torn = False
        self._settled_hours = 0
        try:
            self._descriptor = open_for_append(path, 0o600)
            self._write({"type": "run", **_fixed(report)})
        except BaseException:
            self.close(saved=False)
            raise

    def append(self, report: Report) -> None:
        """Append the totals so far."""
        if _facts(report) != self._written:
            self._written = _facts(report)
            self._write({"type": "run", **_fixed(report)})
        # At the end, the intensity of every hour may have changed.
        settled = self._settled_hours if report.status == "running" else 0
        self._write({"type": "totals", **_totals(report, settled)})
        # The last hour is not over, and the intensity of the one before may still change.
        self._settled_hours = max(self._settled_hours, len(report.hours) - 2)

    def close(self, *, saved: bool = True) -> None:
        """Close the file.

        Args:
            saved: Whether the results were saved; otherwise the next run recovers them.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
        if saved:
            with contextlib.suppress(OSError):
                os.unlink(self._lock.lock_file)
        self._lock.release()

    def _write(self, record: Mapping[str, Any]) -> None:
        start = "\n" if self._torn else ""
        line = (start + json.dumps(record, default=str) + "\n").encode()
        self._torn = True
        written = os.write(self._descriptor, line)
        if written < len(line):
            raise OutputError("cannot write the journal: the disk is full")
        self._torn = False
        os.fsync(self._descriptor)


def _facts(report: Report) -> tuple[Any, ...]:
    """Return the facts of the first line; they change if a device, the location or a rank is found."""
    return report.run, report.window.end.devices, report.earlier, report.others


def journal_path(directory: Path, run_id: str) -> Path:
    """Return the path of a run's journal in an output directory."""
    return directory / RUNS_DIRECTORY / f"{run_id}{SUFFIX}"


def note_delivered(path: Path, delivered: Delivered) -> None:
    """Append the delivery progress of an output to a journal; do nothing if there is no journal.

    May be called on another thread than the journal's, and after the journal was closed.
    """
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))
        try:
            record = {"type": "delivered", **delivered._asdict()}
            # On a line of its own, even after an incomplete one.
            os.write(descriptor, f"\n{json.dumps(record)}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def deliveries(path: Path) -> dict[str, Delivered]:
    """Return the delivery progress of each output, by its name."""
    found: dict[str, Delivered] = {}
    with path.open("rb") as file:
        for line in file:
            if line.startswith(_DELIVERED):
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    record = json.loads(line)
                    amounts = Amounts(*(float(amount) for amount in record["amounts"]))
                    found[record["output"]] = Delivered(
                        record["output"], amounts, record["remote_id"]
                    )
    return found


def read(path: Path) -> Report:
    """Restore the last state of a run from its journal.

    Raises:
        OutputError: The file has no valid record of a run.
    """
    fixed: dict[str, Any] = {}
    totals: dict[str, Any] = {}
    hours: dict[str, HourEnergy] = {}
    try:
        for record in _records(path):
            if record.get("type") == "run":
                fixed = record
            elif record.get("type") == "totals":
                totals = record
                hours |= {hour[0]: HourEnergy(*hour) for hour in record.get("hours", ())}
        return _rebuilt(fixed, totals, tuple(hours[start] for start in sorted(hours)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(f"{path} has no valid record of a run") from error


@contextlib.contextmanager
def abandoned(directory: Path) -> Iterator[list[Path]]:
    """Lock and yield the journals of a directory that no running process writes."""
    locks: list[FileLock] = []
    paths: list[Path] = []
    for lock_path in directory.glob(f"*{SUFFIX}{_LOCK_SUFFIX}"):
        lock = FileLock(lock_path, timeout=0, thread_local=False)
        with contextlib.suppress(Timeout, OSError):
            lock.acquire()
            locks.append(lock)
            paths.append(lock_path.with_suffix(""))
    try:
        yield paths
    finally:
        for lock in locks:
            lock.release()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Lock a journal; yield False instead if a running process has locked it."""
    lock_path = Path(f"{path}{_LOCK_SUFFIX}")
    abandoned_before = lock_path.exists()
    lock = FileLock(lock_path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        if not abandoned_before:  # otherwise the next run in this directory has to recover it
            lock_path.unlink(missing_ok=True)
        lock.release()


def mark_recovered(path: Path) -> None:
    """Mark a journal as recovered: its results are saved."""
    Path(f"{path}{_LOCK_SUFFIX}").unlink(missing_ok=True)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Return the records that no later record replaces, in their order."""
    with path.open("rb") as file:
        lines = _last_lines(file)
    try:
        records = [json.loads(line.decode("utf-8", "replace")) for line in lines]
    except ValueError:
        # A damaged line that appears complete replaced a valid one.
        with path.open("rb") as file:
            records = list(_parsed(file))
    return (record for record in records if isinstance(record, dict))


def _last_lines(file: Iterable[bytes]) -> list[bytes]:
    """Return the last line of type ``run`` and, for each hour, the last one of type ``totals``.

    A totals record repeats the hours that may still change. Of the records whose first hour is the
    same, the last one includes all others; a week has about two hundred of them, so few lines are
    parsed.
    """
    fixed = b""
    totals: dict[bytes, bytes] = {}
    for line in file:
        if line.startswith(_TOTALS) and line.rstrip().endswith(b"}"):
            at = line.find(_HOURS)
            first_hour = line[at : at + _HOURS_LENGTH] if at >= 0 else b""
            totals.pop(first_hour, None)  # so that the order is that of the last lines
            totals[first_hour] = line
        elif line.startswith(_RUN) and line.rstrip().endswith(b"}"):
            fixed = line
    return [fixed or b"{}", *totals.values()]


def _parsed(file: Iterable[bytes]) -> Iterator[Any]:
    for line in file:
        with contextlib.suppress(ValueError):
            yield json.loads(line.decode("utf-8", "replace"))


def _fixed(report: Report) -> dict[str, Any]:
    return {
        "run": asdict(report.run),
        "devices": [asdict(device) for device in report.window.end.devices],
        "host": asdict(report.host),
        "refusals": [asdict(refusal) for refusal in report.refusals],
        "earlier": report.earlier,
        "others": report.others,
    }


def _totals(report: Report, settled_hours: int) -> dict[str, Any]:
    return {
        "status": report.status,
        "ended_at": report.ended_at,
        "duration_s": report.duration_s,
        "energies": [tuple(energy) for energy in report.window.end.energies],
        "prices": [
            {"intensity": asdict(share.intensity), "joules": share.joules, "grams": share.grams}
            for share in report.intensities
        ],
        "phases": [asdict(phase) for phase in report.phases],
        "hours": report.hours[settled_hours:],
        "utilization": asdict(report.utilization),
        "moments": report.trace._asdict(),
    }


def _rebuilt(
    fixed: Mapping[str, Any], totals: Mapping[str, Any], hours: tuple[HourEnergy, ...]
) -> Report:
    devices = tuple(
        Device(**{**device, "method": Method(**device["method"])}) for device in fixed["devices"]
    )
    energies = tuple(Energy(*energy) for energy in totals["energies"])
    start = Snapshot(0, devices, (Energy(),) * len(devices))
    end = Snapshot(units.nanoseconds(totals["duration_s"]), devices, energies)
    run, host = fixed["run"], fixed["host"]
    if not is_safe_id(run["run_id"]):
        raise ValueError(run["run_id"])  # the names of the result files contain it
    return Report(
        run=RunFacts(
            **{
                **run,
                "settings_not_used": tuple(run["settings_not_used"]),
                "told": tuple(run.get("told", ())),
            }
        ),
        status="interrupted" if totals["status"] == "running" else totals["status"],
        ended_at=totals["ended_at"],
        window=end - start,
        intensities=tuple(
            IntensityShare(Intensity(**share["intensity"]), share["joules"], share["grams"])
            for share in totals["prices"]
        ),
        phases=tuple(Phase(**phase) for phase in totals["phases"]),
        hours=hours,
        others=tuple(Segment(*one) for one in fixed.get("others", ())),
        earlier=tuple(Segment(*one) for one in fixed.get("earlier", ())),
        host=HostFacts(**{**host, "gpu_models": tuple(host["gpu_models"])}),
        refusals=tuple(Refusal(**refusal) for refusal in fixed["refusals"]),
        utilization=Utilization(**totals["utilization"]),
    )
