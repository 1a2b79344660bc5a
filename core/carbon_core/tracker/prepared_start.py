"""The part of a tracker that finds the meters of a run before it begins."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from carbon_core.interruptions import suppressed
from carbon_core.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from typing import Any

    from carbon_core.tracker.parts import Parts
    from carbon_core.tracker.preparation import Preparation
    from carbon_core.tracker.run import Run

# Longest wait for its end where a training ends without a run.
_UNUSED_S = 0.5
# Shortest wait of a start for readings.
_LEAST_WAIT_S = 0.01


class Prepared:
    """The preparation of a tracker for its next run, if there is one."""

    def __init__(self) -> None:
        self._latest: Preparation | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def of(self, owner: object, parts: Parts) -> Preparation:
        """Return the preparation for a run of these parts: the present one if it suits, else a new one.

        Args:
            owner: The tracker; it is closed when that is collected.
            parts: Those of the run.
        """
        from carbon_core.tracker.preparation import END_S, Preparation

        latest = self._latest
        if latest is None or not latest.suits(parts):
            self.close(END_S)
            latest = self._latest = Preparation(parts)
            self._finalizer = weakref.finalize(owner, latest.close)
            latest.start()
        return latest

    def close(self, wait_s: float = _UNUSED_S) -> None:
        """Close the meters, unless a run has taken them.

        Args:
            wait_s: Longest time to wait for that, in seconds.
        """
        latest, self._latest = self._latest, None
        if self._finalizer is not None:
            self._finalizer.detach()
        if latest is not None:
            latest.close(wait_s)


class PreparedStart:
    """What `Tracker` has for it: `prepare`, and a start that uses what was prepared."""

    run_id: str

    def __init__(self) -> None:
        self._prepared = Prepared()

    @property
    def running(self) -> bool:
        """Whether a run is active."""
        raise NotImplementedError

    def make_parts(self, run_id: str) -> Parts:
        """Return the parts of the next run."""
        raise NotImplementedError

    def prepare(self, wait_s: float = 0.0) -> None:
        """Find the meters ahead of `start()` and read them, so that nothing of the run is extrapolated.

        Does nothing during a run. Meters that no start has used after ten minutes are closed.

        Args:
            wait_s: Longest time to wait for that, in seconds.
        """
        with suppressed(Exception):  # start() tries again, and warns
            if not self.running:
                self._prepared.of(self, self.make_parts(self.run_id)).wait(wait_s)

    def close_prepared(self) -> None:
        """Close the meters of a preparation that no run has used."""
        self._prepared.close()

    def _prepared_run(self) -> Run:
        """Return a run that begins now, after a short wait for its meters.

        The first start in a process loads the modules of a run: the wait is shorter by that time.
        """
        from carbon_core.clock import SystemClock

        began_ns = SystemClock.monotonic_ns()
        parts = self.make_parts(self.run_id)
        # The meters are searched meanwhile.
        preparation = self._prepared.of(self, parts)
        from carbon_core.record import replace
        from carbon_core.tracker import active_runs
        from carbon_core.tracker.run import Run
        from carbon_core.tracker.shutdown import Deadline

        loading_s = (SystemClock.monotonic_ns() - began_ns) / NANOSECONDS_PER_SECOND
        patience_s = max(
            min(_LEAST_WAIT_S, parts.start_patience_s), parts.start_patience_s - loading_s
        )
        deadline = Deadline(parts.clock, patience_s)
        parts = preparation.used_by(parts, deadline.left_s)
        run = Run(replace(parts, facts=active_runs.enter(parts.facts)))
        run.start_wait_s = deadline.left_s
        return run
