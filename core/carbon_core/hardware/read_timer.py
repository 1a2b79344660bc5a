"""Finds the instant of a value that a driver returns, also where the thread is stopped on the way.

Between the clock and the call, another thread may take Python's lock, or another process the processor.
The value is then older than its time: at 300 W, 10 ms are 3 J.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from carbon_core import units
from carbon_core.clock import Clock

# Until then, a call counts as undisturbed.
_SHORT_NS = units.nanoseconds(0.001)
# A disturbed call takes several times as long as usual.
_USUAL_TIMES = 4
# A driver that takes longer may be about to hang, and is not called again.
_LONGEST_NS = units.nanoseconds(0.05)
_NEVER_NS = 2**63
_T = TypeVar("_T")


class ReadTimer:
    """Times the reads of one device.

    Attributes:
        recent_ns: The shorter of the last two spans: one that was disturbed once is not slow.

    Args:
        clock: Source of the readings' times.
    """

    __slots__ = ("_last_ns", "_now_ns", "_retry_helps", "_usual_ns", "recent_ns")

    def __init__(self, clock: Clock) -> None:
        self._now_ns = clock.monotonic_ns
        self.recent_ns = 0
        self._last_ns = _NEVER_NS
        # The shortest span so far.
        self._usual_ns = _NEVER_NS
        # Another process takes the processor for once; a busy thread of this one takes each call's lock.
        self._retry_helps = True

    def read(self, call: Callable[[], _T]) -> tuple[int, _T]:
        """Return the instant and the value of a call, which is made again where it was disturbed."""
        now_ns = self._now_ns
        began_ns = now_ns()
        value = call()
        span_ns = now_ns() - began_ns
        if span_ns > _SHORT_NS and self._is_disturbed(span_ns):
            again_ns = now_ns()
            second = call()
            second_ns = now_ns() - again_ns
            self._retry_helps = second_ns < span_ns / 2
            if self._retry_helps:
                began_ns, value, span_ns = again_ns, second, second_ns
        # Where the lock was taken, that was after the call: it is released for calls of the driver.
        self._usual_ns = usual_ns = min(self._usual_ns, span_ns)
        self.recent_ns, self._last_ns = min(self._last_ns, span_ns), span_ns
        return began_ns + usual_ns // 2, value

    def _is_disturbed(self, span_ns: int) -> bool:
        """Return whether to repeat a call; the next one is repeated again if this one helps."""
        if not _USUAL_TIMES * self._usual_ns < span_ns < _LONGEST_NS:
            return False
        retry, self._retry_helps = self._retry_helps, True
        return retry
