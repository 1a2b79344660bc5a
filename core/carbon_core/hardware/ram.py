"""Memory without a DRAM counter: a constant power, estimated from modules or size."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.dimms import Dimms, read_dimms
from carbon_core.hardware.host import Host
from carbon_core.methods import FORCED_POWER, RAM_MODEL
from carbon_core.records import Device, Reading

_MAX_RAM_W = 10_000.0
_WATTS_PER_PAIR = 10.0
# Further modules draw less: 4 as 17.7 W, 8 as 31 W, 16 as 55 W, 32 as 97 W. CodeCarbon 3 has
# 20, 38, 70 and 126 W (codecarbon 3.3.2, external/ram.py).
_CONCAVITY = 0.82


def ram_power_w(size_gb: float, modules: float | None = None) -> float:
    """Return the modelled power of memory in watts.

    Five watts for each of two modules (CodeCarbon 3 documentation, "RAM") and less for each further
    one, because they are not all active at once. If the number of modules is unknown, it doubles
    whenever the size quadruples, as in the common configurations 2 x 8, 4 x 16, 8 x 32 and
    16 x 64 GiB. There are no steps; 1 TiB gives 55 W.

    Args:
        size_gb: Memory in GiB.
        modules: Number of modules; None when it is unknown.
    """
    if modules is None:
        modules = 2.0 * math.sqrt(max(0.0, size_gb) / 16.0)
    return float(_WATTS_PER_PAIR * (modules / 2.0) ** _CONCAVITY)


class RamMeter:
    """Integrates a constant power into an energy counter.

    Args:
        clock: Source of the readings' times.
        size_gb: Memory in GiB; None when it is unknown.
        period_s: Time between two reads in seconds.
        forced_w: Constant power from the settings, used instead of the model, in watts.
        dimms: The installed modules, where they are known.

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
    ) -> None:
        if dimms is not None:
            size_gb = dimms.size_gb
        if forced_w is None:
            if size_gb is None:
                raise MeterError("the system does not report the size of the memory")
            forced_w = ram_power_w(size_gb, dimms.count if dimms else None)
            method = RAM_MODEL
        else:
            method = FORCED_POWER
        name = f"{size_gb:.0f} GiB of memory" if size_gb else "memory"
        if dimms is not None:
            name += f" in {dimms.count} modules"
        self.devices = (Device("ram:all", "ram", name, method, max_power_w=_MAX_RAM_W),)
        self.period_s = period_s
        self._clock = clock
        self._power_w = forced_w
        self._opened_ns = clock.monotonic_ns()

    def read(self) -> list[Reading]:
        """Return the joules since the meter was opened."""
        t_ns = self._clock.monotonic_ns()
        joules = self._power_w * units.seconds(t_ns - self._opened_ns)
        return [Reading("ram:all", t_ns, joules)]

    def close(self) -> None:
        """Do nothing: no file is open."""


def modelled_ram(host: Host) -> Callable[[], float | None]:
    """Return a function that gives the modelled power of all memory in watts.

    Args:
        host: Source of the size of the memory.
    """

    @functools.cache
    def power_w() -> float | None:
        dimms = read_dimms(host.root)
        size_gb = dimms.size_gb if dimms else host.ram_total_gb()
        return None if size_gb is None else ram_power_w(size_gb, dimms.count if dimms else None)

    return power_w
