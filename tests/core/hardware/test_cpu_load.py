"""The load model as a meter: it misses nothing between two readings."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from carbon_core.hardware.cpu_identity import CpuIdentity, identify
from carbon_core.hardware.cpu_load import CpuLoadMeter
from carbon_core.hardware.host import TYPICAL_LOAD, CpuTimes, Host
from carbon_core.hardware.load_gauge import LoadGauge
from carbon_core.hardware.load_model import cpu_power_w
from carbon_core.methods import CPU_LOAD_DEFAULT
from carbon_core.testing import FakeClock

UNKNOWN = identify("", logical_cpus=8)
KNOWN = identify(
    "model name\t: Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz\nphysical id\t: 0\n", logical_cpus=40
)


class BusyHost(Host):
    """A machine of eight processors whose busy time is set by hand."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(Path("/nonexistent"))
        self._clock = clock
        self._opened_ns = clock.monotonic_ns()
        self.busy_s = 1e6

    def cpu_times(self) -> CpuTimes:
        return CpuTimes(self.busy_s, 8 * (self._clock.monotonic_ns() - self._opened_ns) / 1e9)

    def work(self, seconds: float, load: float) -> None:
        """Let time pass at a load of 0 to 1."""
        self._clock.advance(seconds)
        self.busy_s += 8 * load * seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def host(clock: FakeClock) -> BusyHost:
    return BusyHost(clock)


def joules(meter: CpuLoadMeter) -> float:
    [reading] = meter.read()
    assert reading.value is not None
    return reading.value


@pytest.mark.parametrize("load", [0.0, 0.25, 1.0])
def test_energy_is_the_models_power_times_time(
    host: BusyHost, clock: FakeClock, load: float
) -> None:
    meter = CpuLoadMeter(host, clock, KNOWN)
    for seconds in (1.0, 1.0, 3.0):
        host.work(seconds, load)
        meter.read()
    assert joules(meter) == pytest.approx(5 * cpu_power_w(KNOWN.tdp_w, load))


def test_the_mean_load_since_the_last_reading_counts(host: BusyHost, clock: FakeClock) -> None:
    meter = CpuLoadMeter(host, clock, KNOWN)
    host.work(0.5, 1.0)
    host.work(0.5, 0.0)
    assert joules(meter) == pytest.approx(cpu_power_w(KNOWN.tdp_w, 0.5))


def test_readings_within_a_second_have_its_mean_load_and_never_decrease(
    host: BusyHost, clock: FakeClock
) -> None:
    """Processor time advances in steps: a short span is idle or full, whatever the mean load is."""
    meter = CpuLoadMeter(host, clock, KNOWN)
    found = []
    for i in range(100):
        host.work(0.01, float(i % 2))
        found.append(joules(meter))
    assert found == sorted(found)
    assert found[-1] == pytest.approx(cpu_power_w(KNOWN.tdp_w, 0.5), rel=0.001)


def test_a_short_span_with_too_much_busy_time_is_no_step_back(
    host: BusyHost, clock: FakeClock
) -> None:
    meter = CpuLoadMeter(host, clock, KNOWN)
    host.work(0.1, 1.0)
    found = [joules(meter)]
    host.busy_s -= 0.4
    host.work(0.01, 0.0)
    found.append(joules(meter))
    host.work(2.0, 0.5)
    found.append(joules(meter))
    assert found == sorted(found)


def test_a_power_saving_governor_has_its_own_curve(
    host: BusyHost, clock: FakeClock, tmp_path: Path
) -> None:
    (tmp_path / "sys/devices/system/cpu/cpu0/cpufreq").mkdir(parents=True)
    governor = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    governor.write_text("powersave\n", encoding="ascii")
    host.root = tmp_path
    meter = CpuLoadMeter(host, clock, KNOWN)
    host.work(1.0, 0.3)
    assert joules(meter) == pytest.approx(cpu_power_w(KNOWN.tdp_w, 0.3, saves_power=True))


def test_a_reading_is_stamped_with_its_own_time(host: BusyHost, clock: FakeClock) -> None:
    meter = CpuLoadMeter(host, clock, KNOWN)
    clock.advance(2.0)
    [reading] = meter.read()
    assert (reading.device_id, reading.t_ns) == ("cpu:all", clock.monotonic_ns())
    assert meter.period_s == 1.0


def test_a_given_power_is_the_rated_power_and_the_load_counts(
    host: BusyHost, clock: FakeClock
) -> None:
    meter = CpuLoadMeter(host, clock, UNKNOWN, forced_tdp_w=42.0)
    host.work(10.0, 1.0)
    busy_j = joules(meter)
    assert busy_j == pytest.approx(10 * cpu_power_w(42.0, 1.0))
    host.work(10.0, 0.0)
    assert joules(meter) - busy_j == pytest.approx(10 * cpu_power_w(42.0, 0.0))
    method = meter.devices[0].method
    assert (method.name, method.grade) == ("cpu.load_tdp", "D")


@pytest.mark.parametrize(
    ("identity", "method", "grade"),
    [(KNOWN, "cpu.load_tdp", "D"), (UNKNOWN, "cpu.load_default", "E")],
    ids=["known", "unknown"],
)
def test_the_grade_says_whether_the_rated_power_is_known(
    host: BusyHost, clock: FakeClock, identity: CpuIdentity, method: str, grade: str
) -> None:
    [device] = CpuLoadMeter(host, clock, identity).devices
    assert (device.method.name, device.method.grade) == (method, grade)


def test_processor_times_that_step_back_are_no_load_and_no_negative_energy(
    host: BusyHost, clock: FakeClock
) -> None:
    meter = CpuLoadMeter(host, clock, KNOWN)
    clock.advance(1.0)
    host.busy_s -= 100.0
    assert joules(meter) == pytest.approx(cpu_power_w(KNOWN.tdp_w, 0.0))


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_processor_times_that_are_no_numbers_give_finite_energy(
    host: BusyHost, clock: FakeClock, odd: float
) -> None:
    meter = CpuLoadMeter(host, clock, KNOWN)
    host.work(1.0, 0.5)
    host.busy_s = odd
    assert math.isfinite(joules(meter))
    host.work(1.0, 0.5)
    assert math.isfinite(joules(meter))


@pytest.mark.parametrize(
    ("earlier", "later", "load"),
    [
        (CpuTimes(0, 0), CpuTimes(1, 4), 0.25),
        (CpuTimes(1, 4), CpuTimes(1, 4), 0.0),
        (CpuTimes(1, 4), CpuTimes(0, 8), 0.0),
        (CpuTimes(0, 4), CpuTimes(9, 8), 1.0),
        (CpuTimes(0, 8), CpuTimes(1, 4), 0.0),
    ],
)
def test_load_is_between_none_and_all(earlier: CpuTimes, later: CpuTimes, load: float) -> None:
    assert later.load_since(earlier) == load


def test_a_sandbox_that_shows_zeros_is_not_taken_for_processors_at_rest(
    clock: FakeClock, tmp_path: Path
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n")
    host = Host(tmp_path)
    meter, gauge = CpuLoadMeter(host, clock, KNOWN), LoadGauge(host, None)
    clock.advance(10.0)
    assert joules(meter) == pytest.approx(10 * cpu_power_w(KNOWN.tdp_w, TYPICAL_LOAD))
    (device,) = meter.devices
    assert device.method is CPU_LOAD_DEFAULT
    assert "does not report the processor load" in device.note
    gauge.sample_host()
    assert gauge.means().cpu_percent is None


def test_the_real_machine_has_processor_times_that_only_grow() -> None:
    host = Host()
    first = host.cpu_times()
    assert 0 < first.busy_s < first.total_s
    assert host.cpu_times().total_s >= first.total_s
