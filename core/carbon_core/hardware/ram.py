"""Memory without a DRAM counter: a constant by size, the roughest figure of all."""

from __future__ import annotations

import math

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.methods import FORCED_POWER, RAM_MODEL
from carbon_core.records import Device, Reading

_WATTS_PER_MODULE = 5.0
_MAX_RAM_W = 10_000.0


def ram_power_w(size_gb: float) -> float:
    """Return the modelled power of memory in watts.

    Five watts for each module (CodeCarbon 3 documentation, "RAM"), and a number of modules that
    doubles whenever the size quadruples, as the common populations 2 x 8, 4 x 16, 8 x 32 and
    16 x 64 GiB do. That is ``10 W x sqrt(size / 16 GiB)``, without steps.

    Args:
        size_gb: Memory in GiB.
    """
    modules = 2.0 * math.sqrt(max(0.0, size_gb) / 16.0)
    return _WATTS_PER_MODULE * modules


class RamMeter:
    """A constant power, as a counter.

    Args:
        clock: Source of the readings' times.
        size_gb: Memory in GiB; None when the system does not tell.
        period_s: Time between two reads in seconds.
        forced_w: Constant power that the user gave instead of the model, in watts.

    Raises:
        MeterError: The size is needed and not known.
    """

    def __init__(
        self, clock: Clock, size_gb: float | None, period_s: float, forced_w: float | None = None
    ) -> None:
        if forced_w is None:
            if size_gb is None:
                raise MeterError("the system does not tell how much memory there is")
            forced_w, method = ram_power_w(size_gb), RAM_MODEL
        else:
            method = FORCED_POWER
        name = f"{size_gb:.0f} GiB of memory" if size_gb else "memory"
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
        """Nothing is held open."""
