"""Coverage and width ratio of each family and figure, and the judgement on them.

*Coverage*: the share of runs whose interval contains the truth.

*Width ratio*: stated ÷ necessary width. Each run needs its interval to reach |ln(reported / true)|; divided
by the half-width that is stated (in ln) this is the run's need. The 95 % quantile of the needs is the
factor by which all intervals of the family could be scaled for a coverage of 95 %; the ratio is 1 divided
by it. 1.0: as wide as necessary; 2.0: twice as wide; below 1: too narrow.

A figure *holds* where its coverage is compatible with at least 93 % and its ratio with at most 2.0, given
the number of runs (99 % of the binomial distribution). A coverage above 98 %, even 100 %, is accepted where the
ratio is at most 2.0: the ratio measures the excess of width, and does so with fewer runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

from coverage_simulation.figures import Figure
from coverage_simulation.registry import FAMILIES, Family

LEAST_COVERAGE = 0.93
GREATEST_RATIO = 2.0
CONFIDENCE = 0.99
_QUANTILE = 0.95


class Row(NamedTuple):
    """The result of one figure of a family.

    Attributes:
        family: Name of the family.
        figure: Name of the figure.
        runs: Number of runs.
        held: Of those, how many intervals contained the truth.
        needs: |ln(reported / true)| divided by the stated half-width, of each run; ascending.
        bias: Mean of ln(reported / true).
        half_width: Median of the stated half-widths, in ln.
    """

    family: str
    figure: str
    runs: int
    held: int
    needs: tuple[float, ...]
    bias: float
    half_width: float

    @property
    def coverage(self) -> float:
        """Share of runs whose interval contained the truth."""
        return self.held / self.runs

    @property
    def ratio(self) -> float:
        """Stated ÷ necessary width."""
        return 1.0 / max(1e-3, quantile(self.needs, _QUANTILE))

    @property
    def least_ratio(self) -> float:
        """The lowest ratio that is compatible with the runs."""
        most = binomial_most(self.runs, _QUANTILE, CONFIDENCE)
        return 1.0 / max(1e-3, self.needs[min(self.runs - 1, most)])

    @property
    def misses(self) -> str:
        """``narrow`` or ``wide`` where the figure does not hold; else an empty string."""
        if self.held < binomial_least(self.runs, LEAST_COVERAGE, CONFIDENCE):
            return "narrow"
        return "wide" if self.least_ratio > GREATEST_RATIO else ""


def simulate(family: Family, runs: int, seed: int) -> list[Row]:
    """Simulate a family's runs; each has a seed of its own.

    Raises:
        ValueError: A figure is not finite, or outside of its own interval.
    """
    figures: dict[str, list[Figure]] = {}
    for i in range(runs):
        for figure in family.simulate(Random(f"{seed} {family.name} {i}")):
            figure.check()
            figures.setdefault(figure.name, []).append(figure)
    return [_row(family.name, name, found) for name, found in figures.items()]


def simulate_all(runs: int, seed: int, names: Iterable[str] = ()) -> list[Row]:
    """Simulate all families, or those that are named.

    Args:
        runs: Runs of each family; families that cost more have fewer.
        seed: Of the random numbers.
        names: Names of families; all when empty.
    """
    chosen = [FAMILIES[name] for name in names] or list(FAMILIES.values())
    return [row for one in chosen for row in simulate(one, max(1, round(runs * one.cost)), seed)]


def quantile(ascending: Sequence[float], share: float) -> float:
    """Return the quantile of a sample, interpolated."""
    at = share * (len(ascending) - 1)
    low = int(at)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (ascending[high] - ascending[low]) * (at - low)


def binomial_least(count: int, probability: float, confidence: float) -> int:
    """Return the least number of successes that is not too low for a probability.

    Args:
        count: Number of trials.
        probability: Of a success.
        confidence: Probability that as many or more occur.
    """
    below, k = 0.0, 0
    while k < count and below + _binomial(count, k, probability) <= 1.0 - confidence:
        below += _binomial(count, k, probability)
        k += 1
    return k


def binomial_most(count: int, probability: float, confidence: float) -> int:
    """Return the greatest number of successes that is not too high for a probability."""
    return count - binomial_least(count, 1.0 - probability, confidence)


def _binomial(count: int, k: int, probability: float) -> float:
    log = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
    return math.exp(log + k * math.log(probability) + (count - k) * math.log(1.0 - probability))


def _row(family: str, figure: str, found: list[Figure]) -> Row:
    needs = sorted(abs(one.error) / max(1e-9, one.half_width) for one in found)
    return Row(
        family,
        figure,
        len(found),
        sum(one.holds for one in found),
        tuple(needs),
        sum(one.error for one in found) / len(found),
        quantile(sorted(one.half_width for one in found), 0.5),
    )
