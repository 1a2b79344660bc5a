"""Fits the power of whole servers at the wall, and cross-validates it (leave one architecture out).

    PYTHONPATH=core:. python tools/fit_node_model.py PATH_OF_TABLE

The table is a CSV file with a row for each server: ``year``, ``architecture``, ``chips``, ``ghz``,
``tdp_w_all``, ``memory_gb``, ``dimms``, and watts at the wall as ``wall_w_0`` to ``wall_w_100`` in steps
of 10 % load. The coefficients in carbon_core/node_energy.py are from the published results of
SPECpower_ssj2008 (spec.org) for 2014 to 2022; the rows are not part of this project. Prints, for each
set of features, the coefficients and the rms of ln(model / measured) on architectures left out.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from carbon_core.node_energy import LOW_LOAD

FIRST_YEAR = 2014
FEATURE_SETS = (
    ("tdp_w_all", "memory_gb", "chips", "dimms", "ghz"),
    ("tdp_w_all", "memory_gb", "chips", "dimms"),
    ("tdp_w_all", "memory_gb", "chips", "ghz"),
    ("tdp_w_all", "memory_gb", "chips"),
)
LOADS = range(0, 101, 10)
# Idle power differs most between servers; a training is seldom there.
_IDLE_WEIGHT = 0.1


class Point(NamedTuple):
    """A server at a load: logarithms of features and terms of the load, and that of the power."""

    architecture: str
    load: float
    terms: tuple[float, ...]
    ln_w: float


def read(path: Path, features: Sequence[str]) -> list[Point]:
    """Return the points of the table for some features."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["year"]) >= FIRST_YEAR]
    return [
        Point(
            row["architecture"],
            percent / 100,
            (
                1.0,
                *(math.log(float(row[name])) for name in features),
                percent / 100,
                min(percent / 100, LOW_LOAD),
            ),
            math.log(float(row[f"wall_w_{percent}"])),
        )
        for row in rows
        if row["architecture"]
        for percent in LOADS
    ]


def fit(points: Sequence[Point]) -> list[float]:
    """Return the coefficients with the least weighted squared error."""
    count = len(points[0].terms)
    left = [[0.0] * count for _ in range(count)]
    right = [0.0] * count
    for point in points:
        weight = 1.0 if point.load > 0 else _IDLE_WEIGHT
        for i, one in enumerate(point.terms):
            right[i] += weight * one * point.ln_w
            for j, other in enumerate(point.terms):
                left[i][j] += weight * one * other
    return _solved(left, right)


def errors(points: Sequence[Point], coefficients: Sequence[float]) -> list[tuple[float, float]]:
    """Return the load and ln(model / measured) of each point."""
    return [
        (
            point.load,
            sum(a * b for a, b in zip(coefficients, point.terms, strict=True)) - point.ln_w,
        )
        for point in points
    ]


def leave_one_out(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Return load and error of each point by a fit to the other architectures."""
    found = []
    for name in sorted({point.architecture for point in points}):
        others = [point for point in points if point.architecture != name]
        found += errors([point for point in points if point.architecture == name], fit(others))
    return found


def rms(values: Sequence[float]) -> float:
    """Return the root mean square."""
    return math.sqrt(sum(value**2 for value in values) / len(values))


def main() -> int:
    """Print coefficients and errors of each set of features."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    for features in FEATURE_SETS:
        points = read(Path(sys.argv[1]), features)
        names = ("1", *features, "load", f"min(load, {LOW_LOAD})")
        coefficients = dict(zip(names, (round(one, 3) for one in fit(points)), strict=True))
        left_out = leave_one_out(points)
        busy = rms([error for load, error in left_out if load > 0])
        idle = rms([error for load, error in left_out if load == 0])
        print(coefficients, f"left out: {busy:.3f}, idle {idle:.3f}; {len(points)} points")
    return 0


def _solved(left: list[list[float]], right: list[float]) -> list[float]:
    """Return the solution of linear equations, by elimination with pivots."""
    rows = [[*row, value] for row, value in zip(left, right, strict=True)]
    for i in range(len(rows)):
        pivot = max(range(i, len(rows)), key=lambda j: abs(rows[j][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for j, row in enumerate(rows):
            if j != i:
                factor = row[i] / rows[i][i]
                rows[j] = [a - factor * b for a, b in zip(row, rows[i], strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


if __name__ == "__main__":
    sys.exit(main())
