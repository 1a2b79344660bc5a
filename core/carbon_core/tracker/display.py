"""What a tracker shows of its run as one line, and as a table in a notebook; imported only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from carbon_core.notebook import html_of, line_of
from carbon_core.report_text import headline, rows_of

if TYPE_CHECKING:
    from carbon_core.report import Report
    from carbon_core.tracker.tracker import Tracker

# A table of a running tracker may use readings of that age.
_MAX_AGE_S = 1.0
_NOT_STARTED = "not started"


def line_of_tracker(owner: object, tracker: Callable[[], Tracker]) -> str:
    """Return the ``repr`` of a tracker, or of an object that has one; waits for no reading.

    Args:
        owner: The object.
        tracker: Returns its tracker.
    """

    def text() -> str:
        report = _report(tracker(), max_age_s=None)
        return headline(report) if report else _NOT_STARTED

    return line_of(owner, text)


def html_of_tracker(owner: object, tracker: Callable[[], Tracker]) -> str | None:
    """Return the table of a tracker, or of an object that has one.

    Args:
        owner: The object.
        tracker: Returns its tracker.
    """

    def rows() -> dict[str, str]:
        report = _report(tracker(), max_age_s=_MAX_AGE_S)
        return rows_of(report) if report else {"run": _NOT_STARTED}

    return html_of(owner, rows)


def _report(tracker: Tracker, max_age_s: float | None) -> Report | None:
    """Return the totals so far, or those of the last run.

    Args:
        tracker: The tracker.
        max_age_s: Longest age of the readings in seconds; None for the latest ones.
    """
    run = tracker._slot.current
    if run is None:
        return tracker.final_report
    return run.report(None if max_age_s is None else run.recent(max_age_s))
