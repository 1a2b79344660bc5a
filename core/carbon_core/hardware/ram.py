"""Memory without a DRAM counter: power by modules, size and load."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.dimms import Dimms, read_dimms
from carbon_core.hardware.host import TYPICAL_LOAD, CpuTimes, Host
from carbon_core.methods import FORCED_POWER, RAM_MODEL
from carbon_core.records import Device, Reading

_MAX_RAM_W = 10_000.0
# Of an idle machine (Boavizta's model).
_W_PER_MODULE = 3.0
_W_PER_GIB = 0.055
# Memory draws four times as much under full load: on five cloud servers 3.0 to 6.6 times as much
# (tests/core/data/cloud_cpu_power.csv), but their test filled the memory on purpose.
_LOAD_SHARE = 3.0
# Modules, where they are unknown: 2 of 16 GiB in total, 6 of 96, 13 of 384, 24 of 1024.
_SMALL_GIB = 16.0
_CONCAVITY = 0.6


def ram_power_w(size_gb: float, modules: float | None = None, load: float = TYPICAL_LOAD) -> float:
    """Return the modelled power of memory in watts.

    The model is modules x (3 W + 0.055 W for each GiB of a module) x (1 + 3 x load). There are no steps.

    Args:
        size_gb: Memory in GiB.
        modules: Number of modules; None when it is unknown.
        load: Mean load of the processors, 0 to 1.
    """
    if not 0.0 < size_gb < math.inf:
        return 0.0
    if modules is None:
        modules = 2.0 * math.pow(size_gb / _SMALL_GIB, _CONCAVITY)
    bounded = min(1.0, load) if load > 0.0 else 0.0
    idle_w = _W_PER_MODULE * modules + _W_PER_GIB * size_gb
    return idle_w * (1.0 + _LOAD_SHARE * bounded)


class _Load:
    """The mean load of the processors since the last call."""

    def __init__(self, host: Host | None) -> None:
        self._host = host
        self._times = host.cpu_times() if host else None

    def since_last(self) -> float:
        before: CpuTimes | None = self._times
        self._times = self._host.cpu_times() if self._host else None
        if self._times is None or before is None:
            return TYPICAL_LOAD
        return self._times.load_since(before)


class RamMeter:
    """Integrates a constant or modelled power into an energy counter.

    Args:
        clock: Source of the readings' times.
        size_gb: Memory in GiB; None when it is unknown.
        period_s: Time between two reads in seconds.
        forced_w: Constant power from the settings, used instead of the model, in watts.
        dimms: The installed modules, where they are known.
        host: Source of the processor load, or None: a typical load.

    Raises:
        MeterError: The size is needed and unknown.
    """

    def __init__(
        self,
        clock: Clock,
        size_gb: float | None,
        period_s: float,
        forced_w: float | None = None,
        dimms: Dimms | None = None,
        host: Host | None = None,
    ) -> None:
        if dimms is not None:
            size_gb = dimms.size_gb
        if forced_w is None and size_gb is None:
            raise MeterError("the system does not report the size of the memory")
        method = RAM_MODEL if forced_w is None else FORCED_POWER
        name = f"{size_gb:.0f} GiB of memory" if size_gb else "memory"
        if dimms is not None:
            name += f" in {dimms.count} modules"
        self.devices = (Device("ram:all", "ram", name, method, max_power_w=_MAX_RAM_W),)
        self.period_s = period_s
        self._clock = clock
        self._power_w = forced_w
        self._size_gb = size_gb or 0.0
        self._modules = dimms.count if dimms else None
        self._load = _Load(host)
        self._joules = 0.0
        self._t_ns = clock.monotonic_ns()

    def read(self) -> list[Reading]:
        """Return the joules since the meter was opened."""
        t_ns, power_w = self._clock.monotonic_ns(), self._power_w
        if power_w is None:
            power_w = ram_power_w(self._size_gb, self._modules, self._load.since_last())
        self._joules += power_w * units.seconds(t_ns - self._t_ns)
        self._t_ns = t_ns
        return [Reading("ram:all", t_ns, self._joules)]

    def close(self) -> None:
        """Do nothing: no file is open."""


def modelled_ram(host: Host) -> Callable[[], float | None]:
    """Return a function that gives the modelled mean power of all memory since its last call, in watts.

    Args:
        host: Source of the size of the memory and of the processor load.
    """
    load = _Load(host)

    @functools.cache
    def size() -> tuple[float | None, int | None]:
        dimms = read_dimms(host.root)
        return (dimms.size_gb, dimms.count) if dimms else (host.ram_total_gb(), None)

    def power_w() -> float | None:
        size_gb, modules = size()
        return None if size_gb is None else ram_power_w(size_gb, modules, load.since_last())

    return power_w
