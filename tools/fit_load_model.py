"""Fits the CPU load model to measured package power and cross-validates it (leave one processor out).

    PYTHONPATH=core:. python tools/fit_load_model.py

Prints the fraction of TDP that a full load adds, and the root mean square of ln(model / measured) of
several models, each fitted to all processors but one and evaluated on that one. The data are those of
tests/core/data/cpu_load_power.csv: RAPL package power at known loads, without the points up to 5 %
load, where two of the three processors report less than a watt.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from carbon_core.hardware.load_model import IDLE_SHARE

MEASURED = Path(__file__).parents[1] / "tests" / "core" / "data" / "cpu_load_power.csv"
LEAST_LOAD = 0.05


class Point(NamedTuple):
    """A measurement: load and clock as fractions of their maxima, power as a fraction of TDP."""

    load: float
    clock: float
    power: float


Data = Mapping[str, Sequence[Point]]
Shape = Callable[[Point, float], float]  # maps a point and the parameter to power / TDP


def linear(point: Point, dynamic: float) -> float:
    """The shipped model: linear in the load."""
    return IDLE_SHARE + dynamic * point.load


def bent(point: Point, dynamic: float) -> float:
    """Steeper at low load, where a few busy cores activate the caches and the fabric."""
    return IDLE_SHARE + dynamic * point.load**0.75


def clocked(point: Point, dynamic: float) -> float:
    """Load times clock; few machines report the clock, and reading it changes it."""
    return IDLE_SHARE + dynamic * point.load * point.clock


def cubic(point: Point, _: float) -> float:
    """CodeCarbon 3.3.2's curve, without a parameter."""
    return 0.1 + 0.9 * point.load**3


SHAPES: dict[str, Shape] = {
    "0.1 + 0.9 x load^3 (CodeCarbon)": cubic,
    "0.1 + k x load (shipped)": linear,
    "0.1 + k x load^0.75": bent,
    "0.1 + k x load x clock": clocked,
}


def read(path: Path = MEASURED) -> Data:
    """Return the measurements by processor."""
    with path.open(encoding="utf-8", newline="") as file:
        table = [row for row in csv.DictReader(file) if float(row["load_pct"]) > 100 * LEAST_LOAD]
    top_mhz = {row["cpu"]: 0.0 for row in table}
    for row in table:
        top_mhz[row["cpu"]] = max(top_mhz[row["cpu"]], float(row["freq_mhz"]))
    return {
        cpu: [_point(row, top_mhz[cpu]) for row in table if row["cpu"] == cpu] for cpu in top_mhz
    }


def errors(shape: Shape, dynamic: float, points: Sequence[Point]) -> list[float]:
    """Return ln(model / measured) of each point."""
    return [math.log(shape(point, dynamic) / point.power) for point in points]


def rms(values: Sequence[float]) -> float:
    """Return the root mean square."""
    return math.sqrt(sum(value**2 for value in values) / len(values))


def fit(shape: Shape, data: Data) -> float:
    """Return the parameter with the least squared error, with equal weight for each processor.

    The power at full load is limited to TDP, which is the most that processors sustain.
    """

    def cost(dynamic: float) -> float:
        return sum(rms(errors(shape, dynamic, points)) ** 2 for points in data.values())

    low, high = 0.0, 1.0 - IDLE_SHARE
    for _ in range(60):  # ternary search: the cost has one minimum
        third = (high - low) / 3
        if cost(low + third) < cost(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2


def leave_one_out(shape: Shape, data: Data) -> dict[str, list[float]]:
    """Return the errors on each processor of the model fitted to the others."""
    found = {}
    for cpu, points in data.items():
        others = {name: of_cpu for name, of_cpu in data.items() if name != cpu}
        found[cpu] = errors(shape, fit(shape, others), points)
    return found


def own_level(shape: Shape, data: Data) -> float:
    """Return the rms error without each processor's mean error: the errors of shape and repetition."""
    left = []
    for points in data.values():
        found = errors(shape, fit(shape, data), points)
        left += [error - sum(found) / len(found) for error in found]
    return rms(left)


def main() -> None:
    """Print the fit and the table."""
    data = read()
    print(f"dynamic part of TDP: {fit(linear, data):.3f}, idle part (given): {IDLE_SHARE}\n")
    print(f"{'rms of ln(model / measured)':34}{'all':>6}{'left out':>10}   by processor left out")
    for name, shape in SHAPES.items():
        seen = [e for points in data.values() for e in errors(shape, fit(shape, data), points)]
        unseen = leave_one_out(shape, data)
        by_cpu = ", ".join(f"{rms(values):.2f} {cpu[:14]}" for cpu, values in unseen.items())
        pooled = [error for values in unseen.values() for error in values]
        print(f"{name:34}{rms(seen):6.3f}{rms(pooled):10.3f}   {by_cpu}")
    print(f"\nrms without each processor's mean error: {own_level(linear, data):.3f}")


def _point(row: Mapping[str, str], top_mhz: float) -> Point:
    power = float(row["package_w"]) / float(row["tdp_w"])
    return Point(float(row["load_pct"]) / 100, float(row["freq_mhz"]) / top_mhz, power)


if __name__ == "__main__":
    sys.exit(main())
