"""Folds the lines of many short runs in one process: a search of 100 trials would print 200 of them.

    greeting of a run       shown unless it equals the one before
    end of a short run      the first is shown; those that follow are counted, and shown as one line
                            at most every 30 s, when a longer run ends, and at the end of the process

Warnings do not come here. All of it is called when `Messages.deliver` shows lines, on the user's
threads; memory is fixed.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Sequence

from carbon_core import report_text, units
from carbon_core.escaping import one_line
from carbon_core.formatting import duration, emissions, energy
from carbon_core.hint import hint
from carbon_core.messages import Messages, show_at_exit
from carbon_core.report import Report

_SHORT_S = 10.0
_EVERY_NS = units.nanoseconds(30.0)
# A program may end its runs with custom statuses.
_MOST_STATUSES = 8


class RunLines:
    """The log lines of the runs of one process: those shown, and those folded so far.

    Attributes:
        pid: The process; a forked child shows nothing of its parent's.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        # Re-entrant: a signal's handler may stop a run while another one's line is made.
        self._lock = threading.RLock()
        self._last: dict[str, str] = {}
        self._series: str | None = None
        self._shown_ns = 0
        self._clear()

    def unless_repeated(self, kind: str, line: str) -> Sequence[str]:
        """Return a line, or none where it equals the previous one of its kind.

        Args:
            kind: What the line is about; each kind has a previous line.
            line: The line with its preamble.
        """
        with self._lock:
            if self._last.get(kind) == line:
                return ()
            self._last[kind] = line
            return (line,)

    def at_end(self, report: Report, preamble: str, t_ns: int, receipt: str = "") -> Sequence[str]:
        """Return the lines to show for a run that has ended: its summary, what was folded, or none.

        Args:
            report: The run.
            preamble: Put before its lines; runs with different ones are not folded together.
            t_ns: Monotonic time of its end.
            receipt: Path of its receipt, or an empty string.
        """
        line = preamble + one_line(report_text.of_run(report))
        with self._lock:
            short = report.duration_s < _SHORT_S
            is_due = t_ns - self._shown_ns >= _EVERY_NS
            if short and preamble == self._series and (self._count or not is_due):
                self._add(report, line)
                if not is_due:
                    return ()
                self._shown_ns = t_ns
                return self.rest()
            lines = (*self.rest(), line, *self._details(report, preamble, receipt))
            self._series = preamble if short else None
            self._shown_ns = t_ns
            return lines

    def _details(self, report: Report, preamble: str, receipt: str) -> Sequence[str]:
        """Return a second line, if any: the whole training, where the receipt is, and a hint, once."""
        remedy = hint(report) if report.is_known else ""
        better = f"for a narrower interval: {remedy}" if remedy else ""
        parts = (
            report_text.of_training(report),
            f"receipt: {receipt}" if receipt else "",
            *self.unless_repeated("hint", better),
        )
        text = one_line("; ".join(filter(None, parts)))
        return (preamble + text,) if text else ()

    def rest(self) -> Sequence[str]:
        """Return the line of what was folded since the last one, if anything was, and forget it."""
        with self._lock:
            count, line = self._count, self._line
            if count > 1:
                figures = f"{energy(self._kwh)}, {emissions(self._kg)}"
                if self._unknown:
                    known = "" if self._unknown == count else f"{figures}; "
                    figures = f"{known}energy of {self._unknown} unknown"
                line = (
                    f"{self._series or ''}{count} more runs{self._endings}: {figures} "
                    f"in {duration(self._seconds)}"
                )
            self._clear()
            return (line,) if count else ()

    def _add(self, report: Report, line: str) -> None:
        if not self._count:
            # Registered again each time: the last registration runs first, before logging shuts down.
            atexit.unregister(_show_rest)
            atexit.register(_show_rest)
        self._line = line
        self._count += 1
        if report.is_known:
            self._kwh += report.energy_kwh.value
            self._kg += report.emissions_kg.value
        else:
            self._unknown += 1
        self._seconds += report.duration_s
        if report.status in self._statuses or len(self._statuses) < _MOST_STATUSES:
            self._statuses[report.status] = self._statuses.get(report.status, 0) + 1

    @property
    def _endings(self) -> str:
        others = [f"{n} {name}" for name, n in self._statuses.items() if name != "completed"]
        return f" ({', '.join(others)})" if others else ""

    def _clear(self) -> None:
        self._count = self._unknown = 0
        self._line = ""
        self._kwh = self._kg = self._seconds = 0.0
        self._statuses: dict[str, int] = {}


_lines: RunLines | None = None


def of_process() -> RunLines:
    """Return the lines of this process; a forked child has none, and its own lock."""
    global _lines  # noqa: PLW0603 - one for each process, as its standard error is
    lines = _lines
    if lines is None or lines.pid != os.getpid():
        lines = _lines = RunLines()
    return lines


def forget() -> None:
    """Begin again, as another process would: for tests."""
    global _lines  # noqa: PLW0603 - as above
    _lines = None


def _show_rest() -> None:
    if _lines is not None and _lines.pid == os.getpid():
        show_at_exit(_lines.rest())


def announce(
    messages: Messages, kind: str, text: str, unless: Callable[[], bool] = lambda: False
) -> None:
    """Log a line, unless the previous run of this process logged the same.

    Args:
        messages: The run's messages.
        kind: What the line is about.
        text: The line without its preamble.
        unless: Called when the line would be shown; returns whether it is out of date.
    """
    line = messages.preamble + one_line(text)
    messages.info(text, lambda: () if unless() else of_process().unless_repeated(kind, line))


def announce_end(messages: Messages, report: Report, t_ns: int, receipt: str) -> None:
    """Log the result of a run, folded with those of other short runs.

    Args:
        messages: The run's messages.
        report: The run.
        t_ns: Monotonic time of its end.
        receipt: Path of its receipt, or an empty string.
    """
    preamble = messages.preamble
    messages.info(report.summary(), lambda: of_process().at_end(report, preamble, t_ns, receipt))
