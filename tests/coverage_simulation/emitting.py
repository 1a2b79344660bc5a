"""Families of emissions: annual averages that stand for the hours of a run.

Truth: a series of hourly intensities around the mean of the run's year. Its deviations over an hour, a
day, a week and a month have the published rms of a zone (hourly data of Electricity Maps, 2021 to 2024),
and the change of the mean from one year to the next is a published one. The package's figure is that of
the year before.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from carbon_core.intensity import tables, zones
from carbon_core.record import replace
from carbon_core.records import Intensity
from carbon_core.testing import FakeMeter
from coverage_simulation import published
from coverage_simulation.coverage import family
from coverage_simulation.devices import Power, counter, package
from coverage_simulation.measuring import Figure, Measurement
from coverage_simulation.metered import COUNTER_S, cpu_power
from coverage_simulation.published import Spread

_HOUR_S = 3600.0
_LENGTHS = {"1 h": 1, "24 h": 24, "7 d": 168}
SPREADS = published.spreads()
# Countries that are one zone, but for islands.
OF_COUNTRIES = [one for one in SPREADS if one.zone in ("DE", "KR", "ZA", "CL-SEN")]

# The package reads a table anew for each look-up.
_zone, _country = functools.cache(zones.zone), functools.cache(tables.country)


@functools.cache
def _iso3(zone: str) -> str:
    return zones.iso3_of(zone) or ""


class Grid(NamedTuple):
    """What a run is supplied from, and what the package uses.

    Attributes:
        used: The package's intensity.
        mean_g: True mean of the run's year in g/kWh.
        spread: Deviations of its hours.
        year: Year of the run.
    """

    used: Intensity
    mean_g: float
    spread: Spread
    year: int


def hourly_g(rng: Random, grid: Grid, hours: int) -> list[float]:
    """Return the true intensity of each hour of a run, in g/kWh.

    Deviations of months, weeks, days and hours are independent; those of days average out over a week,
    and those of hours, a wave, over a day.
    """
    one = grid.spread
    month = rng.gauss(0.0, one.rms_30d)
    week = rng.gauss(0.0, _rest(one.rms_7d, one.rms_30d))
    day_sd, hour_sd = _rest(one.rms_24h, one.rms_7d), _rest(one.rms_1h, one.rms_24h)
    days = [rng.gauss(0.0, day_sd) for _ in range(8)]
    mean = sum(days[:7]) / 7
    days = [(day - mean) * math.sqrt(7 / 6) for day in days]
    phase = rng.uniform(0.0, 2 * math.pi)
    wave = [math.sqrt(2) * hour_sd * math.sin(phase + 2 * math.pi * i / 24) for i in range(24)]
    return [
        grid.mean_g * math.exp(month + week + days[i // 24] + wave[i % 24]) for i in range(hours)
    ]


def _rest(longer: float, shorter: float) -> float:
    return math.sqrt(max(0.0, longer**2 - shorter**2))


def of_zone(rng: Random) -> Grid:
    """A zone by its key, with the mean of the year before the run."""
    spread = rng.choice([one for one in SPREADS if one.year > 2021])
    used, now = _zone(spread.zone, spread.year - 1), _zone(spread.zone, spread.year)
    assert used is not None
    assert now is not None
    return Grid(used, now.g_per_kwh, spread, spread.year)


def of_country(rng: Random) -> Grid:
    """A country's average for a run in one of its zones, of the year before the run."""
    spread = rng.choice([one for one in SPREADS if one.year > 2021])
    used = _country(_iso3(spread.zone), spread.year - 1)
    now = _zone(spread.zone, spread.year)
    assert used is not None
    assert now is not None
    return Grid(used, now.g_per_kwh, spread, spread.year)


def of_newest_country(rng: Random) -> Grid:
    """A country's newest average, one or two years before the run, where it is one zone."""
    return of_own_country(rng, rng.choice(OF_COUNTRIES), 2026)


def of_own_country(rng: Random, spread: Spread, year: int) -> Grid:
    """The newest average of a zone's country; until the run, it changes as between two earlier years."""
    iso3 = _iso3(spread.zone)
    used = _country(iso3, None)
    assert used is not None
    years = year - (used.year or year)
    # The table has figures of 2015 to 2025, of some countries to 2024.
    later = rng.randint(2018, 2024)
    now, before = _country(iso3, later), _country(iso3, later - years)
    assert now is not None
    assert before is not None
    return Grid(used, used.g_per_kwh * now.g_per_kwh / before.g_per_kwh, spread, year)


def _emissions(grid_of: Callable[[Random], Grid]) -> Callable[[Random], list[Figure]]:
    def simulate(rng: Random) -> list[Figure]:
        grid = grid_of(rng)
        return [_of_length(rng, grid, name, hours) for name, hours in _LENGTHS.items()]

    return simulate


def _of_length(rng: Random, grid: Grid, name: str, hours: int) -> Figure:
    run = Measurement(intensity=replace(grid.used), year=grid.year)
    power: Power = cpu_power(rng, run.begin_s, hours * _HOUR_S)
    gain = published.normal_gain(rng, published.RAPL_XEON_SD)
    run.begin(FakeMeter(run.clock, counter(power, gain), package(wrap_j=None), COUNTER_S))
    run.go(hours * _HOUR_S, 60.0 * hours)
    report = run.end()
    grams = sum(
        power.between(run.begin_s + i * _HOUR_S, run.begin_s + (i + 1) * _HOUR_S) / 3.6e6 * g
        for i, g in enumerate(hourly_g(rng, grid, hours))
    )
    return Figure(f"emissions, {name}", report.emissions_kg, grams / 1000.0)


family("emissions, zone")(_emissions(of_zone))
family("emissions, country, run in one of its zones")(_emissions(of_country))
family("emissions, newest figure of a country")(_emissions(of_newest_country))
