"""Intervals, shares by grade, and the word "estimate"."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_core import methods, uncertainty
from carbon_core.decoding import decoded
from carbon_core.methods import Method
from carbon_core.record import asdict
from carbon_core.records import Device, Energy, Snapshot, Window
from carbon_core.run_facts import Phase
from carbon_core.testing import fake_device
from carbon_core.uncertainty import Sigmas

HOUR_S = 3_600.0
ALL = [value for value in vars(methods).values() if isinstance(value, Method)]
mixtures = st.dictionaries(st.sampled_from(ALL), st.floats(0.0, 1e9), max_size=5)


def window(*parts: tuple[Method, Energy]) -> Window:
    devices = tuple(Device(f"gpu:{i}", "gpu", "", method) for i, (method, _) in enumerate(parts))
    return Snapshot(10**9, devices, tuple(energy for _, energy in parts)) - Snapshot(0)


def of(by_method: Mapping[Method, float], duration_s: float = HOUR_S) -> Sigmas:
    whole = window(*((method, Energy(joules)) for method, joules in by_method.items()))
    return uncertainty.sigmas_of(whole.by_device, duration_s)


def test_joules_are_summed_by_method_and_what_was_extrapolated_stands_apart() -> None:
    found = uncertainty.joules_by_method(
        window(
            (methods.NVML_ENERGY, Energy(100.0, 20.0, 1.0)),
            (methods.NVML_ENERGY, Energy(50.0, 0.0, 0.0)),
            (methods.RAM_MODEL, Energy(30.0, 5.0, 1.0)),
        )
    )
    assert found == {
        methods.NVML_ENERGY: 150.0,
        methods.RAM_MODEL: 30.0,
        methods.EXTRAPOLATED: 25.0,
    }


def test_within_a_method_errors_do_not_average_out() -> None:
    one = window((methods.RAM_MODEL, Energy(8.0)))
    eight = window(*[(methods.RAM_MODEL, Energy(1.0))] * 8)
    for whole in (one, eight):
        found = uncertainty.sigmas_of(whole.by_device, HOUR_S).total
        assert found == pytest.approx(methods.RAM_MODEL.sigma_ln)


def test_between_methods_errors_are_independent() -> None:
    mixture = {methods.RAPL_DRAM: 300.0, methods.RAPL_AMD: 700.0}
    expected = math.hypot(0.3 * 0.20, 0.7 * 0.10)
    assert of(mixture).total == pytest.approx(expected)


def test_no_interval_is_narrower_than_five_per_cent() -> None:
    assert of({methods.RAPL_INTEL_SERVER: 1.0}).total == 0.05
    assert uncertainty.FLOOR_SIGMA_LN == 0.05


def test_the_ends_of_a_short_window_count() -> None:
    nvml = {methods.NVML_ENERGY: 1.0}
    assert of(nvml, 0.8).total == pytest.approx(math.hypot(0.05, 0.1))
    assert of(nvml, 1e-6).total == pytest.approx(math.hypot(0.05, 1.0))
    assert of(nvml, 0.0).total == pytest.approx(0.05)


def test_what_was_extrapolated_has_its_own_spread_on_top_of_the_gain() -> None:
    known = window((methods.NVML_ENERGY, Energy(900.0, 100.0, 10.0, 30.0)))
    sigmas = uncertainty.sigmas_of(known.by_device, HOUR_S)
    assert sigmas.systematic == pytest.approx(math.hypot(0.05, 0.03))
    older = window((methods.NVML_ENERGY, Energy(900.0, 100.0, 10.0)))
    sigmas = uncertainty.sigmas_of(older.by_device, HOUR_S)
    assert sigmas.systematic == pytest.approx(math.hypot(0.05, 0.1 * math.log(2)))


def test_a_window_that_confirms_what_came_before_is_as_uncertain_as_that() -> None:
    before = Energy(1_000.0, 500.0, 5.0, 100.0)
    (device,) = window((methods.NVML_ENERGY, before)).end.devices
    later = Snapshot(20 * 10**9, (device,), (Energy(2_000.0, 0.0, 10.0, 0.0),))
    spanning = later - Snapshot(10**10, (device,), (before,))
    sigmas = uncertainty.sigmas_of(spanning.by_device, spanning.duration_s)
    assert sigmas.systematic == pytest.approx(math.hypot(0.05, 100.0 / 500.0))


def test_a_device_without_a_reading_since_it_is_read_another_way_is_unread() -> None:
    old = Device("gpu:1", "gpu", "", methods.NVML_POWER)
    new = Device("gpu:1", "gpu", "", methods.NVML_ENERGY)
    start = Snapshot(10**9, (old,), (Energy(100.0),))
    end = Snapshot(2 * 10**9, (old, new), (Energy(100.0), Energy(0.0, 0.0, 1.0)))
    assert list((end - start).by_device) == [new]
    assert not uncertainty.is_known(end - start)
    assert not uncertainty.measures(end - start, "gpu")
    assert list((end - Snapshot(0)).by_device) == [old, new]


def test_no_energy_has_no_spread() -> None:
    assert of({}).total == 0.0
    assert of({methods.RAM_MODEL: 0.0}).total == 0.0
    assert uncertainty.interval(0.0, 0.0) == (0.0, 0.0, 0.0)


def test_a_95_per_cent_interval_is_a_factor_both_ways() -> None:
    value, low, high = uncertainty.interval(100.0, math.log(1.55))
    assert value == 100.0
    assert low == pytest.approx(100.0 / 1.55**1.959964)
    assert high == pytest.approx(100.0 * 1.55**1.959964)


def test_an_estimate_scales_as_a_whole() -> None:
    estimate = uncertainty.interval(2.0, 0.1)
    assert estimate.scaled(1_000.0) == tuple(1_000.0 * figure for figure in estimate)


def test_shares_by_grade_best_first() -> None:
    shares = uncertainty.shares_by_grade(
        {
            methods.RAM_MODEL: 10.0,
            methods.NVML_ENERGY: 60.0,
            methods.RAPL_INTEL_SERVER: 20.0,
            methods.RAPL_DRAM: 10.0,
        }
    )
    assert list(shares.items()) == [("A", 0.8), ("B", 0.1), ("E", 0.1)]


@pytest.mark.parametrize(("modelled_j", "estimate"), [(20.0, False), (20.1, True), (0.0, False)])
def test_more_than_a_fifth_from_models_is_an_estimate(modelled_j: float, estimate: bool) -> None:
    mixture = {methods.NVML_ENERGY: 100.0 - modelled_j, methods.CPU_LOAD_TDP: modelled_j}
    assert uncertainty.is_estimate(mixture) is estimate


@given(mixtures, st.floats(0.0, 1e6))
def test_any_mixture_has_a_sane_interval(by_method: dict[Method, float], duration_s: float) -> None:
    sigma_ln = of(by_method, duration_s).total
    assert 0.0 <= sigma_ln <= math.hypot(math.log(2), 1.0) + 1e-9
    total_j = sum(by_method.values())
    value, low, high = uncertainty.interval(total_j, sigma_ln)
    assert low <= value <= high
    if total_j > 0:
        assert sigma_ln >= 0.05
        assert sum(uncertainty.shares_by_grade(by_method).values()) == pytest.approx(1.0)


@pytest.mark.parametrize("method", ALL, ids=str)
def test_every_method_has_a_grade_and_a_spread(method: Method) -> None:
    assert method.grade in tuple("ABCDE")
    assert 0 < method.sigma_ln <= math.log(2)
    assert method.edge_s >= 0


def test_a_figure_that_rounding_leaves_below_zero_is_within_its_interval() -> None:
    found = uncertainty.interval(-1e-12, 0.5)
    assert found.low <= found.value <= found.high


def test_no_run_is_as_uncertain_as_to_be_unreadable() -> None:
    method = methods.RAM_MODEL.calibrated(methods.Calibration(1.0, 10.0))
    device = fake_device("ram", method=method)
    found = uncertainty.sigmas_of({device: Energy(50.0, 50.0)}, 1.0)
    assert decoded(Sigmas, found) == (10.0, 0.0)
    gpu = fake_device("gpu", method=methods.NVML_ENERGY.calibrated(methods.Calibration(1.0, 10.0)))
    short = uncertainty.sigmas_of({gpu: Energy(50.0)}, 0.1)
    phase = Phase("train", 0.1, 50.0, 1, short.total)
    assert decoded(Phase, asdict(phase)) == phase
