"""Apple silicon: the energy model of macOS, through zeus-apple-silicon.

Needs no administrator and the extra ``apple``. Tested with a fake of the package, not on hardware.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.driver_calls import again, attempt
from carbon_core.hardware.read_timer import ReadTimer
from carbon_core.methods import APPLE
from carbon_core.plausible import number
from carbon_core.records import Component, Device, Reading

_MILLI_PER_UNIT = 1000.0
_MAX_APPLE_W = 500.0
# Field of the package's reading; device; component; name.
_PARTS: tuple[tuple[str, str, Component, str], ...] = (
    ("cpu_total_mj", "cpu:apple", "cpu", "Apple CPU"),
    ("gpu_mj", "gpu:apple", "gpu", "Apple GPU"),
    ("ane_mj", "gpu:apple-ane", "gpu", "Apple Neural Engine"),
    ("dram_mj", "ram:apple", "ram", "Apple memory"),
)


class AppleMeter:
    """Reads the parts of the chip whose energy is reported.

    Args:
        read_mj: Returns the cumulative millijoules as attributes; None for a part that is not reported.
        clock: Source of the readings' times.
        period_s: Longest time between two reads in seconds.

    Raises:
        MeterError: No part is reported.
    """

    def __init__(self, read_mj: Callable[[], Any], clock: Clock, period_s: float) -> None:
        first = read_mj()
        self._parts = [part for part in _PARTS if getattr(first, part[0], None) is not None]
        if not self._parts:
            raise MeterError("this Mac reports the energy of no part of its chip")
        self.devices = tuple(
            Device(device_id, component, name, APPLE, max_power_w=_MAX_APPLE_W)
            for _, device_id, component, name in self._parts
        )
        self.period_s = period_s
        self._read_mj = read_mj
        self._timer = ReadTimer(clock)

    def read(self) -> list[Reading]:
        """Read all parts, in joules."""
        # The compiled extension may raise anything.
        t_ns, totals = self._timer.read(lambda: attempt(self._read_mj, None))
        return [
            Reading(device_id, t_ns, _joules(attempt(partial(getattr, totals, field), None)))
            for field, device_id, _, _ in self._parts
        ]

    def close(self) -> None:
        """Do nothing: no file is open."""


def open_apple(clock: Clock, period_s: float) -> AppleMeter:
    """Return a meter of the parts of an Apple chip.

    Args:
        clock: Source of the readings' times.
        period_s: Requested time between two reads in seconds.

    Raises:
        MeterError: The package is not installed, or the chip reports nothing.
    """
    try:
        from zeus_apple_silicon import AppleEnergyMonitor
    except ImportError as error:
        remedy = 'install it: `pip install "carbon-callbacks[apple]"`'
        raise MeterError(
            "the package zeus-apple-silicon is not installed", remedy=remedy
        ) from error
    try:
        monitor = again(AppleEnergyMonitor)
        return again(lambda: AppleMeter(monitor.get_cumulative_energy, clock, period_s))
    except MeterError:
        raise
    except Exception as error:
        raise MeterError(f"the chip's energy cannot be read: {error}") from error


def _joules(millijoules: Any) -> float | None:
    known = number(millijoules)
    return None if known is None else known / _MILLI_PER_UNIT
