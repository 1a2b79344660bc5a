"""Trace data since the last heartbeat, for plots; kept until it is written to the journal.

The ledger has totals only. Each meter's own readings are kept as they are made, thinned to a
two-hundredth of the run so far: a run of a minute has a point every half second, one of an hour no more
than its heartbeats. No reading is made for the trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

from carbon_core import units
from carbon_core.records import Curve, TraceData

_FINEST_NS = units.nanoseconds(0.5)
_FINENESS = 200
_MS = 3  # digits of a time in seconds, and of joules
_NEVER_NS = 2**63
# Between two heartbeats; of more, the latest are kept. Of the usual 15 s, ten devices fill 300.
_MOST_READINGS = 4096
_MOST_MARKS = 256
_T = TypeVar("_T")


class Trace:
    """Collects `TraceData` on the sampler thread; windows come from the user's thread.

    Args:
        opened_ns: When the run began.
        first_phase: Name of the phase that it begins with.
        heartbeat_ns: Readings are not kept once they would be rarer than this.
    """

    def __init__(self, opened_ns: int, first_phase: str, heartbeat_ns: int) -> None:
        self._opened_ns = opened_ns
        self._heartbeat_ns = heartbeat_ns
        self._due_ns = opened_ns + _FINEST_NS
        self._last_ns: dict[int, int] = {}
        self._readings: deque[tuple[int, float, float]] = deque(maxlen=_MOST_READINGS)
        self._phases: deque[tuple[float, str]] = deque([(0.0, first_phase)], _MOST_MARKS)
        self._windows: deque[tuple[str, float, float]] = deque(maxlen=_MOST_MARKS)

    def is_due(self, now_ns: int) -> bool:
        """Return whether readings are due again."""
        return now_ns >= self._due_ns

    def note_readings(self, now_ns: int, readings: Iterable[tuple[int, int, float]]) -> None:
        """Keep the new readings: device number, monotonic time, cumulative joules."""
        for i, t_ns, joules in readings:
            if t_ns > self._last_ns.get(i, self._opened_ns):
                self._last_ns[i] = t_ns
                self._readings.append((i, self._seconds(t_ns), round(joules, _MS)))
        step_ns = max(_FINEST_NS, (now_ns - self._opened_ns) // _FINENESS)
        self._due_ns = now_ns + step_ns if step_ns < self._heartbeat_ns else _NEVER_NS

    def note_phase(self, t_ns: int, phase: str) -> None:
        """Keep the beginning of a phase."""
        self._phases.append((self._seconds(t_ns), phase))

    def note_window(self, name: str, begin_ns: int, end_ns: int) -> None:
        """Keep a closed window. Never blocks."""
        self._windows.append((name, self._seconds(begin_ns), self._seconds(end_ns)))

    def take(self) -> TraceData:
        """Return the trace data since the last call."""
        by_device: dict[int, Curve] = {}
        for i, t_s, joules in _drained(self._readings):
            curve = by_device.setdefault(i, Curve(i, [], []))
            curve.t_s.append(t_s)
            curve.joules.append(joules)
        return TraceData(
            tuple(by_device.values()),
            tuple(_drained(self._phases)),
            tuple(_drained(self._windows)),
        )

    def _seconds(self, t_ns: int) -> float:
        return round(units.seconds(t_ns - self._opened_ns), _MS)


def _drained(kept: deque[_T]) -> Iterator[_T]:
    """Remove and yield what was there; the closing thread may do so during a heartbeat."""
    for _ in range(len(kept)):
        try:
            one = kept.popleft()
        except IndexError:
            return
        yield one
