"""The only module that reads the system clocks.

Durations are those of the monotonic clock, so that a step of the wall clock (NTP, daylight saving, an
administrator) only affects time stamps.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """The clock interface; `carbon_core.testing.FakeClock` implements it for tests."""

    def monotonic_ns(self) -> int:
        """Return monotonic time in nanoseconds."""
        ...

    def now(self) -> datetime:
        """Return the wall-clock time, with its zone."""
        ...


class SystemClock:
    """The clocks of this machine."""

    # Bound once: a mark on the training thread costs one C call without an attribute lookup.
    monotonic_ns = staticmethod(time.monotonic_ns)

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""
        return datetime.now(timezone.utc)
