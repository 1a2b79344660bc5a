"""Fits the uncertainty of an annual grid intensity to hourly and annual data, and cross-validates it.

    PYTHONPATH=core:. python tools/fit_intensity_spread.py

Prints, for each length of a run, the line of sigma_ln over the low-carbon share; the share of runs that
its 95 % interval covers in a zone that it was not fitted to, with the interval's width divided by the
narrowest that would cover 95 %; and both for the constants of the package, with the figure of the same
year and of the year before. Then the same for the years between the figure and the run. The data are
tests/core/data/intensity_spread.csv (rms of ln(mean over a run / mean of its year) of 13 zones and four
years; the logarithms are taken as normal), and the annual figures of zones and countries.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from carbon_core import intensity_spread
from carbon_core.data import rows
from carbon_core.intensity import tables, zones
from carbon_core.uncertainty import Z_95

MEASURED = Path(__file__).parents[1] / "tests" / "core" / "data" / "intensity_spread.csv"
LENGTHS_S = {"1h": 3600.0, "24h": 86_400.0, "7d": 7 * 86_400.0, "30d": 30 * 86_400.0}
BANDS = (0.0, 0.25, 0.5, 0.75, 1.01)


class Spread(NamedTuple):
    """Errors of the annual mean of a zone in a year: mean and standard deviation of the logarithm."""

    zone: str
    share: float
    rms: float
    mean: float = 0.0


Sigma = Callable[[float], float]  # of the low-carbon share


class Line(NamedTuple):
    """A line of sigma_ln over the low-carbon share."""

    slope: float
    constant: float

    def sigma(self, share: float) -> float:
        """Return the standard deviation of an annual figure, with that of the figure itself."""
        spread = max(intensity_spread.LEAST, self.slope * share + self.constant)
        return math.hypot(zones.ANNUAL_SIGMA_LN, spread)


def read(length: str, path: Path = MEASURED) -> list[Spread]:
    """Return the spreads over runs of a length, one of `LENGTHS_S`."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Spread(row["zone_key"], float(row["low_carbon_share"]), float(row[f"rms_ln_{length}"]))
            for row in csv.DictReader(file)
        ]


def coverage(data: Sequence[Spread], sigmas: Sequence[float]) -> float:
    """Return the share of runs within the 95 % intervals."""
    return sum(map(_within, data, sigmas)) / len(data)


def width(data: Sequence[Spread], sigmas: Sequence[float]) -> float:
    """Return the intervals' width divided by the one that covers 95 %."""
    low, high = 0.05, 20.0
    for _ in range(40):
        middle = math.sqrt(low * high)
        wide = coverage(data, [sigma / middle for sigma in sigmas]) > 0.95
        low, high = (middle, high) if wide else (low, middle)
    return low


def fit(data: Sequence[Spread]) -> Line:
    """Return the least-squares line, scaled up until its intervals cover 95 % of these data."""
    mean_x = sum(one.share for one in data) / len(data)
    mean_y = sum(one.rms for one in data) / len(data)
    slope = sum((one.share - mean_x) * (one.rms - mean_y) for one in data)
    slope /= sum((one.share - mean_x) ** 2 for one in data)
    scale = 1.0
    while True:
        line = Line(scale * slope, scale * (mean_y - slope * mean_x))
        if coverage(data, [line.sigma(one.share) for one in data]) >= 0.95:
            return line
        scale += 0.01


def left_out(data: Sequence[Spread]) -> list[float]:
    """Return the sigma_ln of each row by the line fitted to the other zones."""
    lines = {
        zone: fit([one for one in data if one.zone != zone]) for zone in {one.zone for one in data}
    }
    return [lines[one.zone].sigma(one.share) for one in data]


def shipped(length_s: float, years: int = 0) -> Sigma:
    """Return the model of the package, for a run of a length some years after the figure."""

    def sigma(share: float) -> float:
        figure = zones.zone("FR", 2024)
        assert figure is not None
        figure = tables.replace(figure, low_carbon_share=share, year=2024)
        return math.hypot(*intensity_spread.spread(figure, length_s, 2024 + years))

    return sigma


def yearly_errors(years: int) -> Iterator[Spread]:
    """Yield ln(later / earlier) of the annual figures of each zone, some years apart."""
    shares = {
        row["zone_key"]: zones.low_carbon_share(row["zone_key"]) for row in rows("odbl/em_zone")
    }
    yield from _changes(_by_year("odbl/em_zone_yearly", "zone_key"), shares, years)


def yearly_errors_of_countries(years: int) -> Iterator[Spread]:
    """Yield ln(later / earlier) of the annual figures of each country, some years apart."""
    found = {code: tables.country(code) for code in tables.known_countries()}
    shares = {code: one.low_carbon_share for code, one in found.items() if one and one.year}
    yield from _changes(_by_year("grid_country_yearly", "iso3"), shares, years)


def next_year(length: str) -> list[Spread]:
    """Return the errors of the year before's figure for runs of a length."""
    with MEASURED.open(encoding="utf-8", newline="") as file:
        means = {
            (row["zone_key"], int(row["year"])): float(row["g_per_kwh"])
            for row in csv.DictReader(file)
        }
    return [
        one._replace(mean=math.log(means[key] / means[key[0], key[1] - 1]))
        for key, one in zip(means, read(length))
        if (key[0], key[1] - 1) in means
    ]


def main() -> None:
    """Print the lines and the tables."""
    print(
        "run   slope  constant   left-out coverage, width   shipped coverage, width (a year later)"
    )
    for length, length_s in LENGTHS_S.items():
        data, unseen, later = read(length), left_out(read(length)), next_year(length)
        line, own = fit(data), [shipped(length_s)(one.share) for one in data]
        after = [shipped(length_s, 1)(one.share) for one in later]
        print(
            f"{length:5}{line.slope:6.2f}{line.constant:9.3f}{coverage(data, unseen):16.3f}"
            f"{width(data, unseen):9.2f}{coverage(data, own):17.3f}{width(data, own):9.2f}"
            f"   ({coverage(later, after):.3f} {width(later, after):.2f})"
        )
        for zone in dict.fromkeys(one.zone for one in data):
            pairs = [(one, s) for one, s in zip(data, unseen) if one.zone == zone]
            of_zone, sigmas = [one for one, _ in pairs], [s for _, s in pairs]
            print(f"      {zone:14}{coverage(of_zone, sigmas):.2f}{width(of_zone, sigmas):7.2f}")
    for name, errors in (("zones", yearly_errors), ("countries", yearly_errors_of_countries)):
        for years in (1, 2, 3, 4):
            data = list(errors(years))
            sigmas = [shipped(365 * 86_400.0, years)(one.share) for one in data]
            bands = ", ".join(
                f"{coverage(*zip(*part)):.2f}"
                for low, high in pairwise(BANDS)
                if (part := [p for p in zip(data, sigmas) if low <= p[0].share < high])
            )
            covered, ratio = coverage(data, sigmas), width(data, sigmas)
            print(f"{name}, {years} years later: {covered:.3f} {ratio:.2f}   by share: {bands}")


def _within(one: Spread, sigma: float) -> float:
    reach, spread = Z_95 * sigma, max(one.rms, 1e-9)
    return _normal((reach - one.mean) / spread) - _normal((-reach - one.mean) / spread)


def _normal(x: float) -> float:
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


def _by_year(table: str, column: str) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for row in rows(table):
        if float(row["g_per_kwh"]) > 0:
            found.setdefault(row[column], {})[int(row["year"])] = float(row["g_per_kwh"])
    return found


def _changes(
    figures: Mapping[str, Mapping[int, float]], shares: Mapping[str, float | None], years: int
) -> Iterator[Spread]:
    for place, by_year in figures.items():
        share = shares.get(place)
        if share is None:
            continue
        for year, g_per_kwh in by_year.items():
            if year + years in by_year:
                yield Spread(place, share, 0.0, math.log(by_year[year + years] / g_per_kwh))


if __name__ == "__main__":
    sys.exit(main())
