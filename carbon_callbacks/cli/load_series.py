"""Series of readings, and the cumulative energy that they give."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from carbon_core import units
from carbon_core.records import Device

# The slowest drivers update their values every 0.1 s; a step is the energy of at least that time.
LONGEST_UPDATE_S = 0.25
_EVERY_READING = 1.5


@dataclass
class Series:
    """Values of one device at ascending times.

    Attributes:
        t_ns: Monotonic times in nanoseconds.
        values: Joules or watts.
        failed: Number of failed readings.
    """

    t_ns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    failed: int = 0

    def add(self, t_ns: int, value: float | None) -> None:
        """Add a reading; None is a failed one."""
        if value is None:
            self.failed += 1
        else:
            self.t_ns.append(t_ns)
            self.values.append(value)

    def between(self, span: Span) -> Series:
        """Return the readings within a span."""
        first, last = (
            bisect_right(self.t_ns, span.start_ns - 1),
            bisect_right(self.t_ns, span.end_ns),
        )
        return Series(self.t_ns[first:last], self.values[first:last])


@dataclass(frozen=True)
class Span:
    """A span of monotonic time in nanoseconds."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return units.seconds(self.end_ns - self.start_ns)

    def after(self, seconds: float) -> Span:
        """Return the span without its first seconds."""
        return Span(min(self.end_ns, self.start_ns + units.nanoseconds(seconds)), self.end_ns)


@dataclass(frozen=True)
class Update:
    """How often a value changes.

    Attributes:
        seconds: Median time between two changes.
        is_limit: Whether it changes at nearly every reading, so that the true period is shorter.
    """

    seconds: float
    is_limit: bool


class Curve:
    """Cumulative energy of one device from its readings.

    Args:
        device: The device.
        readings: Its readings.

    Attributes:
        falls: How often a counter falls or rises by more than the device can consume, without a wrap.
    """

    def __init__(self, device: Device, readings: Series) -> None:
        self.device = device
        self.readings = readings
        self.falls = 0
        steps = self._steps() if device.kind == "counter" else self._integrated()
        self._joules = [0.0]
        for step_j in steps:
            self._joules.append(self._joules[-1] + step_j)

    def _steps(self) -> Iterator[float]:
        """Yield the joules between two readings; a rise is held against the time since the last one."""
        times, values = self.readings.t_ns, self.readings.values
        changed_ns = times[0]
        for before, after, t_ns in zip(values, values[1:], times[1:]):
            step_j = after - before
            if step_j < 0 and self.device.wrap_j is not None:
                step_j += self.device.wrap_j
            span_s = max(LONGEST_UPDATE_S, units.seconds(t_ns - changed_ns))
            if not 0 <= step_j <= self.device.max_power_w * span_s:
                self.falls += 1
                step_j = 0.0
            if after != before:
                changed_ns = t_ns
            yield step_j

    def _integrated(self) -> Iterator[float]:
        times, values = self.readings.t_ns, self.readings.values
        for (t0, t1), (a, b) in zip(pairwise(times), pairwise(values)):
            yield (a + b) / 2 * units.seconds(t1 - t0)

    def at(self, t_ns: int) -> float:
        """Return the joules up to a time, interpolated between its neighbouring readings."""
        times = self.readings.t_ns
        after = min(max(1, bisect_right(times, t_ns)), len(times) - 1)
        if after < 1:
            return 0.0
        t0, t1 = times[after - 1], times[after]
        part = min(1.0, max(0.0, (t_ns - t0) / (t1 - t0))) if t1 > t0 else 1.0
        return self._joules[after - 1] + part * (self._joules[after] - self._joules[after - 1])

    def energy_j(self, span: Span) -> float:
        """Return the joules within a span."""
        return self.at(span.end_ns) - self.at(span.start_ns)

    def steady(self, span: Span) -> Span | None:
        """Return the span from the first to the last change of a counter: its energy is exact.

        Between two updates, a counter shows the energy of the past.
        """
        part = self.readings.between(span)
        times = changes(part) if self.device.kind == "counter" else part.t_ns
        return Span(times[0], times[-1]) if len(times) > 1 else None

    def mean_power_w(self, span: Span) -> float | None:
        """Return the mean power within a span; None without two readings in it."""
        part = self.readings.between(span)
        if len(part.t_ns) < 2:
            return None
        exact = self.steady(span) or Span(part.t_ns[0], part.t_ns[-1])
        return self.energy_j(exact) / exact.seconds if exact.seconds > 0 else None


def changes(series: Series) -> list[int]:
    """Return the times at which a value differs from the one before."""
    pairs = zip(series.t_ns[1:], pairwise(series.values))
    return [t_ns for t_ns, (before, after) in pairs if before != after]


def update_of(series: Series) -> Update | None:
    """Return how often a value changes; None where it does so less than three times."""
    times = changes(series)
    if len(times) < 3:
        return None
    median_ns = statistics.median(b - a for a, b in pairwise(times))
    read_ns = statistics.median(b - a for a, b in pairwise(series.t_ns))
    return Update(median_ns / units.NANOSECONDS_PER_SECOND, median_ns < _EVERY_READING * read_ns)


def longest_still_s(series: Series) -> float | None:
    """Return the longest time during which readings show one value; None without readings."""
    if not series.t_ns:
        return None
    longest_ns, since_ns = 0, series.t_ns[0]
    for t_ns, (before, after) in zip(series.t_ns[1:], pairwise(series.values)):
        if after != before:
            since_ns = t_ns
        longest_ns = max(longest_ns, t_ns - since_ns)
    return units.seconds(longest_ns)
