"""RAPL energy counters through Linux perf events, where powercap's files are readable by root only.

Perf events are permitted by a kernel setting or a capability of the process. The kernel extends the
counter to 64 bits and starts it at zero when it is opened, so it never wraps. See
https://man7.org/linux/man-pages/man2/perf_event_open.2.html.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.driver_calls import again
from carbon_core.hardware.rapl_meter import (
    Counter,
    ModelsW,
    RaplMeter,
    close_all,
    dram_device,
    package_device,
    why,
)
from carbon_core.plausible import number, whole_number
from carbon_core.record import record
from carbon_core.records import Device
from carbon_core.system_files import text_in

PerfOpen = Callable[[bytes, int], int]

_POWER = "sys/bus/event_source/devices/power"
_SYSCALLS = {"x86_64": 298, "aarch64": 241}
_CLOEXEC = 8  # PERF_FLAG_FD_CLOEXEC
_EVERY_PROCESS = _NO_GROUP = -1
# struct perf_event_attr as of its first version: type, size, config, three fields and the flags
# that sampling would need, two fields of 32 bits, and one of 64.
_ATTRIBUTES = struct.Struct("=IIQQQQQIIQ")
_COUNT_BYTES = 8
_MAX_CPUS = 8192  # the upper limit of Linux
_REMEDY = (
    "allow it with `sudo sysctl kernel.perf_event_paranoid=0`, or give this process the capability "
    "CAP_PERFMON (Linux 5.8 or later); in a container, the host's setting and the container's "
    "seccomp profile must both allow it"
)


def perf_event_open(attributes: bytes, cpu: int) -> int:
    """Open an event of a processor for all processes and return its descriptor.

    Args:
        attributes: The kernel's struct perf_event_attr.
        cpu: The logical processor.

    Raises:
        OSError: The kernel refuses, or the system call's number on this machine is unknown.
    """
    number = _SYSCALLS.get(os.uname().machine)
    if number is None:
        raise OSError(f"perf events are not supported on {os.uname().machine}")
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    # A writable copy: the kernel writes its own size into a structure that is too new for it.
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    numbers = (ctypes.c_long(n) for n in (_EVERY_PROCESS, cpu, _NO_GROUP, _CLOEXEC))
    descriptor = int(syscall(ctypes.c_long(number), buffer, *numbers))
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return descriptor


@record(frozen=True)
class Event:
    """An energy event as the kernel describes it.

    Attributes:
        name: Such as ``energy-pkg``.
        attributes: The attributes that it is opened with.
        joules_per_count: Its scale.
    """

    name: str
    attributes: bytes
    joules_per_count: float

    def joules(self, descriptor: int) -> float:
        """Read the event's count, in joules since it was opened."""
        shown = os.read(descriptor, _COUNT_BYTES)
        if len(shown) != _COUNT_BYTES:
            raise ValueError(f"it returned {len(shown)} of {_COUNT_BYTES} bytes")
        return int.from_bytes(shown, "little") * self.joules_per_count


def open_rapl_perf(
    root: Path,
    clock: Clock,
    period_s: float,
    cpu_model: str = "",
    *,
    dram: bool = True,
    on_problem: Callable[[str], None] = lambda line: None,
    models_w: ModelsW | None = None,
    perf_open: PerfOpen = perf_event_open,
) -> RaplMeter:
    """Return a meter of the energy events of the packages and their DRAM.

    Args:
        root: Directory that holds ``sys``.
        clock: Source of the readings' times.
        period_s: Requested time between reads in seconds.
        cpu_model: Name of the processor, which determines the method and its uncertainty.
        dram: Whether to count the memory as well.
        models_w: Models of the power of all packages, and of all memory; for counters that never move.
        on_problem: Callback that receives a message when a counter fails later.
        perf_open: Opens an event with some attributes on a processor.

    Raises:
        MeterError: The kernel has no such event, or this process may not open it.
    """
    packages = _packages(root)
    energy, memory = _event(root, "energy-pkg"), _event(root, "energy-ram")
    if energy is None or not packages:
        raise MeterError("no perf event power/energy-pkg (no such processor, or a virtual machine)")
    counters: list[Counter] = []
    for name, cpu in packages.items():
        try:
            device = package_device(name, cpu_model)
            counters.append(again(partial(_open, energy, device, cpu, perf_open)))
        except (OSError, ValueError) as error:
            close_all(counters)
            raise _refused(root, energy, error) from error
        if memory is not None and dram:
            counters += _open_dram(memory, name, cpu, perf_open)
    return RaplMeter(counters, clock, period_s, on_problem, models_w=models_w)


def _open(event: Event, device: Device, cpu: int, perf_open: PerfOpen) -> Counter:
    descriptor = perf_open(event.attributes, cpu)
    try:
        event.joules(descriptor)
    except (OSError, ValueError):
        os.close(descriptor)
        raise
    return Counter(device, f"power/{event.name}", descriptor, event.joules)


def _open_dram(event: Event, package: str, cpu: int, perf_open: PerfOpen) -> Iterator[Counter]:
    try:
        yield _open(event, dram_device(f"{package} dram"), cpu, perf_open)
    except (OSError, ValueError):
        return  # memory is modelled instead; the package is still counted


def _packages(root: Path) -> dict[str, int]:
    """Return each package with the processor that its events are read on."""
    found: dict[str, int] = {}
    for cpu in dict.fromkeys(_cpus(text_in(root / _POWER / "cpumask"))):
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        name = f"package-{text_in(topology / 'physical_package_id') or len(found)}"
        if name in found:
            # Counts start at zero when opened: whether all dies show one counter, or each its own,
            # is unknown, and their sum could double the energy.
            raise MeterError(
                f"power/energy-pkg has several counters for {name}, which may show the same energy",
                remedy="make /sys/class/powercap/intel-rapl:*/energy_uj readable",
            )
        found[name] = cpu
    return found


def _cpus(mask: str) -> Iterator[int]:
    """Yield the processors of a list such as ``0,18-19``; none when it is invalid."""
    for part in mask.split(","):
        first, _, last = part.partition("-")
        begin, end = whole_number(first), whole_number(last or first)
        if begin is not None and end is not None:
            yield from range(begin, min(end + 1, _MAX_CPUS))


def _event(root: Path, name: str) -> Event | None:
    """Return an event as the kernel describes it, or None when there is none."""
    power = root / _POWER
    _, _, code = text_in(power / "events" / name).partition("event=")
    try:
        kind, config = int(text_in(power / "type")), int(code, 0)
        joules_per_count = number(text_in(power / "events" / f"{name}.scale"), 0.0, 1.0)
        attributes = _ATTRIBUTES.pack(kind, _ATTRIBUTES.size, config, *[0] * 7)
    except (ValueError, struct.error):
        return None
    return Event(name, attributes, joules_per_count) if joules_per_count else None


def _refused(root: Path, event: Event, error: OSError | ValueError) -> MeterError:
    reason = f"cannot open the perf event power/{event.name}: {why(error)}"
    if not isinstance(error, PermissionError):
        return MeterError(reason)
    level = text_in(root / "proc/sys/kernel/perf_event_paranoid") or "unknown"
    return MeterError(f"{reason} (kernel.perf_event_paranoid is {level})", remedy=_REMEDY)
