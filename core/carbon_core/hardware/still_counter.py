"""Detects an energy counter that stands still: a device with power always adds to its own."""

from __future__ import annotations

from carbon_core import units


class StillCounter:
    """Watches the values of one counter.

    Args:
        limit_s: Seconds without a change after which the counter stands still; longer than the
            interval at which the device updates it.

    Attributes:
        has_moved: Whether it has ever added anything.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_ns = units.nanoseconds(limit_s)
        self.has_moved = False
        self._last: float | None = None
        self._moved_ns = 0

    def stands_still(self, value: float, now_ns: int) -> bool:
        """Note a value, and return whether the counter has not moved for longer than the limit."""
        if value != self._last:
            self.has_moved = self._last is not None
            self._last, self._moved_ns = value, now_ns
            return False
        return now_ns - self._moved_ns > self._limit_ns
