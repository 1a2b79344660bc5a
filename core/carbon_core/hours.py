"""Energy by the hour of the day it was drawn in: what a price that is known later needs.

One entry an hour, however often the totals are looked at, so that a run of weeks stays small.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from carbon_core.records import HourEnergy

_HOUR = timedelta(hours=1)
# A longer step is the wall clock being set, not time that passed.
_LONGEST_STEP = timedelta(days=7)


class HourSpan(NamedTuple):
    """An hour of UTC and its energy, from and to which cumulative joules."""

    start: datetime
    begin_j: float
    end_j: float


class _Noted(NamedTuple):
    """The cumulative joules at the ends of whole hours, and at the last look."""

    ends: tuple[tuple[datetime, float], ...]
    at: datetime
    joules: float


class HourlyJoules:
    """Cumulative joules at the ends of the hours so far.

    Args:
        started: Wall-clock time at which the run began, in UTC.
    """

    def __init__(self, started: datetime) -> None:
        # Whole hours so far and the last look, assigned at once: another thread may read them.
        self._noted = _Noted((), started, 0.0)

    def note(self, now: datetime, joules: float) -> None:
        """Note the run's joules so far; between two looks, energy is spread evenly over time.

        Args:
            now: Wall-clock time in UTC; one that went back counts as the hour that it left.
            joules: Cumulative joules.
        """
        ends, then, before_j = self._noted
        if now - then > _LONGEST_STEP:
            ends = (*ends, (_hour_of(then), before_j))
            then = _hour_of(now)
        while _hour_of(then) + _HOUR <= now:
            boundary = _hour_of(then) + _HOUR
            at_j = before_j + (joules - before_j) * ((boundary - then) / (now - then))
            ends = (*ends, (_hour_of(then), at_j))
            then, before_j = boundary, at_j
        self._noted = _Noted(ends, max(now, then), joules)

    def spans(self, total_j: float) -> tuple[HourSpan, ...]:
        """Return where each hour begins and ends on the axis of cumulative joules.

        Args:
            total_j: Cumulative joules, up to which the last hour goes.
        """
        noted = self._noted
        spans: list[HourSpan] = []
        before_j = 0.0
        for start, noted_j in (*noted.ends, (_hour_of(noted.at), total_j)):
            end_j = min(noted_j, total_j)
            spans.append(HourSpan(start, before_j, end_j))
            before_j = end_j
        return tuple(spans)

    def hours(self, total_j: float, grams: Callable[[float], float]) -> tuple[HourEnergy, ...]:
        """Return each hour with its energy and what it was priced at.

        Args:
            total_j: Cumulative joules, up to which the last hour goes.
            grams: Gives the grams of CO2e that the first so many joules of the run stand for.
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
    """Return the beginning of an hour of UTC as `HourEnergy.start` has it."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:00Z")


def utc(text: str) -> datetime:
    """Return a moment written in ISO 8601; without a zone it is UTC.

    Raises:
        ValueError: It is no moment.
    """
    # Python 3.10 knows no `Z`, and no fraction of other than three or six digits.
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
