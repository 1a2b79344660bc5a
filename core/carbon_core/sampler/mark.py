"""The training thread's note of an instant."""

from __future__ import annotations

import threading

from carbon_core.records import Snapshot


class Mark:
    """The training thread's note: at this instant, this began.

    Attributes:
        t_ns: Monotonic time of the note in nanoseconds.
        phase: Name of the phase that begins here, or None for a mere instant.
        last: Whether the run ends here.
        snapshot: The totals at `t_ns`, once the sampler has resolved the mark.
    """

    __slots__ = ("_resolved", "last", "phase", "snapshot", "t_ns")

    def __init__(
        self,
        t_ns: int,
        phase: str | None = None,
        resolved: threading.Event | None = None,
        *,
        last: bool = False,
    ) -> None:
        self.t_ns = t_ns
        self.phase = phase
        self.last = last
        self.snapshot: Snapshot | None = None
        self._resolved = resolved

    def resolve(self, snapshot: Snapshot) -> None:
        """Attach the totals and let a waiting thread go on."""
        self.snapshot = snapshot
        if self._resolved is not None:
            self._resolved.set()

    def wait(self, timeout_s: float) -> Snapshot | None:
        """Wait for the totals, at most `timeout_s` seconds; None when they did not come."""
        if self._resolved is not None:
            self._resolved.wait(timeout_s)
        return self.snapshot
