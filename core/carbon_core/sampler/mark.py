"""An instant that the training thread marks, to be resolved to totals."""

from __future__ import annotations

from carbon_core.records import Snapshot
from carbon_core.threads import Latch


class Mark:
    """A mark in time: a phase begins here, or a window begins or ends.

    Attributes:
        t_ns: Monotonic time in nanoseconds.
        phase: Name of the phase that begins here, or None for an instant only.
        last: Whether the run ends here.
        snapshot: The totals at `t_ns`, once the sampler has resolved the mark; those of `Ledger.mark`.
    """

    __slots__ = ("_resolved", "last", "phase", "snapshot", "t_ns")

    def __init__(
        self,
        t_ns: int,
        phase: str | None = None,
        resolved: Latch | None = None,
        *,
        last: bool = False,
    ) -> None:
        self.t_ns = t_ns
        self.phase = phase
        self.last = last
        self.snapshot: Snapshot | None = None
        self._resolved = resolved

    def resolve(self, snapshot: Snapshot) -> None:
        """Attach the totals and wake the waiting thread."""
        self.snapshot = snapshot
        if self._resolved is not None:
            self._resolved.set()

    def wait(self, timeout_s: float) -> Snapshot | None:
        """Wait for the totals, at most `timeout_s` seconds; None on timeout."""
        if self._resolved is not None:
            self._resolved.wait(timeout_s)
        return self.snapshot
