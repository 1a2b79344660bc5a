"""Memory by modules or size: five watts for each of two, less for each further one, no steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_core.hardware.dimms import Dimms
from carbon_core.hardware.ram import RamMeter, ram_power_w
from carbon_core.ledger import Ledger
from carbon_core.records import Energy
from carbon_core.testing import FakeClock


@pytest.mark.parametrize(
    ("size_gb", "power_w"),
    [(0, 0), (-1, 0), (16, 10), (64, 17.7), (256, 31.2), (1024, 55), (24 * 1024, 202)],
)
def test_power_by_size(size_gb: float, power_w: float) -> None:
    assert ram_power_w(size_gb) == pytest.approx(power_w, rel=0.01)


@pytest.mark.parametrize(("modules", "power_w"), [(1, 5.7), (2, 10), (8, 31.2), (16, 55), (32, 97)])
def test_power_by_modules_whatever_their_size(modules: int, power_w: float) -> None:
    assert ram_power_w(1.0, modules) == pytest.approx(power_w, rel=0.01)


SIZES = st.floats(0.0, 1e6)


@given(SIZES, SIZES)
def test_more_memory_is_never_less_power(size_gb: float, more_gb: float) -> None:
    assert ram_power_w(size_gb) <= ram_power_w(size_gb + more_gb)


@given(st.floats(0.1, 1e6))
def test_there_is_no_step(size_gb: float) -> None:
    assert ram_power_w(size_gb) <= ram_power_w(size_gb * 1.01) <= 1.01 * ram_power_w(size_gb)


@given(st.floats(64.0, 1e6))
def test_a_huge_host_draws_less_for_each_gib_than_the_old_rule_of_thumb(size_gb: float) -> None:
    assert ram_power_w(size_gb) < 0.375 * size_gb  # 3 W for 8 GiB


def test_a_meter_goes_by_the_modules_where_they_are_known() -> None:
    meter = RamMeter(FakeClock(), 1000.0, 15.0, dimms=Dimms(8, 1024.0, "EDAC"))
    [device] = meter.devices
    assert device.name == "1024 GiB of memory in 8 modules"
    assert measured(meter, meter._clock, 10.0).measured_j == pytest.approx(  # type: ignore[arg-type]
        10 * ram_power_w(1024, 8)
    )


def measured(meter: RamMeter, clock: FakeClock, seconds: float) -> Energy:
    ledger = Ledger(clock.monotonic_ns())
    ledger.add_devices(meter.devices)
    ledger.update(meter.read())
    clock.advance(seconds)
    ledger.update(meter.read())
    return ledger.snapshot(clock.monotonic_ns()).energies[0]


def test_energy_is_power_times_time_graded_as_a_guess() -> None:
    clock = FakeClock()
    meter = RamMeter(clock, 64.0, 15.0)
    clock.advance(100.0)
    joules = 90 * ram_power_w(64)
    assert measured(meter, clock, 90.0) == Energy(pytest.approx(joules), 0.0, 0.0)
    [device] = meter.devices
    assert (device.component, device.method.name, device.method.grade) == ("ram", "ram.model", "E")
    assert device.name == "64 GiB of memory"
    assert meter.period_s == 15.0


@pytest.mark.parametrize("forced_w", [0.0, 50.5])
def test_a_forced_power_is_that_power(forced_w: float) -> None:
    clock = FakeClock()
    meter = RamMeter(clock, 64.0, 15.0, forced_w)
    assert measured(meter, clock, 10.0).measured_j == pytest.approx(10 * forced_w)
    assert meter.devices[0].method.name == "forced"


def test_closing_may_be_repeated() -> None:
    meter = RamMeter(FakeClock(), 1.0, 15.0)
    meter.close()
    meter.close()
