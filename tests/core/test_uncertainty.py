"""Intervals, shares by grade, and the word "estimate"."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_core import methods, uncertainty
from carbon_core.methods import Method
from carbon_core.records import Device, Energy, Snapshot, Window

HOUR_S = 3_600.0
ALL = [value for value in vars(methods).values() if isinstance(value, Method)]
mixtures = st.dictionaries(st.sampled_from(ALL), st.floats(0.0, 1e9), max_size=5)


def window(*parts: tuple[Method, Energy]) -> Window:
    devices = tuple(Device(f"gpu:{i}", "gpu", "", method) for i, (method, _) in enumerate(parts))
    return Snapshot(10**9, devices, tuple(energy for _, energy in parts)) - Snapshot(0)


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
    one = uncertainty.joules_by_method(window((methods.RAM_MODEL, Energy(8.0))))
    eight = uncertainty.joules_by_method(window(*[(methods.RAM_MODEL, Energy(1.0))] * 8))
    assert (
        uncertainty.sigmas_ln(one, HOUR_S).total
        == uncertainty.sigmas_ln(eight, HOUR_S).total
        == math.log(2)
    )


def test_between_methods_errors_are_independent() -> None:
    mixture = {methods.RAPL_DRAM: 300.0, methods.RAPL_AMD: 700.0}
    expected = math.hypot(0.3 * 0.15, 0.7 * 0.10)
    assert uncertainty.sigmas_ln(mixture, HOUR_S).total == pytest.approx(expected)


def test_no_interval_is_narrower_than_five_per_cent() -> None:
    assert uncertainty.sigmas_ln({methods.RAPL_INTEL_SERVER: 1.0}, HOUR_S).total == 0.05
    assert uncertainty.FLOOR_SIGMA_LN == 0.05


def test_the_ends_of_a_short_window_count() -> None:
    nvml = {methods.NVML_ENERGY: 1.0}
    assert uncertainty.sigmas_ln(nvml, 0.8).total == pytest.approx(math.hypot(0.05, 0.1))
    assert uncertainty.sigmas_ln(nvml, 1e-6).total == pytest.approx(math.hypot(0.05, 1.0))
    assert uncertainty.sigmas_ln(nvml, 0.0).total == pytest.approx(0.05)


def test_no_energy_has_no_spread() -> None:
    assert uncertainty.sigmas_ln({}, HOUR_S).total == 0.0
    assert uncertainty.sigmas_ln({methods.RAM_MODEL: 0.0}, HOUR_S).total == 0.0
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
    sigma_ln = uncertainty.sigmas_ln(by_method, duration_s).total
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
