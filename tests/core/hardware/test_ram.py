"""Memory by modules, size and load, against that of measured servers."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_core.hardware.dimms import Dimms
from carbon_core.hardware.host import CpuTimes, Host
from carbon_core.hardware.ram import RamMeter, modelled_ram, ram_power_w
from carbon_core.ledger import Ledger
from carbon_core.methods import RAM_MODEL
from carbon_core.records import Energy
from carbon_core.testing import FakeClock

DATA = Path(__file__).parents[1] / "data" / "cloud_cpu_power.csv"
LOADS = (0, 10, 50, 100)


def errors(modules: Mapping[int, int]) -> list[float]:
    """Return ln(model / measured) of the servers' memory at four loads."""
    with DATA.open(encoding="utf-8", newline="") as file:
        return [
            math.log(
                ram_power_w(size_gb, modules.get(size_gb), percent / 100)
                / float(row[f"ram_w_{percent}"])
            )
            for row in csv.DictReader(file)
            for size_gb in [int(row["memory_gb"])]
            for percent in LOADS
        ]


@pytest.mark.parametrize("modules", [{}, {192: 12, 384: 12, 512: 16, 768: 24}])
def test_the_stated_uncertainty_covers_measured_servers(modules: Mapping[int, int]) -> None:
    found = math.sqrt(statistics.fmean(error**2 for error in errors(modules)))
    assert found <= RAM_MODEL.sigma_ln
    assert modules or found >= RAM_MODEL.sigma_ln / 1.2


@pytest.mark.parametrize(
    ("size_gb", "idle_w", "full_w"), [(16, 6.9, 27.5), (384, 62, 246), (1024, 129, 516)]
)
def test_power_by_size(size_gb: float, idle_w: float, full_w: float) -> None:
    watts = [ram_power_w(size_gb, load=load) for load in (0.0, 1.0)]
    assert watts == pytest.approx([idle_w, full_w], rel=0.01)


@pytest.mark.parametrize(("modules", "idle_w"), [(1, 4.8), (2, 7.8), (8, 25.8)])
def test_power_by_modules(modules: int, idle_w: float) -> None:
    assert ram_power_w(32.0, modules, 0.0) == pytest.approx(idle_w, rel=0.01)


@pytest.mark.parametrize("size_gb", [0.0, -1.0, math.nan, math.inf])
def test_an_invalid_size_is_no_power(size_gb: float) -> None:
    assert ram_power_w(size_gb) == ram_power_w(size_gb, 4, 1.0) == 0.0


@pytest.mark.parametrize(("load", "bound"), [(-1.0, 0.0), (2.0, 1.0), (math.nan, 0.0)])
def test_an_invalid_load_is_the_nearer_bound(load: float, bound: float) -> None:
    assert ram_power_w(64.0, 4, load) == ram_power_w(64.0, 4, bound)


class LoadedHost(Host):
    """A machine with a busy share of its processor time."""

    def __init__(self, load: float | None) -> None:
        super().__init__(Path("/nonexistent"))
        self._load = load
        self._s = 0.0

    def cpu_times(self) -> CpuTimes | None:
        self._s += 1.0
        return None if self._load is None else CpuTimes(self._load * self._s, self._s)

    def ram_total_gb(self) -> float | None:
        return 64.0


@pytest.mark.parametrize(("load", "power_load"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (None, 0.3)])
def test_power_follows_the_load_of_the_processors(load: float | None, power_load: float) -> None:
    clock, expected_w = FakeClock(), ram_power_w(64.0, None, power_load)
    meter = RamMeter(clock, 64.0, 15.0, host=LoadedHost(load))
    assert measured(meter, clock, 10.0).measured_j == pytest.approx(10 * expected_w)
    power_w = modelled_ram(LoadedHost(load))
    assert power_w() == pytest.approx(expected_w)


SIZES = st.floats(0.0, 1e6)


@given(SIZES, SIZES)
def test_more_memory_is_never_less_power(size_gb: float, more_gb: float) -> None:
    assert ram_power_w(size_gb) <= ram_power_w(size_gb + more_gb)


@given(st.floats(0.1, 1e6))
def test_there_is_no_step(size_gb: float) -> None:
    assert ram_power_w(size_gb) <= ram_power_w(size_gb * 1.01) <= 1.01 * ram_power_w(size_gb)


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
