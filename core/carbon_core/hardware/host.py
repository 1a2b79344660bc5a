"""Queries of the operating system; None where the result is not available.

The only module that imports psutil.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from carbon_core.units import BYTES_PER_GIB

# PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"


@dataclass(frozen=True)
class CpuTimes:
    """Cumulative processor time of all processors, in seconds."""

    busy_s: float
    total_s: float

    def load_since(self, earlier: CpuTimes) -> float:
        """Return the mean load since an earlier reading, 0 to 1."""
        total_s = self.total_s - earlier.total_s
        if total_s <= 0:
            return 0.0
        return min(1.0, max(0.0, (self.busy_s - earlier.busy_s) / total_s))


class Host:
    """The machine this process runs on.

    Args:
        root: Directory that holds ``proc`` and ``sys``; tests pass a tree of files.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def cpu_times(self) -> CpuTimes | None:
        """Return the cumulative busy and total time of the processors."""
        times = _query(psutil.cpu_times)
        if times is None:
            return None
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        # Linux counts guest time within user time as well.
        twice_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        total_s = sum(times) - twice_s
        return CpuTimes(total_s - idle_s, total_s)

    def logical_cpus(self) -> int:
        """Return the number of logical processors, at least 1."""
        return _query(psutil.cpu_count) or 1

    def ram_total_gb(self) -> float | None:
        """Return the size of memory in GiB."""
        memory = _query(psutil.virtual_memory)
        return float(memory.total) / BYTES_PER_GIB if memory else None

    def ram_used(self) -> tuple[float, float] | None:
        """Return the memory in use, in percent and in GiB."""
        memory = _query(psutil.virtual_memory)
        return (float(memory.percent), float(memory.used) / BYTES_PER_GIB) if memory else None

    def is_apple(self) -> bool:
        """Return whether this is a Mac with Apple silicon."""
        return sys.platform == "darwin" and platform.machine() == "arm64"

    def sees_all_processes(self) -> bool:
        """Return whether process ids are those of the host, which drivers use; not in a container."""
        try:
            return str((self.root / "proc/self/ns/pid").readlink()) == _FIRST_PID_NAMESPACE
        except OSError:
            return False

    def text(self, path: str) -> str:
        """Return a small system file's text, or an empty string when it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""


def _query(call: Callable[[], Any]) -> Any:
    """Return the result of a psutil call, or None where a container or a sandbox hides it."""
    try:
        return call()
    except (psutil.Error, OSError, ValueError, RuntimeError, LookupError, AttributeError):
        return None


class ProcessTree:
    """This process and its children."""

    def __init__(self) -> None:
        self._members: Sequence[psutil.Process] = ()

    def walk(self) -> None:
        """Update the list of children; slow where many processes run."""
        own = _query(psutil.Process)
        children = _query(lambda: own.children(recursive=True)) if own else None
        self._members = [own, *(children or ())] if own else ()

    def use(self) -> tuple[float, float] | None:
        """Return the processor time in seconds and the memory in GiB that they use.

        Includes the processor time of children that have ended and were waited for.
        """
        used = [use for use in map(_use_of, self._members) if use is not None]
        return (sum(cpu_s for cpu_s, _ in used), sum(gb for _, gb in used)) if used else None


class JobProcesses:
    """The processes of the job: this one, its children, and the others that its launcher started.

    Args:
        launched: Whether a launcher started this process together with others of the job.
    """

    def __init__(self, *, launched: bool) -> None:
        self._eldest = os.getppid() if launched else os.getpid()
        self._known: dict[int, bool] = {}

    def __contains__(self, pid: int) -> bool:
        """Return whether a process belongs to the job; False for one that has already ended."""
        if pid not in self._known:
            process = _query(lambda: psutil.Process(pid))
            ancestors = _query(process.parents) if process else None
            self._known[pid] = self._eldest in (pid, *(one.pid for one in ancestors or ()))
        return self._known[pid]


def _use_of(process: psutil.Process) -> tuple[float, float] | None:
    times, memory = _query(process.cpu_times), _query(process.memory_info)
    if times is None or memory is None:
        return None  # it has just ended
    ended_s = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + ended_s), float(memory.rss) / BYTES_PER_GIB
