"""Divides the energy of a run among requests: at each instant, equally among those that are open.

Meters are not read for each request. A run is cut into stretches between two readings, and within one,
energy is taken as proportional to time. Of a stretch, a request that is open has a share of the power
that is 1 / number of open requests: summed over its time, that is the time per request, which this
ledger counts on. The energy of a request is then the difference of two values of one function, at its
begin and at its end, so that neither its length nor the number of requests costs memory.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from copy import copy
from typing import Literal, NamedTuple, Protocol

from carbon_core.records import NO_ENERGY, Device, Energy, Window
from carbon_core.units import NANOSECONDS_PER_SECOND

Outcome = Literal["completed", "failed", "open"]
# Name of a counter, and the outcome of its requests.
Key = tuple[str, Outcome]

# Stretches that are kept apart. Devices that are found late change the energy of early ones.
_MOST, _MOST_LATER = 256, 16
_EARLY_NS = 20 * NANOSECONDS_PER_SECOND
# So many are added up at once, which takes the caller's time.
_MOST_ADDED = 2


class Instant(Protocol):
    """An instant at which the meters are read."""

    @property
    def t_ns(self) -> int:
        """Monotonic time in nanoseconds."""
        ...


# Of the stretches that are not added up, by the id of their begin: the energy per request of all
# stretches before, and the joules per nanosecond.
Rates = dict[int, tuple[float, float]]
WindowOf = Callable[[Instant, Instant], Window]
IsFinal = Callable[[Instant], bool]


class Stretch:
    """A part of a run between two readings, within which energy is divided by time.

    Attributes:
        begin: Its begin.
        end: Its end, once it has one.
        busy_ns: Time with an open request.
        per_request_ns: Sum of time / number of open requests.
        sums: Of each key, the number of requests that end here less those that begin here, and the same
            sum of their `per_request_ns`.
        before_j: Energy per request of all stretches before; None until its energy is final.
        j_per_ns: Its joules per nanosecond, then.
    """

    __slots__ = ("before_j", "begin", "busy_ns", "end", "j_per_ns", "per_request_ns", "sums")

    def __init__(self, begin: Instant) -> None:
        self.begin = begin
        self.end: Instant | None = None
        self.busy_ns = 0
        self.per_request_ns = 0.0
        self.sums: dict[Key, tuple[float, float]] = {}
        self.before_j: float | None = None
        self.j_per_ns = 0.0


class Point(NamedTuple):
    """An instant at which a request begins or ends.

    Attributes:
        stretch: The stretch that it is in.
        per_request_ns: The time per request of the stretch up to it.
    """

    stretch: Stretch
    per_request_ns: float


class OpenRequest(NamedTuple):
    """A request that is open, or a batch of several.

    Attributes:
        key: The counter, and what its energy counts as meanwhile.
        weight: How many requests share the time with others.
        requests: How many requests it is.
        begin: Its begin.
    """

    key: Key
    weight: int
    requests: int
    begin: Point


class Division:
    """Energy of requests, up to the end of a stretch.

    Attributes:
        joules: Joules by counter and outcome; without those of open requests.
        per_request_j: Joules for a request that is open all the time.
        busy: Energy by device while a request was open.
        busy_ns: That time.
        uncertain_j: Joules by which the division may be wrong, because stretches had both requests and
            idle time: of a share s of the time, the energy is taken as s, and is between s and 1.
    """

    def __init__(self) -> None:
        self.joules: dict[Key, float] = defaultdict(float)
        self.per_request_j = 0.0
        self.busy: dict[Device, Energy] = {}
        self.busy_ns = 0
        self.uncertain_j = 0.0

    def copy(self) -> Division:
        """Return a copy."""
        other = Division()
        other.joules.update(self.joules)
        other.busy.update(self.busy)
        other.per_request_j, other.busy_ns = self.per_request_j, self.busy_ns
        other.uncertain_j = self.uncertain_j
        return other

    def add(self, stretch: Stretch, window: Window, length_ns: int) -> float:
        """Add the next stretch; return its joules per nanosecond.

        Args:
            stretch: The stretch.
            window: Its energy.
            length_ns: Its length.
        """
        j_per_ns = _rate(window, length_ns)
        for key, (count, per_request_ns) in stretch.sums.items():
            self.joules[key] += count * self.per_request_j + per_request_ns * j_per_ns
        self.per_request_j += stretch.per_request_ns * j_per_ns
        self.busy_ns += stretch.busy_ns
        share = min(1.0, stretch.busy_ns / length_ns) if length_ns > 0 else 0.0
        if share:
            for device, energy in window.by_device.items():
                part = Energy(*(share * value for value in energy))
                self.busy[device] = self.busy.get(device, NO_ENERGY).plus(part)
            wrong = min(math.sqrt(share * (1.0 - share)), 1.0 - share)
            self.uncertain_j += wrong * max(0.0, window.joules)
        return j_per_ns


class RequestLedger:
    """The requests of a run; memory does not depend on their number.

    No thread-safety: the caller applies one event after the other.

    Attributes:
        counts: Number of requests and of tokens by counter and outcome.
        spans: How often a time with open requests began.

    Args:
        begin: When counting begins.
    """

    def __init__(self, begin: Instant) -> None:
        self.counts: dict[Key, tuple[int, int]] = {}
        self.spans = 0
        self.begin = begin
        self._t_ns = begin.t_ns
        self._stretch = Stretch(begin)
        self._ended: deque[Stretch] = deque()
        self._final = Division()
        self._open: dict[int, OpenRequest] = {}
        self._weight = 0

    # --- events ----------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether a request is open."""
        return bool(self._open)

    def open(self, t_ns: int, number: int, counter: str, count: int) -> None:
        """Begin a request.

        Args:
            t_ns: When it begins, in nanoseconds.
            number: Identifies it.
            counter: Name of its counter.
            count: How many requests it is; 0 for work on requests that `done` counts.
        """
        if number in self._open:
            return
        self._advance(t_ns)
        self.spans += not self._open
        key: Key = (counter, "open" if count else "completed")
        weight = max(1, count)
        self._open[number] = OpenRequest(key, weight, count, self._here)
        self._weight += weight

    def close(
        self, t_ns: int, number: int, outcome: Outcome, tokens: int
    ) -> tuple[Point, Point, int] | None:
        """End a request; return its begin, its end and its weight, or None if it is not open.

        Args:
            t_ns: When it ends, in nanoseconds.
            number: Identifies it.
            outcome: ``completed`` or ``failed``.
            tokens: Its tokens.
        """
        if number not in self._open:
            return None
        self._advance(t_ns)
        key, weight, count, begin = self._open.pop(number)
        self._weight = self._weight - weight if self._open else 0
        here = self._here
        ended: Key = (key[0], outcome if count else "completed")
        self._book(ended, begin, here, weight)
        self._count(ended, count, tokens)
        return begin, here, weight

    def done(self, t_ns: int, counter: str, count: int, tokens: int) -> None:
        """Count requests that have ended; if none is open, the time since the last event is theirs.

        Args:
            t_ns: When they have ended, in nanoseconds.
            counter: Name of their counter.
            count: How many they are.
            tokens: Their tokens.
        """
        key: Key = (counter, "completed")
        if self._open:
            self._advance(t_ns)
        else:
            begin = self._here
            self.spans += 1
            self._advance(t_ns, weight=1)
            self._book(key, begin, self._here, 1)
        self._count(key, count, tokens)

    def rest(self, t_ns: int) -> None:
        """Note that the time since the last event was idle, if no request is open."""
        self._advance(t_ns)

    def make_room(self, t_ns: int, window_of: WindowOf, is_final: IsFinal) -> bool:
        """Return whether another stretch may begin, after the oldest ones were added up.

        Args:
            t_ns: Now, in nanoseconds.
            window_of: Returns the energy between two readings.
            is_final: Whether the totals of a reading are known.
        """
        if t_ns <= self._stretch.begin.t_ns:
            return False
        most = _MOST if t_ns - self.begin.t_ns < _EARLY_NS else _MOST_LATER
        for _ in range(_MOST_ADDED):
            if len(self._ended) >= most and not self._add_up_oldest(window_of, is_final):
                break
        return len(self._ended) < _MOST

    def _add_up_oldest(self, window_of: WindowOf, is_final: IsFinal) -> bool:
        oldest = self._ended[0]
        if oldest.end is None or not is_final(oldest.end):
            return False
        before_j = self._final.per_request_j
        oldest.j_per_ns = self._add(self._final, oldest, oldest.end, window_of)
        oldest.before_j, oldest.sums = before_j, {}
        self._ended.popleft()
        return True

    def split(self, instant: Instant) -> None:
        """Begin another stretch at a reading, after all events so far."""
        self._advance(instant.t_ns)
        self._stretch.end = instant
        self._ended.append(self._stretch)
        self._stretch = Stretch(instant)

    # --- results ---------------------------------------------------------------------------------

    def divided(self, end: Instant, window_of: WindowOf) -> Division:
        """Return the energy of requests so far.

        Args:
            end: Now, or the end of the run.
            window_of: Returns the energy between two readings.
        """
        division = self._final.copy()
        rates: Rates = {}
        for stretch in self._stretches(end):
            before_j = division.per_request_j
            j_per_ns = self._add(division, stretch, stretch.end or end, window_of)
            rates[id(stretch.begin)] = before_j, j_per_ns
        for key, weight, _, begin in self._open.values():
            division.joules[key] += weight * (division.per_request_j - _joules_at(begin, rates))
        return division

    def joules_between(self, begin: Point, end: Point, now: Instant, window_of: WindowOf) -> float:
        """Return the joules of a request that was open from one point to another.

        Args:
            begin: Its begin.
            end: Its end.
            now: An instant after it.
            window_of: Returns the energy between two readings.
        """
        rates: Rates = {}
        before_j = self._final.per_request_j
        for stretch in self._stretches(now):
            end_of = stretch.end or now
            window = window_of(stretch.begin, end_of)
            j_per_ns = _rate(window, self._length_ns(stretch, end_of))
            rates[id(stretch.begin)] = before_j, j_per_ns
            before_j += j_per_ns * stretch.per_request_ns
        return _joules_at(end, rates) - _joules_at(begin, rates)

    def _stretches(self, now: Instant) -> list[Stretch]:
        """Return the stretches that are not added up, the last one up to now."""
        last, more_ns = copy(self._stretch), max(0, now.t_ns - self._t_ns)
        if self._weight:
            last.busy_ns += more_ns
            last.per_request_ns += more_ns / self._weight
        return [*self._ended, last]

    def _add(
        self, division: Division, stretch: Stretch, end: Instant, window_of: WindowOf
    ) -> float:
        length_ns = self._length_ns(stretch, end)
        return division.add(stretch, window_of(stretch.begin, end), length_ns)

    def _length_ns(self, stretch: Stretch, end: Instant) -> int:
        """Return the length of a stretch; events may have come after the snapshot that ends it."""
        end_ns = end.t_ns if stretch.end is not None else max(end.t_ns, self._t_ns)
        return end_ns - stretch.begin.t_ns

    def recover(self) -> None:
        """Make the state whole after an event that an exception of the program has interrupted."""
        self._weight = sum(one.weight for one in self._open.values())

    def unfinished(self, counter: str) -> int:
        """Return how many requests of a counter are open."""
        return sum(one.requests for one in self._open.values() if one.key[0] == counter)

    @property
    def _here(self) -> Point:
        return Point(self._stretch, self._stretch.per_request_ns)

    def _advance(self, t_ns: int, weight: int | None = None) -> None:
        span_ns = t_ns - self._t_ns
        if span_ns <= 0:  # two threads may have noted the time in another order
            return
        self._t_ns = t_ns
        if weight := self._weight if weight is None else weight:
            self._stretch.busy_ns += span_ns
            self._stretch.per_request_ns += span_ns / weight

    def _book(self, key: Key, begin: Point, end: Point, weight: int) -> None:
        """Add the energy of a request from its begin to its end."""
        self._book_point(key, begin, -weight)
        self._book_point(key, end, weight)

    def _book_point(self, key: Key, point: Point, weight: int) -> None:
        stretch, per_request_ns = point
        if stretch.before_j is not None:
            at_j = stretch.before_j + per_request_ns * stretch.j_per_ns
            self._final.joules[key] += weight * at_j
            return
        count, total = stretch.sums.get(key, (0.0, 0.0))
        stretch.sums[key] = count + weight, total + weight * per_request_ns

    def _count(self, key: Key, count: int, tokens: int) -> None:
        requests, all_tokens = self.counts.get(key, (0, 0))
        self.counts[key] = requests + count, all_tokens + tokens


def _rate(window: Window, length_ns: int) -> float:
    """Return joules per nanosecond."""
    return window.joules / length_ns if length_ns > 0 else 0.0


def _joules_at(point: Point, rates: Rates) -> float:
    """Return the energy per request up to a point."""
    stretch = point.stretch
    if stretch.before_j is not None:
        return stretch.before_j + stretch.j_per_ns * point.per_request_ns
    before_j, j_per_ns = rates[id(stretch.begin)]
    return before_j + j_per_ns * point.per_request_ns
