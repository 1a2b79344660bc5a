"""The journal: an append-only log of a run's energy use, one JSON object per line.

The first line has the facts that do not change, each further one the totals so far. A killed process
leaves a journal whose lock is free; the next run in the same directory adds it to the results. An
incomplete last line is dropped; all lines before it are used.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from carbon_core.errors import OutputError
from carbon_core.file_locks import FileLock, NoLocksError, OpenFile
from carbon_core.outputs.base import RUNS_DIRECTORY, Delivered, make_directory, sync
from carbon_core.outputs.journal_locks import (
    OPEN,
    SUFFIX,
    abandoned,
    is_stale,
    lock_of,
    locked,
    mark_recovered,
)
from carbon_core.outputs.journal_reading import SCHEMA_VERSION, deliveries, read
from carbon_core.outputs.owner import this_process
from carbon_core.record import asdict
from carbon_core.report import Report
from carbon_core.system_files import open_regular
from carbon_core.trials import TrialResult

__all__ = [
    "SUFFIX",
    "Journal",
    "abandoned",
    "deliveries",
    "is_stale",
    "locked",
    "mark_recovered",
    "read",
]

_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
_COPY_BYTES = 2**20
_MAX_COPIED = 2**28


class Journal:
    """The open journal of this process's run.

    The program may delete the directory and close descriptors that are not its own. Both is checked
    before each record; the journal is then opened again, and what it contained is written again.

    Attributes:
        has_lock: Whether the file system has locks.

    Args:
        path: Path of a file that does not exist yet.
        report: State of the run at its beginning.
    """

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._lock = FileLock(lock_of(path))
        self.has_lock = True
        self._file: OpenFile | None = None
        self._written: tuple[Any, ...] = ()
        self._torn = False
        self._settled_hours = 0
        self._trials: dict[tuple[str, str], TrialResult] = {}
        try:
            self._open()
            self._write_facts(report)
        except BaseException:
            self.close(saved=False)
            raise

    def append(self, report: Report) -> None:
        """Append the totals so far."""
        if not self._is_intact():
            self._open()
        self._write_facts(report)
        # At the end, the intensity of every hour may have changed.
        settled = self._settled_hours if report.status == "running" else 0
        self._write({"type": "totals", **_totals(report, settled)}, synced=not report.trials)
        self._write_trials(report.trials)
        # The last hour is not over, and the intensity of the one before may still change.
        self._settled_hours = max(self._settled_hours, len(report.hours) - 2)

    def note_trials(self, noted: Iterable[TrialResult]) -> None:
        """Append what has changed of trials since the totals, whose figures they keep.

        Args:
            noted: Their status, value and parameters.
        """
        if not self._is_intact():
            return  # the next totals open it again
        for facts in noted:
            known = self._trials.get(facts.key, facts)
            trial = TrialResult(*facts[:5], *known[5:])  # type: ignore[arg-type]
            if trial != known or facts.key not in self._trials:
                # Not flushed: it is for a killed process, not for a power failure.
                self._write({"type": "trial", **trial._asdict()}, synced=False)
                self._trials[facts.key] = trial

    def close(self, *, saved: bool = True) -> None:
        """Close the file.

        Args:
            saved: Whether the results were saved; otherwise the next run recovers them.
        """
        if self._file is not None and self._file.is_ours:
            os.close(self._file.descriptor)
        self._file = None
        if saved:
            mark_recovered(self._path)
        self._lock.release()
        OPEN.discard(os.path.realpath(self._path))

    def _is_intact(self) -> bool:
        lock_intact = self._lock.is_intact or not self.has_lock
        return lock_intact and self._file is not None and self._file.is_at(self._path)

    def _open(self) -> None:
        """Open the file, for the first time or again; the next records then have the whole state."""
        make_directory(self._path.parent)
        if not self._lock.is_intact:
            self._lock.release()
            try:
                self._lock.acquire()
            except NoLocksError:
                self.has_lock = False
        before = self._file
        if before is None or not before.is_at(self._path):
            self._file = OpenFile(open_regular(self._path, _APPEND, 0o600))
            self._torn = os.fstat(self._file.descriptor).st_size > 0
            if before is not None and before.is_ours:
                if not self._torn:
                    _copy(before.descriptor, self._file.descriptor)
                    self._torn = True  # it may end within a line
                os.close(before.descriptor)
        OPEN.add(os.path.realpath(self._path))
        self._written = ()
        self._settled_hours = 0
        self._trials = {}

    def _write_trials(self, trials: Iterable[TrialResult]) -> None:
        """Write the trials that are open, and those whose results are new."""
        for trial in trials:
            if self._trials.get(trial.key) != trial:
                # A search may have hundreds since the last record: the end of the run waits for them.
                self._write({"type": "trial", **trial._asdict()}, synced=False)
                self._trials[trial.key] = trial
        if self._file is not None and self._trials:
            sync(self._file.descriptor)

    def _write_facts(self, report: Report) -> None:
        facts = _facts(report)
        if facts != self._written:
            owner = this_process()._asdict()
            self._write({"type": "run", "owner": owner, **_fixed(report)})
            self._written = facts

    def _write(self, record: Mapping[str, Any], *, synced: bool = True) -> None:
        if self._file is None:
            raise OutputError("cannot write the journal: it is closed")
        start = "\n" if self._torn else ""
        line = (start + json.dumps(record, default=str) + "\n").encode()
        self._torn = True
        written = os.write(self._file.descriptor, line)
        if written < len(line):
            raise OutputError("cannot write the journal: the disk is full")
        self._torn = False
        if synced:
            sync(self._file.descriptor)


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
        descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))
        try:
            record = {"type": "delivered", **delivered._asdict()}
            # On a line of its own, even after an incomplete one.
            os.write(descriptor, f"\n{json.dumps(record)}\n".encode())
            sync(descriptor)
        finally:
            os.close(descriptor)


def _copy(source: int, target: int) -> None:
    """Copy what was written to a file that was deleted; what cannot be copied is left out."""
    with contextlib.suppress(OSError, AttributeError):  # Windows has no `pread`
        at = 0
        while at < _MAX_COPIED and (data := os.pread(source, _COPY_BYTES, at)):
            at += os.write(target, data)


def _fixed(report: Report) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
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
        **({"requests": asdict(report.requests)} if report.requests is not None else {}),
    }
