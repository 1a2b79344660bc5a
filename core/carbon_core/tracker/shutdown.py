"""Shutdown of a run within its deadline: the last reading, and the time of each step."""

from __future__ import annotations

import threading

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.messages import Messages
from carbon_core.records import Snapshot
from carbon_core.sampler import Mark, Sampler
from carbon_core.threads import Latch

# Name of the thread that closes a run.
CLOSING_THREAD = "carbon-close"
# Part of the time left that one step may take before the next gets its turn.
_STEP_FRACTION = 0.5


class Deadline:
    """The end of the time that closing a run may take.

    Args:
        clock: Source of monotonic time.
        timeout_s: That time in seconds, from now on.
    """

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._end_ns = clock.monotonic_ns() + units.nanoseconds(timeout_s)

    @property
    def left_s(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, units.seconds(self._end_ns - self._clock.monotonic_ns()))

    @property
    def step_s(self) -> float:
        """Seconds that the next step may take."""
        return self.left_s * _STEP_FRACTION


def last_snapshot(sampler: Sampler, clock: Clock, timeout_s: float, messages: Messages) -> Snapshot:
    """Take the last reading of a run; extrapolate where a meter does not respond in time.

    Args:
        sampler: The run's sampler.
        clock: Source of monotonic time.
        timeout_s: Time that closing the run may take, in seconds; a part of it is used.
        messages: Gets a warning where totals are extrapolated.
    """
    mark = Mark(clock.monotonic_ns(), "end", Latch(), last=True)
    sampler.mark(mark)
    wait_s = timeout_s * _STEP_FRACTION
    if on_own_thread() or not sampler.alive:
        # The garbage collector may close a forgotten run on any thread, even on the sampler's.
        sampler.stop(0.0)
        wait_s = 0.0
    snapshot = mark.wait(wait_s)
    if snapshot is None and wait_s:
        sampler.rescue(wait_s * _STEP_FRACTION)
        snapshot = mark.wait(wait_s * _STEP_FRACTION)
    if snapshot is None and sampler.alive:
        messages.warn("a meter did not respond in time: its last power is extrapolated")
    return snapshot or sampler.carried_to(mark.t_ns)


def on_own_thread() -> bool:
    """Return whether the calling thread is one of this package's that work during a run."""
    name = threading.current_thread().name
    return name.startswith("carbon-") and name != CLOSING_THREAD
