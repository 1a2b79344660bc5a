"""How long a service that fails is left alone: ever longer, and as long as it asks for."""

from __future__ import annotations

from carbon_core import units
from carbon_core.clock import Clock

FIRST_REST_S = 60.0
LONGEST_REST_S = 900.0


class Patience:
    """When a service may be asked again.

    Args:
        clock: Source of time.
        first_rest_s: How long it is left alone after a first failure; twice as long after each further.
    """

    def __init__(self, clock: Clock, first_rest_s: float = FIRST_REST_S) -> None:
        self._clock = clock
        self._first_rest_s = self._rest_s = first_rest_s
        self._rests_until_ns = self._not_before_ns = clock.monotonic_ns()

    def may_ask(self, *, insist: bool = False) -> bool:
        """Tell whether it may be asked now.

        Args:
            insist: Ask even soon after a failure, unless the service itself asked for patience.
        """
        until_ns = self._not_before_ns if insist else self._rests_until_ns
        return self._clock.monotonic_ns() >= until_ns

    def failed(self, asked_s: float | None = None) -> None:
        """Note a failure.

        Args:
            asked_s: How long the service asked to be left alone, in seconds.
        """
        now_ns = self._clock.monotonic_ns()
        self._not_before_ns = now_ns + units.nanoseconds(asked_s or 0.0)
        self._rests_until_ns = now_ns + units.nanoseconds(max(asked_s or 0.0, self._rest_s))
        self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)

    def succeeded(self) -> None:
        """Note an answer: the next failure is a first one again."""
        self._rest_s = self._first_rest_s
