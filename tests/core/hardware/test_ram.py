"""Memory by size: five watts a module, without steps."""

from __future__ import annotations

import pytest

from carbon_core.hardware.ram import RamMeter, ram_power_w
from carbon_core.ledger import Ledger
from carbon_core.records import Energy
from carbon_core.testing import FakeClock


@pytest.mark.parametrize(
    ("size_gb", "power_w"), [(0, 0), (16, 10), (64, 20), (256, 40), (1024, 80), (-1, 0)]
)
def test_power_doubles_when_the_size_quadruples(size_gb: float, power_w: float) -> None:
    assert ram_power_w(size_gb) == pytest.approx(power_w)


def test_a_little_less_memory_is_a_little_less_power() -> None:
    assert ram_power_w(251.5) == pytest.approx(ram_power_w(256), rel=0.01)


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
    assert measured(meter, clock, 90.0) == Energy(pytest.approx(1_800.0), 0.0, 0.0)
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
