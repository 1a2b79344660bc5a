"""The last interval of a run, whose power an output shows as the present one."""

from __future__ import annotations

from carbon_core.records import Snapshot, Window
from carbon_core.report import Report

# Between two readings that are closer, the power is mostly the noise of their times.
_LEAST_SPAN_S = 0.5


class PresentPower:
    """Keeps the interval between the last two updates of one output.

    Attributes:
        window: The interval; None while the run is shorter.
    """

    def __init__(self) -> None:
        self.window: Window | None = None
        self._last: Snapshot | None = None

    def note(self, report: Report) -> None:
        """Note the totals of an update; one that follows at once does not begin another interval."""
        latest = report.window.end - (self._last or report.window.start)
        is_all = self.window is None and report.status != "running"
        if latest.duration_s >= _LEAST_SPAN_S or (is_all and latest.duration_s > 0.0):
            self._last, self.window = report.window.end, latest
