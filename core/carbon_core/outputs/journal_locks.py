"""Which journals a running process writes, and which are those of killed ones.

A journal is being written while its lock is held. Where locks do not work, or not across hosts, its
first record identifies the process that writes it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from carbon_core.clock import SystemClock
from carbon_core.decoding import DecodingError, parsed
from carbon_core.file_locks import FileLock, NoLocksError, Timeout
from carbon_core.input_files import open_bytes
from carbon_core.outputs.owner import state_of

SUFFIX = ".journal.jsonl"
LOCK_SUFFIX = ".lock"
TOTALS = b'{"type": "totals"'
_RUN = b'{"type": "run"'
# Of a journal whose owner cannot be checked, such as a process of another host: how long after its last
# record it counts as abandoned, in seconds and in heartbeats.
STALE_S = 600.0
_STALE_HEARTBEATS = 20
_RUNNING = TOTALS + b', "status": "running"'
_MOST_LOCKED = 50  # each lock needs a descriptor
_MOST_LISTED = 10_000
_HEAD = 4  # an incomplete line may precede the first record
_MAX_END = 2**20
_LARGE = 2**24
# A longer line is not a record; of a longer file, the first line and the end are read.
_MAX_LINE = 2**22
_MAX_READ = 2**28
_LONGEST_HEARTBEAT_S = 86_400.0
# Real paths of the journals that this process writes.
OPEN: set[str] = set()
RUNNING, RUNNING_OR_LOST = "running", "running or lost"


class Writer(NamedTuple):
    """The process that writes a journal, whose run has not ended.

    Attributes:
        status: `RUNNING`, or `RUNNING_OR_LOST` where that cannot be checked from here.
        host: Name of its host; an empty string if unknown.
        heartbeat_at: ISO time (UTC) of its last record.
    """

    status: str
    host: str
    heartbeat_at: str


@contextlib.contextmanager
def abandoned(
    directory: Path, most: int = _MOST_LOCKED, go_on: Callable[[], bool] = lambda: True
) -> Iterator[list[Path]]:
    """Lock and yield journals of a directory that no running process writes, the latest run first.

    Args:
        directory: Where the journals are.
        most: At most so many; the others are found by a later call.
        go_on: Called before each file; returns whether there is time for another.
    """
    locks: list[FileLock] = []
    paths: list[Path] = []
    try:
        for path in _candidates(directory.glob(f"*{SUFFIX}{LOCK_SUFFIX}")):
            if len(paths) >= most or not go_on():
                break
            lock = FileLock(lock_of(path))
            with contextlib.suppress(OSError):  # held by a running process, or not readable
                has_lock = _acquired(lock)
                locks.append(lock)
                if _is_abandoned(path, has_lock=has_lock):
                    paths.append(path)
                else:
                    locks.pop().release()
        yield paths
    finally:
        for lock in locks:
            lock.release()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Lock a journal; yield False instead if a running process writes it."""
    lock_path = lock_of(path)
    abandoned_before = lock_path.exists()
    lock, free, created = FileLock(lock_path), False, False
    with contextlib.suppress(OSError):
        has_lock = _acquired(lock)
        created = not abandoned_before
        # A run that was saved has ended on every host: its lock file is deleted.
        free = (created and _has_ended(path)) or _is_abandoned(path, has_lock=has_lock)
    try:
        yield free
    finally:
        if created:  # otherwise the next run in this directory recovers it
            lock_path.unlink(missing_ok=True)
        lock.release()


def writer_of(path: Path) -> Writer | None:
    """Return the process that writes a journal; None if the run has ended, or its process.

    Creates no file, and holds the lock for a moment at most.

    Raises:
        OSError: The journal cannot be read.
    """
    head, last_totals = _ends(path)
    if not last_totals.startswith(_RUNNING) or not os.path.lexists(lock_of(path)):
        return None
    status = _status(path, head)
    if status is None:
        return None
    owner = head.get("owner")
    host = owner.get("host") if isinstance(owner, Mapping) else ""
    written_at = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    return Writer(status, str(host or ""), written_at.isoformat(timespec="seconds"))


def _status(path: Path, head: Mapping[str, Any]) -> str | None:
    """Return the status of a run whose last record is not the final one; None if it has ended."""
    lock, has_lock = FileLock(lock_of(path)), False
    try:
        has_lock = _acquired(lock)
    except Timeout:
        return RUNNING
    except OSError:
        pass  # not readable
    finally:
        lock.release()
    state = state_of(head.get("owner"))
    if not has_lock and state == "alive":
        return RUNNING
    # The locks of some file systems do not reach other hosts.
    is_over = state == "dead" or (has_lock and state != "elsewhere") or is_stale(path, head)
    return None if is_over else RUNNING_OR_LOST


def _acquired(lock: FileLock) -> bool:
    """Acquire a lock; return False where the file system has none.

    Raises:
        OSError: A running process holds it, or its file cannot be opened.
    """
    try:
        lock.acquire()
    except NoLocksError:
        return False
    return True


def _is_abandoned(path: Path, *, has_lock: bool) -> bool:
    """Return whether no running process writes a journal whose lock is free.

    A free lock is not enough: on some file systems, locks do not reach other hosts.

    Args:
        path: The journal.
        has_lock: Whether it is locked; False where the file system has no locks.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    head, last_totals = _ends(path)
    state = state_of(head.get("owner"))
    if state == "alive":
        if head["owner"]["pid"] == os.getpid():
            return os.path.realpath(path) not in OPEN
        # It has ended a run that it could not save.
        return has_lock and _is_final(last_totals)
    if state == "dead" or (state == "unknown" and has_lock):
        return True
    return is_stale(path, head)


def _has_ended(path: Path) -> bool:
    return _is_final(_ends(path)[1])


def _is_final(last_totals: bytes) -> bool:
    return bool(last_totals) and not last_totals.startswith(_RUNNING)


def is_stale(path: Path, head: Mapping[str, Any] | None = None) -> bool:
    """Return whether a journal was last written long before now, compared with its heartbeat.

    Args:
        path: The journal.
        head: Its first record, if there is one.
    """
    try:
        heartbeat_s = float((head or {})["run"]["settings"]["measure_power_secs"])
    except (LookupError, TypeError, ValueError):
        heartbeat_s = 0.0
    # An endless one, or one that is no number, would keep the journal for good.
    known_s = heartbeat_s if heartbeat_s <= _LONGEST_HEARTBEAT_S else 0.0
    limit_s = max(STALE_S, _STALE_HEARTBEATS * known_s)
    return SystemClock().now().timestamp() - path.lstat().st_mtime > limit_s


def _ends(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the first record of a journal and its last line of totals; empty without them."""
    with open_bytes(path) as file:
        head = next(filter(None, (_run_record(file.readline(_MAX_END)) for _ in range(_HEAD))), {})
        file.seek(-min(_MAX_END, os.fstat(file.fileno()).st_size), os.SEEK_END)
        lines = [line for line in file.read(_MAX_END).splitlines() if line.startswith(TOTALS)]
    return head, lines[-1] if lines else b""


def _run_record(line: bytes) -> dict[str, Any]:
    try:
        record = parsed(line) if line.startswith(_RUN) else {}
    except DecodingError:
        return {}
    return record if isinstance(record, dict) else {}


def _candidates(lock_paths: Iterable[Path]) -> list[Path]:
    """Return the journals that have a lock file: the latest run first, very large files last."""
    found: list[tuple[bool, float, Path]] = []
    for lock_path in itertools.islice(lock_paths, _MOST_LISTED):
        path = lock_path.with_suffix("")
        with contextlib.suppress(OSError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found.append((status.st_size > _LARGE, -status.st_mtime, path))
    return [path for *_, path in sorted(found)]


def mark_recovered(path: Path) -> None:
    """Mark a journal as recovered: its results are saved."""
    with contextlib.suppress(OSError):
        lock_of(path).unlink(missing_ok=True)


def lock_of(path: Path) -> Path:
    """Return the path of a journal's lock file."""
    return Path(f"{path}{LOCK_SUFFIX}")


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a journal, at most 256 MiB: the first line and the last ones."""
    with open_bytes(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MAX_READ:
            yield file.readline(_MAX_LINE)
            file.seek(size - _MAX_READ)
            file.readline(_MAX_LINE)  # the rest of a line
        yield from iter(lambda: file.readline(_MAX_LINE), b"")
