"""Energy by the hour, for grid intensities that become available later.

Stores one entry per hour, however often the totals are sampled, so that a run of weeks stays small.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from carbon_core.records import HourEnergy

_HOUR = timedelta(hours=1)
# A longer step means that the wall clock was set, not that time passed.
_LONGEST_STEP = timedelta(days=7)


class HourSpan(NamedTuple):
    """An hour of UTC, and the run's cumulative joules at its beginning and end."""

    start: datetime
    begin_j: float
    end_j: float


class _Samples(NamedTuple):
    """The cumulative joules at the ends of complete hours, and at the last sample."""

    ends: tuple[tuple[datetime, float], ...]
    at: datetime
    joules: float


class HourlyJoules:
    """Splits the energy of a run into hours.

    Args:
        started: Wall-clock time at which the run began, in UTC.
    """

    def __init__(self, started: datetime) -> None:
        # Complete hours and the last sample in one assignment: another thread may read them.
        self._samples = _Samples((), started, 0.0)

    def note(self, now: datetime, joules: float) -> None:
        """Add a sample of the run's joules; between two samples, power is taken as constant.

        Args:
            now: Wall-clock time in UTC; if it was set back, the energy is added to the current hour.
            joules: Cumulative joules.
        """
        ends, then, before_j = self._samples
        if now - then > _LONGEST_STEP:
            ends = (*ends, (_hour_of(then), before_j))
            then = _hour_of(now)
        while _hour_of(then) + _HOUR <= now:
            boundary = _hour_of(then) + _HOUR
            at_j = before_j + (joules - before_j) * ((boundary - then) / (now - then))
            ends = (*ends, (_hour_of(then), at_j))
            then, before_j = boundary, at_j
        self._samples = _Samples(ends, max(now, then), joules)

    def spans(self, total_j: float) -> tuple[HourSpan, ...]:
        """Return the cumulative joules at the beginning and end of each hour.

        Args:
            total_j: Cumulative joules at the end of the last hour.
        """
        samples = self._samples
        spans: list[HourSpan] = []
        before_j = 0.0
        for start, sample_j in (*samples.ends, (_hour_of(samples.at), total_j)):
            end_j = min(sample_j, total_j)
            spans.append(HourSpan(start, before_j, end_j))
            before_j = end_j
        return tuple(spans)

    def hours(self, total_j: float, grams: Callable[[float], float]) -> tuple[HourEnergy, ...]:
        """Return the energy and emissions of each hour.

        Args:
            total_j: Cumulative joules at the end of the last hour.
            grams: Returns the emissions in grams of CO2e up to a number of cumulative joules.
        """
        hours: list[HourEnergy] = []
        before_g = 0.0
        for start, begin_j, end_j in self.spans(total_j):
            end_g = grams(end_j)
            hours.append(HourEnergy(iso_hour(start), end_j - begin_j, end_g - before_g))
            before_g = end_g
        return tuple(hours)


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def iso_hour(moment: datetime) -> str:
    """Return the beginning of an hour in the format of `HourEnergy.start`, in UTC."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:00Z")


def utc(text: str) -> datetime:
    """Parse a time in ISO 8601; without a zone it is UTC.

    Raises:
        ValueError: The text is not a valid time.
    """
    # Python 3.10 accepts no `Z`, and only fractions of three or six digits.
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    try:
        moment.astimezone(timezone.utc)
    except OverflowError:  # of the first or last hours of the calendar, in a zone beside it
        raise ValueError("the time is outside the calendar of UTC") from None
    return moment
