"""Shutdown of a run within its deadline: the last reading, and the time of each step."""

from __future__ import annotations

import threading
from collections.abc import Callable

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.messages import Messages
from carbon_core.records import Snapshot
from carbon_core.report import Report
from carbon_core.sampler import Mark, Sampler
from carbon_core.threads import Latch, UninterruptedCall
from carbon_core.tracker.stage import RunState, Stage

_CLOSING_THREAD = "carbon-close"
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


class Closing:
    """The end of a run. Only the first call does anything.

    Attributes:
        report: The report of the run, once it is closed.

    Args:
        state: Stage of the run.
        close: Ends the run, saves it and returns its report; after an exception, a second call continues
            where the first one was.
        on_fault: Callback that receives a message when it raises on its own thread.
    """

    def __init__(
        self,
        state: RunState,
        close: Callable[[str], Report],
        on_fault: Callable[[str], None],
    ) -> None:
        self.report: Report | None = None
        self._state = state
        self._close = close
        self._on_fault = on_fault
        self._status = ""
        # Re-entrant: a signal's handler may stop the run on the very thread that is stopping it.
        self._lock = threading.RLock()
        self._uninterrupted = UninterruptedCall(self._finish_quietly, _CLOSING_THREAD)

    def close(self, status: str) -> Report | None:
        """Close the run and return its report; None within the very call that is closing it.

        A call that a signal handler interrupts may be repeated, to wait for the end.

        Args:
            status: ``completed``, ``failed``, ``interrupted`` or ``pruned``.
        """
        if self.report is None:
            self._status = self._status or status
            if not self._uninterrupted.wait() or self.report is None:
                self.finish(status)
        return self.report

    def finish(self, status: str) -> Report | None:
        """Close the run on the calling thread; otherwise like `close`."""
        with self._lock:
            if not self._state.closing:
                self._state.stage = Stage.CLOSING
                try:
                    self.report = self._close(status)
                except BaseException:
                    self._state.stage = Stage.RUNNING
                    raise
                self._state.stage = Stage.CLOSED
        return self.report

    def _finish_quietly(self) -> None:
        try:
            self.finish(self._status)
        except Exception as error:  # noqa: BLE001 - the guard of this thread
            self._on_fault(f"stop() failed: {error!r}")


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
    if snapshot is None and sampler.alive and not on_own_thread():
        messages.warn("a meter did not respond in time: its last power is extrapolated")
    return sampler.completed(snapshot) if snapshot else sampler.carried_to(mark.t_ns)


def on_own_thread() -> bool:
    """Return whether the calling thread is one of this package's that work during a run."""
    name = threading.current_thread().name
    return name.startswith("carbon-") and name != _CLOSING_THREAD
