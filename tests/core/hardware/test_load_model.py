"""The load model against measured package power, on processors it was not fitted on."""

from __future__ import annotations

import math

import pytest
from fit_load_model import Shape, cubic, errors, fit, leave_one_out, linear, read, rms

from carbon_core import methods
from carbon_core.hardware.load_model import DYNAMIC_SHARE, cpu_power_w


def left_out(shape: Shape) -> float:
    """Return the error over all points, each judged by a fit on the other processors."""
    return rms([error for of_cpu in leave_one_out(shape, read()).values() for error in of_cpu])


def test_the_data_are_the_ones_described() -> None:
    assert [len(points) for points in read().values()] == [20, 20, 36]
    assert min(point.load for points in read().values() for point in points) > 0.05


def test_the_constant_is_the_fit() -> None:
    assert fit(linear, read()) == pytest.approx(DYNAMIC_SHARE, abs=0.005)


def test_error_on_a_processor_not_seen_is_at_most_a_half() -> None:
    assert left_out(linear) <= 0.49
    assert left_out(cubic) >= 0.80


def test_error_on_each_processor_is_below_the_cubic_curve() -> None:
    theirs = leave_one_out(cubic, read())
    for cpu, ours in leave_one_out(linear, read()).items():
        assert rms(ours) <= 0.60
        assert rms(ours) < 0.9 * rms(theirs[cpu])


def test_the_stated_uncertainty_is_not_below_what_was_found() -> None:
    assert methods.CPU_LOAD_TDP.sigma_ln >= max(left_out(linear), 0.44)
    assert methods.CPU_LOAD_DEFAULT.sigma_ln > methods.CPU_LOAD_TDP.sigma_ln


def test_the_fit_judges_the_shipped_function() -> None:
    points = [point for of_cpu in read().values() for point in of_cpu]
    shipped = [math.log(cpu_power_w(1.0, point.load) / point.power) for point in points]
    assert errors(linear, DYNAMIC_SHARE, points) == pytest.approx(shipped)


def test_ends_of_the_line() -> None:
    assert cpu_power_w(200.0, 0.0) == pytest.approx(20.0)
    assert cpu_power_w(200.0, 1.0) == pytest.approx(184.0)
    assert cpu_power_w(100.0, 0.5) == pytest.approx(51.0)


def test_rises_with_load_and_scales_with_tdp() -> None:
    watts = [cpu_power_w(100.0, percent / 100) for percent in range(101)]
    assert watts == sorted(set(watts))
    assert cpu_power_w(300.0, 0.4) == pytest.approx(3 * cpu_power_w(100.0, 0.4))


@pytest.mark.parametrize(("load", "bound"), [(-0.1, 0.0), (1.2, 1.0)])
def test_load_out_of_range_takes_the_nearer_bound(load: float, bound: float) -> None:
    assert cpu_power_w(65.0, load) == cpu_power_w(65.0, bound)
