"""The process that writes a journal, and whether it still runs."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

State = Literal["alive", "dead", "elsewhere", "unknown"]

_PROC = Path("/proc")
_STATE, _PARENT, _START = 0, 1, 19  # fields of /proc/<pid>/stat after the name
_MOST_ANCESTORS = 1000
_OVER = ("Z", "X")  # ended, and not yet collected by its parent


class Owner(NamedTuple):
    """Identifies a process among all that may write in a shared directory.

    Attributes:
        host: Name of the host.
        boot_id: Identifies this boot of its kernel; empty where it is not available.
        pid_namespace: Identifies the container that the number is valid in; empty as above.
        pid: Number of the process.
        started: When the process began, in clock ticks since boot; 0 where it is not available.
    """

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started: int


def this_process() -> Owner:
    """Return the owner that this process is."""
    return Owner(
        platform.node(),
        _text(_PROC / "sys/kernel/random/boot_id"),
        _namespace(),
        os.getpid(),
        _started(os.getpid()) or 0,
    )


def state_of(record: Any) -> State:
    """Return whether the process still runs.

    Args:
        record: An owner as read from a journal; of older versions, there is none.
    """
    if not isinstance(record, Mapping):
        return "unknown"
    here = this_process()
    machine = here.host, here.boot_id, here.pid_namespace
    if tuple(record.get(name) for name in Owner._fields[:3]) != machine:
        return "elsewhere"
    pid, started = record.get("pid"), record.get("started")
    if not here.started or not isinstance(pid, int) or not isinstance(started, int):
        return "unknown"
    return "alive" if _is_running(pid, started) else "dead"


def descends_from(pid: int) -> bool:
    """Return whether a process started this one, or one of its ancestors.

    Where the system does not show that, a process of the same session counts as an ancestor.
    """
    ancestor = os.getppid()
    for _ in range(_MOST_ANCESTORS):
        if ancestor in (pid, 0):
            return ancestor == pid
        parent = _fields(ancestor)[_PARENT : _PARENT + 1]
        if not parent or not parent[0].isdecimal():
            break
        ancestor = int(parent[0])
    try:
        return os.getsid(pid) == os.getsid(0)
    except (OSError, AttributeError, OverflowError):
        return False


def _is_running(pid: int, started: int) -> bool:
    if sys.platform == "win32" or pid <= 0:
        return False
    try:
        os.kill(pid, 0)  # sends no signal
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it exists, and belongs to another user
    # Its start may be hidden from other users (`hidepid`).
    return _started(pid) in (started, None)


def _started(pid: int) -> int | None:
    """Return when a process began; 0 if it has ended, None if that is not available."""
    fields = _fields(pid)
    try:
        return 0 if fields[_STATE] in _OVER else int(fields[_START])
    except (IndexError, ValueError):
        return None


def _fields(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat after the name; none where they are not available."""
    return _text(_PROC / str(pid) / "stat").rpartition(")")[2].split()


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
