"""The load model against measured package power, and against the curve it replaces."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from carbon_core.hardware.load_model import cpu_power_w

Model = Callable[[float, float], float]
Point = tuple[float, float, float]  # TDP in watts, load, measured package power in watts

MEASURED = Path(__file__).parents[1] / "data" / "cpu_load_power.csv"


def cubic(tdp_w: float, load: float) -> float:
    """CodeCarbon 3.3.2's curve."""
    return tdp_w * (0.1 + 0.9 * load**3)


def points() -> dict[str, list[Point]]:
    """Read the measurements above 5 % load, by processor."""
    found: dict[str, list[Point]] = {}
    with MEASURED.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            load = float(row["load_pct"]) / 100
            if load > 0.05:
                point = float(row["tdp_w"]), load, float(row["package_w"])
                found.setdefault(row["cpu"], []).append(point)
    return found


def log_rms(model: Model, measured: Sequence[Point]) -> float:
    """Return the root mean square of ln(model / measured)."""
    squares = [math.log(model(tdp_w, load) / watts) ** 2 for tdp_w, load, watts in measured]
    return math.sqrt(sum(squares) / len(squares))


def test_log_error_is_at_most_a_half_and_well_below_the_cubic_curve() -> None:
    measured = [point for of_cpu in points().values() for point in of_cpu]
    assert len(measured) == 76
    assert log_rms(cpu_power_w, measured) <= 0.5
    assert log_rms(cpu_power_w, measured) < 0.6 * log_rms(cubic, measured)


@pytest.mark.parametrize("cpu", points())
def test_error_is_below_the_cubic_curve_on_each_processor(cpu: str) -> None:
    measured = points()[cpu]
    assert log_rms(cpu_power_w, measured) <= 0.61
    assert log_rms(cpu_power_w, measured) < 0.9 * log_rms(cubic, measured)


def test_ends_of_the_curve() -> None:
    assert cpu_power_w(200.0, 0.0) == pytest.approx(20.0)
    assert cpu_power_w(200.0, 1.0) == pytest.approx(170.0)
    assert cpu_power_w(100.0, 0.5) == pytest.approx(50.19, abs=0.01)


def test_rises_with_load_and_scales_with_tdp() -> None:
    watts = [cpu_power_w(100.0, percent / 100) for percent in range(101)]
    assert watts == sorted(watts)
    assert cpu_power_w(300.0, 0.4) == pytest.approx(3 * cpu_power_w(100.0, 0.4))


@pytest.mark.parametrize(("load", "bound"), [(-0.1, 0.0), (1.2, 1.0)])
def test_load_out_of_range_takes_the_nearer_bound(load: float, bound: float) -> None:
    assert cpu_power_w(65.0, load) == cpu_power_w(65.0, bound)
