"""Comparison of runs: what the grid intensity adds to the interval of emissions."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from core.outputs.conftest import report_of

from carbon_core import intensity_spread
from carbon_core.comparison import Comparison, compare
from carbon_core.intensity import tables
from carbon_core.intensity.location import Place, locate
from carbon_core.methods import Calibration
from carbon_core.outputs import receipt
from carbon_core.outputs.history import PastRun, read
from carbon_core.record import replace
from carbon_core.records import Intensity, IntensityShare
from carbon_core.uncertainty import Z_95

LENGTH_S = 7_200.0


def past(directory: Path, intensity: Intensity, run_id: str, kwh: float = 4.0) -> PastRun:
    """Return a run of two hours with one intensity, through its receipt."""
    of = report_of(run_id, kwh=kwh)
    joules = of.window.joules
    share = IntensityShare(intensity, joules, joules / 3.6e6 * intensity.g_per_kwh)
    receipt.write(replace(of, intensities=(share,)), directory / f"{run_id}.receipt.json")
    [found] = read([directory / f"{run_id}.receipt.json"])
    assert isinstance(found, PastRun)
    return found


def calibrated(directory: Path, gain: float, run_id: str) -> PastRun:
    """Return a run whose GPU is calibrated."""
    of = report_of(run_id)
    calibration = Calibration(gain, 0.02)
    devices = tuple(
        replace(one, method=one.method.calibrated(calibration)) if one.component == "gpu" else one
        for one in of.window.end.devices
    )
    end = replace(of.window.end, devices=devices)
    path = directory / f"{run_id}.receipt.json"
    receipt.write(replace(of, window=end - of.window.start), path)
    [found] = read([path])
    assert isinstance(found, PastRun)
    return found


def sigma_of(found: Comparison) -> float:
    return (math.log1p(found.high) - math.log1p(found.low)) / 2 / Z_95


def test_what_was_extrapolated_does_not_cancel_between_runs_with_the_same_meters(
    tmp_path: Path, germany: Intensity
) -> None:
    # `report_of` extrapolates a tenth of the energy, with a factor of two.
    a, b = (past(tmp_path, germany, run_id) for run_id in "ab")
    found = compare([a], [b], lambda run: run.energy_kwh.value)
    assert found.same_meters
    assert sigma_of(found) >= math.hypot(0.1, 0.1) * math.log(2)


def test_boards_of_one_model_differ(tmp_path: Path, germany: Intensity) -> None:
    a, b = (past(tmp_path, germany, run_id) for run_id in "ab")
    other = b._replace(devices=("gpu:GPU-2", *b.devices[1:]))
    found = compare([a], [other], lambda run: run.energy_kwh.value)
    assert found.same_meters
    same = sigma_of(compare([a], [b], lambda run: run.energy_kwh.value))
    assert math.sqrt(sigma_of(found) ** 2 - same**2) == pytest.approx(0.02 * math.sqrt(2.0))


@pytest.fixture
def germany() -> Intensity:
    found = tables.country("DEU")
    assert found is not None
    return found


def test_with_one_annual_average_the_hours_of_both_runs_count(
    tmp_path: Path, germany: Intensity
) -> None:
    a, b = past(tmp_path, germany, "a"), past(tmp_path, germany, "b", kwh=2.0)
    energy = compare([a], [b], lambda run: run.energy_kwh.value)
    emissions = compare([a], [b], lambda run: run.emissions_kg.value, with_grid=True)
    hours = intensity_spread.spread(germany, LENGTH_S, 2026).of_hours
    assert emissions.change == pytest.approx(energy.change) == pytest.approx(-0.5)
    expected = math.hypot(sigma_of(energy), hours, hours)
    assert sigma_of(emissions) == pytest.approx(expected)


def test_with_different_figures_their_errors_count_too(tmp_path: Path, germany: Intensity) -> None:
    poland = tables.country("POL")
    assert poland is not None
    a, b = past(tmp_path, germany, "a"), past(tmp_path, poland, "b")
    energy = compare([a], [b], lambda run: run.energy_kwh.value)
    emissions = compare([a], [b], lambda run: run.emissions_kg.value, with_grid=True)
    grids = [*intensity_spread.spread(germany, LENGTH_S, 2026)]
    grids += intensity_spread.spread(poland, LENGTH_S, 2026)
    assert sigma_of(emissions) == pytest.approx(math.hypot(sigma_of(energy), *grids))


def test_an_own_value_adds_nothing(tmp_path: Path) -> None:
    values = [locate(Place(own_g_per_kwh=value)).intensity for value in (50.0, 300.0)]
    a, b = (past(tmp_path, one, run_id) for one, run_id in zip(values, "ab"))
    energy = compare([a], [b], lambda run: run.energy_kwh.value)
    emissions = compare([a], [b], lambda run: run.emissions_kg.value, with_grid=True)
    assert sigma_of(emissions) == pytest.approx(sigma_of(energy))


def test_the_hours_of_many_runs_average_out(tmp_path: Path, germany: Intensity) -> None:
    a = [past(tmp_path, germany, f"a{i}") for i in range(4)]
    b = [past(tmp_path, germany, f"b{i}") for i in range(4)]
    one = compare(a[:1], b[:1], lambda run: run.emissions_kg.value, with_grid=True)
    four = compare(a, b, lambda run: run.emissions_kg.value, with_grid=True)
    assert sigma_of(four) == pytest.approx(sigma_of(one) / 2)


def test_the_errors_of_two_calibrations_do_not_cancel(tmp_path: Path) -> None:
    a, same, other = (
        calibrated(tmp_path, gain, run_id) for gain, run_id in [(1.0, "a"), (1.0, "b"), (1.1, "c")]
    )
    with_same = compare([a], [same], lambda run: run.energy_kwh.value)
    with_other = compare([a], [other], lambda run: run.energy_kwh.value)
    assert (with_same.same_meters, with_other.same_meters) == (True, False)
    assert sigma_of(with_other) > sigma_of(with_same)
