"""Energy by day, week, month or year and project; every period of the time span has a bar."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from itertools import islice, takewhile
from typing import Any

from carbon_callbacks.cli.html.run_data import rounded
from carbon_callbacks.cli.totals import Total

# The first unit is used with which the span has at most so many bars.
_MOST_BARS = 60
_UNITS = ("day", "week", "month", "year")


def energy_by_time(days: Mapping[tuple[str, str], Total], colour_of: Callable[[str], int]) -> Any:
    """Return the bars as JSON data: the unit, the first day of each period, kWh by project.

    Args:
        days: Totals by day (ISO date) and project; days that are no dates are left out.
        colour_of: Returns the index of the colour of a project.
    """
    energies: dict[tuple[date, int], float] = defaultdict(float)
    for (text, project), total in days.items():
        day = _date(text)
        if day is not None and total.is_known:
            energies[day, colour_of(project)] += total.energy_kwh.value
    if not energies:
        return None
    all_days = sorted({day for day, _ in energies})
    unit, periods = _periods(all_days[0], all_days[-1])
    shown = {period: i for i, period in enumerate(periods)}
    series: dict[int, list[float]] = {}
    for (day, index), kwh in sorted(energies.items()):
        at = shown.get(_start(day, unit))
        if at is not None:
            series.setdefault(index, [0.0] * len(periods))[at] += kwh
    return {
        "unit": unit,
        "starts": [period.isoformat() for period in periods],
        "series": [[i, [rounded(kwh) for kwh in series[i]]] for i in sorted(series)],
    }


def _periods(first: date, last: date) -> tuple[str, list[date]]:
    """Return the unit and the first days of the periods; the latest, where even years are too many."""
    found: list[date] = []
    for unit in _UNITS:
        begin = _start(first, unit)
        periods = takewhile(lambda day: day >= begin, _from(_start(last, unit), unit))  # noqa: B023
        found = list(islice(periods, _MOST_BARS + 1))
        if len(found) <= _MOST_BARS:
            return unit, found[::-1]
    return _UNITS[-1], found[:_MOST_BARS][::-1]


def _from(start: date, unit: str) -> Iterator[date]:
    """Yield the periods up to a period, the latest first."""
    try:
        while True:
            yield start
            start = _start(start - timedelta(days=1), unit)
    except OverflowError:  # before the year 1
        return


def _start(day: date, unit: str) -> date:
    """Return the first day of a period; weeks begin on Monday."""
    if unit == "week":
        return day - timedelta(days=min(day.weekday(), day.toordinal() - 1))
    if unit == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if unit == "year" else day


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:  # CSV files may contain invalid dates
        return None
