"""Fits the CPU load model to measured package power and cross-validates it (leave one machine out).

    PYTHONPATH=core:. python tools/fit_load_model.py

Prints the three shares of the model, and the root mean square of ln(model / measured) on each machine
after a fit on the others. The data are those of tests/core/data: package power by RAPL at known loads
on eight machines. One has a power-saving governor: it is left out of every fit, and is
evaluated with the model's second exponent, which is not fitted.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from carbon_core.hardware.load_model import SAVING_EXPONENT

DATA = Path(__file__).parents[1] / "tests" / "core" / "data"
CLOUD_LOADS = (0, 10, 50, 100)
# With a power of less than zero at idle, the model would be invalid; above 1, convex.
_RATIOS = (0.01, 1.0)
_EXPONENTS = (0.2, 1.0)
_HALVINGS = 40


class Point(NamedTuple):
    """A measurement: load from 0 to 1, power of all sockets as a fraction of their TDP."""

    load: float
    power: float


class Shares(NamedTuple):
    """Parameters of the model: power / TDP = idle + dynamic x load^exponent."""

    idle: float
    dynamic: float
    exponent: float

    def power(self, load: float) -> float:
        """Return the power at a load, as a fraction of TDP."""
        return self.idle + self.dynamic * load**self.exponent


class Machine(NamedTuple):
    """The measurements on one machine."""

    name: str
    saves_power: bool
    points: Sequence[Point]


def read() -> list[Machine]:
    """Return the machines of both tables."""
    found: dict[str, list[Point]] = {}
    saving = set()
    for row in _rows("cpu_load_power"):
        if row["governor"] == "saving":
            saving.add(row["cpu"])
        found.setdefault(row["cpu"], []).append(
            Point(float(row["load_pct"]) / 100, float(row["package_w"]) / _rated_w(row))
        )
    for row in _rows("cloud_cpu_power"):
        found[row["cpu"]] = [
            Point(percent / 100, float(row[f"package_w_{percent}"]) / _rated_w(row))
            for percent in CLOUD_LOADS
        ]
    return [Machine(name, name in saving, points) for name, points in found.items()]


def cubic(load: float) -> float:
    """Return the power by CodeCarbon 3.3.2's curve, without a parameter."""
    return 0.1 + 0.9 * load**3


def errors(model: Callable[[float], float], machine: Machine) -> list[float]:
    """Return ln(model / measured) of each point."""
    return [math.log(model(point.load) / point.power) for point in machine.points]


def rms(values: Sequence[float]) -> float:
    """Return the root mean square."""
    return math.sqrt(sum(value**2 for value in values) / len(values))


def pooled(by_machine: Mapping[str, Sequence[float]]) -> float:
    """Return the root mean square with equal weight for each machine."""
    return rms([rms(values) for values in by_machine.values()])


def fit(machines: Sequence[Machine]) -> Shares:
    """Return the shares with the least squared error, with equal weight for each machine."""
    used = [machine for machine in machines if not machine.saves_power]

    def of_ratio(exponent: float) -> float:
        return _least(lambda ratio: _scaled(used, ratio, exponent)[0], *_RATIOS)

    exponent = _least(lambda power: _scaled(used, of_ratio(power), power)[0], *_EXPONENTS)
    ratio = of_ratio(exponent)
    scale = _scaled(used, ratio, exponent)[1]
    return Shares(ratio * scale, scale, exponent)


def leave_one_out(machines: Sequence[Machine]) -> dict[str, list[float]]:
    """Return the errors on each machine of the model fitted to the others."""
    found = {}
    for machine in machines:
        shares = fit([other for other in machines if other.name != machine.name])
        if machine.saves_power:
            shares = shares._replace(exponent=SAVING_EXPONENT)
        found[machine.name] = errors(shares.power, machine)
    return found


def main() -> None:
    """Print the fit and the table of docs/uncertainty.md."""
    machines = read()
    print(fit(machines), "\n")
    print("| machine left out | rms | CodeCarbon's curve |\n|---|--:|--:|")
    ours, theirs = leave_one_out(machines), {one.name: errors(cubic, one) for one in machines}
    for machine in machines:
        remark = " (saves power)" if machine.saves_power else ""
        figures = f"{rms(ours[machine.name]):.2f} | {rms(theirs[machine.name]):.2f}"
        print(f"| {machine.name}{remark} | {figures} |")
    print(f"| all, weighted equally | {pooled(ours):.2f} | {pooled(theirs):.2f} |")


def _scaled(machines: Sequence[Machine], ratio: float, exponent: float) -> tuple[float, float]:
    """Return the cost and the dynamic share of the best fit with a ratio of idle to dynamic share."""
    residuals = [errors(Shares(ratio, 1.0, exponent).power, machine) for machine in machines]
    shift = sum(sum(values) / len(values) for values in residuals) / len(residuals)
    cost = sum(rms([value - shift for value in values]) ** 2 for values in residuals)
    return cost, math.exp(-shift)


def _least(cost: Callable[[float], float], low: float, high: float) -> float:
    """Return where a cost with one minimum is least."""
    for _ in range(_HALVINGS):
        third = (high - low) / 3
        if cost(low + third) < cost(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _rated_w(row: Mapping[str, str]) -> float:
    return float(row["sockets"]) * float(row["tdp_w_per_socket"])


if __name__ == "__main__":
    sys.exit(main())
