"""The only place that asks the machine what time it is.

Durations come from the monotonic clock, so that a step of the wall clock (NTP, daylight saving, an
administrator) changes time stamps and nothing else.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """What the package needs of time; `carbon_core.testing.FakeClock` stands in for it in tests."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go back."""
        ...

    def now(self) -> datetime:
        """Return the wall-clock time, with its zone."""
        ...


class SystemClock:
    """The clocks of this machine."""

    # Bound once: a mark on the training thread pays for one C call and no attribute walk.
    monotonic_ns = staticmethod(time.monotonic_ns)

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""
        return datetime.now(timezone.utc)
