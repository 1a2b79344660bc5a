"""Queries of the operating system; None where the result is not available.

The only module that imports psutil: where files of Linux do not give the result, because it takes
1.3 MiB of memory and some milliseconds.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from carbon_core import units
from carbon_core.clock import SystemClock
from carbon_core.hardware.driver_calls import attempt
from carbon_core.hardware.job_memory import Memory, kib_fields, machine_gb, of_rollup, together
from carbon_core.plausible import number, whole_number
from carbon_core.record import record
from carbon_core.system_files import MEDIUM, SMALL, text_in
from carbon_core.units import BYTES_PER_GIB

# PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
# The kernel walks a process's page tables for its memory: some 10 ms for each 4 GiB. Of the calls, which
# are a second apart, so many reuse the last result that it takes 1 % of the time.
_CALLS_PER_S_OF_COST = 100
_MOST_CPUS = 2**20
# An assumption for machines that do not show their load.
TYPICAL_LOAD = 0.3
_MOST_GIB = 2.0**24


@record(frozen=True)
class CpuTimes:
    """Cumulative processor time of all processors, in seconds."""

    busy_s: float
    total_s: float

    @property
    def are_shown(self) -> bool:
        """Whether the system counts them: a sandbox such as gVisor always shows zeros."""
        return self.busy_s > 0.0 or self.total_s > 0.0

    def load_since(self, earlier: CpuTimes) -> float:
        """Return the mean load since an earlier reading, 0 to 1; a typical one where none is shown."""
        if not self.are_shown:
            return TYPICAL_LOAD
        total_s = self.total_s - earlier.total_s
        if total_s <= 0:
            return 0.0
        return min(1.0, max(0.0, (self.busy_s - earlier.busy_s) / total_s))


class CpuTicks(NamedTuple):
    """Fields of the first line of /proc/stat."""

    user: float
    nice: float
    system: float
    idle: float
    iowait: float
    irq: float
    softirq: float
    steal: float
    guest: float
    guest_nice: float


class VirtualMemory(NamedTuple):
    """Size and use of the memory, in bytes and percent."""

    total: int
    used: int
    percent: float


class Host:
    """The machine this process runs on.

    Args:
        root: Directory that holds ``proc`` and ``sys``; tests pass a tree of files.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def cpu_times(self) -> CpuTimes | None:
        """Return the cumulative busy and total time of the processors."""
        times = self._ticks() or _query(lambda: _totals_of(_psutil().cpu_times()))
        known = times and all(number(seconds) is not None for seconds in times)
        return CpuTimes(*times) if known else None

    def logical_cpus(self) -> int:
        """Return the number of logical processors, at least 1."""
        # `os.cpu_count` comes last, because an option of Python replaces its result.
        asked = (
            lambda: os.sysconf("SC_NPROCESSORS_ONLN"),
            lambda: _psutil().cpu_count(),
            os.cpu_count,
        )
        return next(filter(None, (whole_number(_query(one), 1, _MOST_CPUS) for one in asked)), 1)

    def ram_total_gb(self) -> float | None:
        """Return the size of memory in GiB."""
        return _gib(getattr(self._memory(), "total", None)) or None

    def ram_used(self) -> tuple[float, float] | None:
        """Return the memory in use, in percent and in GiB."""
        memory = self._memory()
        percent, used_gb = (
            number(getattr(memory, "percent", None), 0.0, 100.0),
            _gib(getattr(memory, "used", None)),
        )
        return None if percent is None or used_gb is None else (percent, used_gb)

    def _ticks(self) -> tuple[float, float] | None:
        """Return the busy and the total time of the processors by /proc/stat, or None."""
        name, *shown = (self.text("proc/stat", SMALL).partition("\n")[0] or "-").split()
        known = [one for one in map(number, shown[: len(CpuTicks._fields)]) if one is not None]
        if name != "cpu" or len(known) < len(CpuTicks._fields):
            return None
        busy, total = _totals_of(CpuTicks(*known))
        a_second = os.sysconf("SC_CLK_TCK")
        return busy / a_second, total / a_second

    def _memory(self) -> Any:
        """Return the memory as psutil gives it, by /proc/meminfo or by psutil."""
        kib = kib_fields(self.text("proc/meminfo"), ("MemTotal", "MemAvailable"))
        total, available = kib.get("MemTotal"), kib.get("MemAvailable")
        if not total or not available or available > total:
            return _query(lambda: _psutil().virtual_memory())
        used = total - available
        return VirtualMemory(total * 1024, used * 1024, 100.0 * used / total)

    def memory_gb(self, kinds: tuple[str, ...]) -> float | None:
        """Return the memory of some kinds in GiB: those of /proc/meminfo, else all memory in use.

        Args:
            kinds: Names of fields of /proc/meminfo.
        """
        known = machine_gb(self.text("proc/meminfo"), kinds)
        used = self.ram_used() if known is None else None
        return used[1] if used else known

    def is_apple(self) -> bool:
        """Return whether this is a Mac with Apple silicon."""
        return sys.platform == "darwin" and platform.machine() == "arm64"

    def sees_all_processes(self) -> bool:
        """Return whether process ids are those of the host, which drivers use; not in a container."""
        try:
            return str((self.root / "proc/self/ns/pid").readlink()) == _FIRST_PID_NAMESPACE
        except OSError:
            return False

    def text(self, path: str, most_bytes: int = MEDIUM) -> str:
        """Return a system file's text, or an empty string when it cannot be read.

        Args:
            path: The file, relative to the root.
            most_bytes: Longest text to read; of a longer one, the beginning is returned.
        """
        return text_in(self.root / path, most_bytes, cut=True)


def _psutil() -> Any:
    import psutil

    return psutil


def _query(call: Callable[[], Any]) -> Any:
    """Return the result of a psutil call, or None where a container or a sandbox hides it."""
    return attempt(call, None)


def _totals_of(times: Any) -> tuple[float, float]:
    """Return the busy and the total time of psutil's processor times."""
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    # Linux counts guest time within user time as well.
    twice_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    total_s = sum(times) - twice_s
    return total_s - idle_s, total_s


def _gib(size: Any) -> float | None:
    """Return a number of bytes in GiB, or None where it is implausible."""
    return number(_query(lambda: float(size) / BYTES_PER_GIB), 0.0, _MOST_GIB)


def process_cpu_s() -> dict[tuple[int, float], tuple[str, float]]:
    """Return name and processor time in seconds of each process, by its number and time of creation."""
    found: dict[tuple[int, float], tuple[str, float]] = {}
    for process in _query(lambda: list(_psutil().process_iter())) or ():
        times = _query(process.cpu_times)
        created_s, name = _query(process.create_time), _query(process.name)
        if times is not None and created_s is not None:
            found[process.pid, created_s] = str(name or "?"), times.user + times.system
    return found


class ProcessTree:
    """This process and its children.

    Attributes:
        memory_kinds: What the memory includes, as fields of /proc/meminfo; empty if unknown.
    """

    def __init__(self) -> None:
        self.memory_kinds: tuple[str, ...] = ()
        self._members: Sequence[Any] = ()
        self._memory: Memory | None = None
        self._calls_to_skip = 0

    def walk(self) -> None:
        """Update the list of children; slow where many processes run."""
        own = _query(lambda: _psutil().Process())
        children = _query(lambda: own.children(recursive=True)) if own else None
        self._members = [own, *(children or ())] if own else ()

    def use(self) -> tuple[float, float] | None:
        """Return the processor time in seconds and the memory in GiB that they use.

        Includes the processor time of children that have ended and were waited for. Memory that
        processes share, such as that of forked workers, counts once.
        """
        used = [cpu_s for cpu_s in map(_cpu_s_of, self._members) if cpu_s is not None]
        memory = self._all_memory()
        return (sum(used), memory.gb) if used and memory else None

    def _all_memory(self) -> Memory | None:
        if self._memory is not None and self._calls_to_skip > 0:
            self._calls_to_skip -= 1
            return self._memory
        clock = SystemClock()
        began_ns = clock.monotonic_ns()
        self._memory = together(filter(None, map(_memory_of, self._members)))
        cost_s = units.seconds(clock.monotonic_ns() - began_ns)
        self._calls_to_skip = int(cost_s * _CALLS_PER_S_OF_COST)
        self.memory_kinds = self._memory.kinds if self._memory else ()
        return self._memory


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
            process = _query(lambda: _psutil().Process(pid))
            ancestors = _query(process.parents) if process else None
            self._known[pid] = self._eldest in (pid, *(one.pid for one in ancestors or ()))
        return self._known[pid]


def _cpu_s_of(process: Any) -> float | None:
    times = _query(process.cpu_times)
    if times is None:
        return None  # it has just ended
    fields = ("user", "system", "children_user", "children_system")
    return number(_query(lambda: sum(getattr(times, field, 0.0) for field in fields)))


def _memory_of(process: Any) -> Memory | None:
    """Return a process's memory: its part of what it shares, else all that it has in memory."""
    # Empty on another system, and for a process of another user.
    shared = of_rollup(text_in(Path(f"/proc/{process.pid}/smaps_rollup")))
    if shared is not None:
        return shared
    memory = _query(process.memory_info)
    # One that has ended, and that its parent has not waited for yet, has none.
    used_gb = _gib(getattr(memory, "rss", None))
    return Memory(used_gb) if used_gb else None
