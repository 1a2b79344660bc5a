"""The load model against measured package power, on machines it was not fitted on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from fit_load_model import Shares, cubic, errors, fit, leave_one_out, pooled, read, rms

from carbon_core import methods
from carbon_core.hardware.load_model import (
    DYNAMIC_SHARE,
    EXPONENT,
    IDLE_SHARE,
    cpu_power_w,
    saves_power,
)

MACHINES = read()
LEFT_OUT = leave_one_out(MACHINES)


def test_each_load_has_its_own_watts() -> None:
    """The rows were once shifted: an idle machine had no power, and a busy one that of 90 % load."""
    idle_w = {machine.name: min(machine.points).power for machine in MACHINES}
    assert all(0.05 < share < 0.3 for share in idle_w.values()), idle_w
    assert [len(machine.points) for machine in MACHINES] == [22, 22, 20, 4, 4, 4, 4, 4]


def test_the_constants_are_the_fit() -> None:
    assert fit(MACHINES) == pytest.approx(Shares(IDLE_SHARE, DYNAMIC_SHARE, EXPONENT), abs=0.005)


def test_error_on_a_machine_not_seen() -> None:
    assert pooled(LEFT_OUT) <= 0.27
    assert max(map(rms, LEFT_OUT.values())) <= 0.50


def test_error_on_each_machine_is_below_the_cubic_curve() -> None:
    for machine in MACHINES:
        assert rms(LEFT_OUT[machine.name]) < rms(errors(cubic, machine))


def test_the_stated_uncertainty_is_what_was_found() -> None:
    assert 1.0 <= methods.CPU_LOAD_TDP.sigma_ln / pooled(LEFT_OUT) <= 1.2


def test_a_power_saving_governor_has_a_wider_interval() -> None:
    [saving] = [rms(LEFT_OUT[machine.name]) for machine in MACHINES if machine.saves_power]
    assert 1.0 <= methods.CPU_LOAD_SAVING.sigma_ln / saving <= 1.2


def test_the_shipped_function_has_these_errors() -> None:
    """Of the machine that saves power, too: with the ordinary curve its error would be 0.7."""
    for machine in MACHINES:
        found = errors(
            lambda load, machine=machine: cpu_power_w(1.0, load, saves_power=machine.saves_power),
            machine,
        )
        assert rms(found) <= 0.50


@pytest.mark.parametrize("saving", [False, True])
def test_rises_with_load_and_scales_with_tdp(saving: bool) -> None:
    watts = [cpu_power_w(100.0, percent / 100, saves_power=saving) for percent in range(101)]
    assert watts == sorted(set(watts))
    assert (watts[0], watts[-1]) == pytest.approx((11.8, 96.8))
    assert cpu_power_w(300.0, 0.4) == pytest.approx(3 * cpu_power_w(100.0, 0.4))


def test_a_saving_governor_needs_less_at_middle_loads() -> None:
    assert cpu_power_w(100.0, 0.3, saves_power=True) < 0.75 * cpu_power_w(100.0, 0.3)


@pytest.mark.parametrize(
    ("load", "bound"), [(-0.1, 0.0), (1.2, 1.0), (math.nan, 0.0), (math.inf, 1.0)]
)
def test_invalid_load_takes_the_nearer_bound(load: float, bound: float) -> None:
    for saving in (False, True):
        assert cpu_power_w(65.0, load, saves_power=saving) == cpu_power_w(
            65.0, bound, saves_power=saving
        )


@pytest.mark.parametrize("tdp_w", [0.0, -65.0, math.nan, math.inf])
def test_invalid_rated_power_is_no_power(tdp_w: float) -> None:
    assert cpu_power_w(tdp_w, 0.5) == 0.0


@pytest.mark.parametrize(
    ("governor", "preference", "saves"),
    [
        ("powersave", None, True),
        ("conservative", None, True),
        ("ondemand", None, False),
        ("performance", None, False),
        ("powersave", "balance_performance", False),
        ("powersave", "default", False),
        ("powersave", "balance_power", True),
        ("powersave", "power", True),
        ("performance", "power", False),
        (None, None, False),
        ("", None, False),
    ],
)
@pytest.mark.parametrize("place", ["cpu0/cpufreq", "cpufreq/policy0"])
def test_the_governor_is_read(
    tmp_path: Path, place: str, governor: str | None, preference: str | None, saves: bool
) -> None:
    directory = tmp_path / "sys/devices/system/cpu" / place
    directory.mkdir(parents=True)
    if governor is not None:
        (directory / "scaling_governor").write_text(f"{governor}\n", encoding="ascii")
    if preference is not None:
        (directory / "energy_performance_preference").write_text(preference, encoding="ascii")
    assert saves_power(tmp_path) is saves
