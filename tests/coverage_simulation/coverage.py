"""Coverage and width ratio of each family and figure, and the judgement on them.

*Coverage*: the share of runs whose interval contains the truth.

*Width ratio*: stated ÷ necessary width. A run needs an interval that reaches |ln(reported / true)|; this
divided by the half-width that is stated, in ln, is its need. The 95 % quantile of the needs is the
factor by which all intervals of a family could be scaled for a coverage of 95 %, and the ratio is its
inverse. 1.0: as wide as necessary; 2.0: twice as wide; below 1: too narrow.

A figure *holds* where its coverage is compatible with at least 93 % and its ratio with at most 2.0,
given the number of runs (99 % of the binomial distribution). A coverage above 98 %, even of 100 %, is
accepted where the ratio is at most 2.0: the ratio measures the excess of width, with fewer runs.
Forecasts have other limits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from coverage_simulation.measuring import Figure

PAGE = Path(__file__).parents[2] / "docs" / "uncertainty.md"
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"
HEADER = (
    "| family | figure | runs | coverage | stated ÷ necessary width | half-width (median) | |",
    "|---|---|--:|--:|--:|--:|---|",
)
CONFIDENCE = 0.99
_QUANTILE = 0.95


class Limits(NamedTuple):
    """What is required of a family: least coverage (0 to 1), and greatest width ratio."""

    coverage: float = 0.93
    ratio: float = 2.0


METERED = Limits()
Simulate = Callable[[Random], "list[Figure]"]


class Family(NamedTuple):
    """A kind of run.

    Attributes:
        name: Short description, as the table shows it.
        simulate: Simulates one run with random devices, and returns its figures.
        cost: Runs for each run of most families: less than 1 where one takes long.
        limits: What is required of it.
    """

    name: str
    simulate: Simulate
    cost: float = 1.0
    limits: Limits = METERED


FAMILIES: dict[str, Family] = {}


def family(
    name: str, cost: float = 1.0, limits: Limits = METERED
) -> Callable[[Simulate], Simulate]:
    """Add a function to the table.

    Args:
        name: Name of the family.
        cost: As in `Family`.
        limits: As in `Family`.
    """

    def add(simulate: Simulate) -> Simulate:
        FAMILIES[name] = Family(name, simulate, cost, limits)
        return simulate

    return add


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
        limits: What is required.
    """

    family: str
    figure: str
    runs: int
    held: int
    needs: tuple[float, ...]
    bias: float
    half_width: float
    limits: Limits = METERED

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
        if self.held < binomial_least(self.runs, self.limits.coverage, CONFIDENCE):
            return "narrow"
        return "wide" if self.least_ratio > self.limits.ratio else ""


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
    return [_row(family, name, found) for name, found in figures.items()]


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


def _row(family: Family, figure: str, found: list[Figure]) -> Row:
    needs = sorted(abs(one.error) / max(1e-9, one.half_width) for one in found)
    return Row(
        family.name,
        figure,
        len(found),
        sum(one.holds for one in found),
        tuple(needs),
        sum(one.error for one in found) / len(found),
        quantile(sorted(one.half_width for one in found), 0.5),
        family.limits,
    )


def lines_of(rows: Sequence[Row]) -> list[str]:
    """Return the table as lines of Markdown; a family's name is in its first line only."""
    lines, before = list(HEADER), ""
    for row in rows:
        name = row.family if row.family != before else ""
        before = row.family
        lines.append(
            f"| {name} | {row.figure} | {row.runs} | {100 * row.coverage:.1f} % | {row.ratio:.2f} "
            f"| {_percent(row.half_width)} | {'**too ' + row.misses + '**' if row.misses else ''} |"
        )
    return lines


def figures_in(page: str) -> dict[tuple[str, str], str]:
    """Return the families and figures of a page's table, each with its last cell."""
    found, family = {}, ""
    for line in page.partition(BEGIN)[2].partition(END)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and line not in HEADER:
            family = cells[0] or family
            found[family, cells[1]] = cells[6]
    return found


def write(rows: Sequence[Row], seed: int) -> None:
    """Replace the table in docs/uncertainty.md."""
    runs = sum(_runs_of_families(rows))
    page = PAGE.read_text(encoding="utf-8")
    text = "\n".join(
        [
            BEGIN,
            "",
            f"{runs:,} runs of {len(_families(rows))} families, seed {seed}:",
            "",
            *lines_of(rows),
        ]
    )
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    PAGE.write_text(
        re.sub(pattern, lambda _: f"{text}\n\n{END}", page, flags=re.DOTALL), encoding="utf-8"
    )


def _families(rows: Iterable[Row]) -> dict[str, int]:
    return {row.family: row.runs for row in rows}


def _runs_of_families(rows: Iterable[Row]) -> Iterable[int]:
    return _families(rows).values()


def _percent(half_width: float) -> str:
    """Return a half-width in ln as text: ± percent, or a factor where it is large."""
    from math import exp

    return (
        f"± {100 * (exp(half_width) - 1):.0f} %"
        if half_width < 0.4
        else f"factor {exp(half_width):.1f}"
    )
