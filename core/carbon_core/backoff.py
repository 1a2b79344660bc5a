"""Exponential backoff for a failing service, which honours Retry-After."""

from __future__ import annotations

from carbon_core import units
from carbon_core.clock import Clock

FIRST_DELAY_S = 60.0
LONGEST_DELAY_S = 900.0


class Backoff:
    """Decides when a service may be requested again.

    Args:
        clock: Source of time.
        first_delay_s: Delay after a first failure; doubled by each further one.
    """

    def __init__(self, clock: Clock, first_delay_s: float = FIRST_DELAY_S) -> None:
        self._clock = clock
        self._first_delay_s = self._delay_s = first_delay_s
        self._retry_at_ns = self._not_before_ns = clock.monotonic_ns()

    def may_request(self, *, insist: bool = False) -> bool:
        """Return whether a request may be sent now.

        Args:
            insist: Ignore our own delay, but not the one that the service set.
        """
        allowed_at_ns = self._not_before_ns if insist else self._retry_at_ns
        return self._clock.monotonic_ns() >= allowed_at_ns

    def failed(self, retry_after_s: float | None = None) -> None:
        """Record a failure.

        Args:
            retry_after_s: Delay that the service set, in seconds.
        """
        now_ns = self._clock.monotonic_ns()
        self._not_before_ns = now_ns + units.nanoseconds(retry_after_s or 0.0)
        self._retry_at_ns = now_ns + units.nanoseconds(max(retry_after_s or 0.0, self._delay_s))
        self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    def succeeded(self) -> None:
        """Record a success: the delay starts again at the first one."""
        self._delay_s = self._first_delay_s
