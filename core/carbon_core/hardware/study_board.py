"""The files by which the processes of a study on a machine see each other.

A process appends to a file of its own what it measures and how many trials it has open, each with the
monotonic time, which is the same for all processes of a machine. A lock, which the kernel releases when
the process dies, shows that it lives. The files are in a directory in memory where the system has one,
else in that of temporary files. Processes that do not share it, such as those of containers, each count
the whole machine.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carbon_core.clock import SystemClock
from carbon_core.decoding import parsed
from carbon_core.file_locks import FileLock, Timeout
from carbon_core.hardware.study_course import NEVER_NS, Course
from carbon_core.identifiers import random_uuid
from carbon_core.input_files import open_bytes

_LOG, _LOCK = ".log", ".lock"
# An older file of a process that has ended was read by all others.
_STALE_S = 60.0
_MOST_BYTES = 2**24
_MOMENT_NS = 10_000_000


class _Peer(Course):
    """Another process of the study, as its file describes it."""

    def __init__(self, path: Path, now_ns: int) -> None:
        super().__init__(path.name)
        self._path = path
        self._read_to = 0
        self._seen_ns = now_ns

    def refresh(self, now_ns: int) -> None:
        """Read what it has added; it has ended where its lock is free."""
        if self.ended_ns != NEVER_NS:
            return
        lives = _is_locked(self._path.with_suffix(_LOCK))
        self._read()
        if lives:
            self._seen_ns = now_ns
        elif self.ended_ns == NEVER_NS:  # killed: the others count what it used since
            self.ended_ns = self._seen_ns

    def _read(self) -> None:
        with contextlib.suppress(OSError), open_bytes(self._path) as file:
            file.seek(self._read_to)
            whole, _, _ = file.read(_MOST_BYTES).rpartition(b"\n")
            self._read_to += len(whole) + bool(whole)
            for line in whole.splitlines():
                # A file of another version, or a damaged one.
                with contextlib.suppress(ValueError, TypeError, LookupError, OverflowError):
                    self._add(parsed(line))

    def _add(self, record: Any) -> None:
        t_ns = int(record["t_ns"])
        if "keys" in record:
            self.note_keys(t_ns, map(str, record["keys"]))
        if "open" in record:
            self.note(t_ns, max(0, int(record["open"])))
        if "end" in record:
            self.ended_ns = t_ns


class Board:
    """The files by which the processes of a study on a machine see each other.

    Args:
        study_id: Id of the study.
        directory: Their directory, or None.
    """

    def __init__(self, study_id: str, directory: Path | None) -> None:
        import hashlib  # slow to import, and needed only in a study

        digest = hashlib.sha256(study_id.encode("utf-8", "surrogatepass")).hexdigest()
        self._prefix = f"study-{digest[:32]}."
        self._directory = directory
        self._lock: FileLock | None = None
        self._peers: dict[Path, _Peer] = {}
        self._refreshed_ns = -_MOMENT_NS

    @property
    def has_peers(self) -> bool:
        """Whether processes were seen that have not ended."""
        return any(one.ended_ns == NEVER_NS for one in self._peers.values())

    def join(self, t_ns: int) -> str:
        """Let others see this process, and return its name among them."""
        name = f"{self._prefix}{os.getpid()}-{random_uuid()[:8]}"
        if self._directory is not None:
            lock = FileLock(self._directory / (name + _LOCK))
            with contextlib.suppress(OSError):  # without locks, none could see when it ends
                lock.acquire()
                self._lock = lock
            self._remove_ended(SystemClock().now().timestamp() - _STALE_S)
            self.peers(t_ns)
        return name + _LOG

    def leave(self, t_ns: int) -> None:
        """End: others count its part from now on."""
        self.append({"t_ns": t_ns, "end": True})
        lock, self._lock = self._lock, None
        self._refreshed_ns = -_MOMENT_NS
        if lock is not None:
            self.peers(t_ns)
            lock.release()
            if not self.has_peers:
                self._remove_ended(math.inf)
        self._peers.clear()

    def peers(self, now_ns: int) -> Sequence[Course]:
        """Return the other processes as they are now, or were a moment ago: meters are read in turn."""
        if 0 <= now_ns - self._refreshed_ns < _MOMENT_NS:
            return tuple(self._peers.values())
        self._refreshed_ns = now_ns
        own_path = self._own_log
        for path in self._logs():
            if path != own_path and path not in self._peers:
                self._peers[path] = _Peer(path, now_ns)
        for peer in self._peers.values():
            peer.refresh(now_ns)
        return tuple(self._peers.values())

    def append(self, record: dict[str, Any]) -> None:
        """Add a record to the file of this process."""
        path = self._own_log
        if path is None:
            return
        # Opened each time: the program may close descriptors that are not its own.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with contextlib.suppress(OSError):
            descriptor = os.open(path, flags, 0o600)
            try:
                os.write(descriptor, json.dumps(record).encode() + b"\n")
            finally:
                os.close(descriptor)

    @property
    def _own_log(self) -> Path | None:
        return self._lock.path.with_suffix(_LOG) if self._lock is not None else None

    def _logs(self) -> list[Path]:
        if self._directory is None:
            return []
        try:
            return list(self._directory.glob(f"{self._prefix}*{_LOG}"))
        except OSError:
            return []

    def _remove_ended(self, before_s: float) -> None:
        """Remove the files of processes that have ended and wrote nothing since a time."""
        for path in self._logs():
            with contextlib.suppress(OSError):
                lock_path = path.with_suffix(_LOCK)
                if path.stat().st_mtime < before_s and not _is_locked(lock_path):
                    lock_path.unlink(missing_ok=True)
                    path.unlink(missing_ok=True)


def _is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a file, which is not created."""
    lock = FileLock(path)
    if not os.path.lexists(path):
        return False
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False
