"""One call that fails at the start of a run does not cost a meter for all of it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from carbon_core import uncertainty
from carbon_core.errors import MeterError
from carbon_core.hardware.apple import open_apple
from carbon_core.hardware.base import WrappedMeter
from carbon_core.hardware.claims import Claimed, Claims
from carbon_core.hardware.driver_calls import RETRIES_S, again
from carbon_core.hardware.hwmon import open_hwmon
from carbon_core.hardware.nvml.search import open_nvml
from carbon_core.hardware.rapl import open_rapl
from carbon_core.ledger import Ledger
from carbon_core.methods import NVML_ENERGY, NVML_POWER_SAMPLED
from carbon_core.records import Snapshot
from carbon_core.sampler.meter_reader import MeterReader
from carbon_core.testing import FakeClock

UNKNOWN, NOT_SUPPORTED, NO_PERMISSION, NOT_LOADED = 999, 3, 4, 9


class NvmlError(Exception):
    """As pynvml's."""

    def __init__(self, value: int) -> None:
        super().__init__(f"error {value}")
        self.value = value


class Driver:
    """An NVIDIA driver with one GPU; each of its calls may fail some times before it answers."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.power_w = 200.0
        self.failures: dict[str, int] = {}
        self.error = UNKNOWN
        self.calls: list[str] = []

    def _call(self, name: str, answer: Callable[[], Any]) -> Callable[..., Any]:
        def call(*_: object) -> Any:
            self.calls.append(name)
            if self.failures.get(name, 0) > 0:
                self.failures[name] -= 1
                raise NvmlError(self.error)
            return answer()

        return call

    def _unsupported(self, *_: object) -> Any:
        raise NvmlError(NOT_SUPPORTED)

    def package(self) -> SimpleNamespace:
        """Return the package that calls this driver."""
        millijoules = lambda: int(self.power_w * self.clock.monotonic_ns() / 1e6)  # noqa: E731
        return SimpleNamespace(
            NVMLError=NvmlError,
            nvmlInit=self._call("init", lambda: None),
            nvmlShutdown=lambda: None,
            nvmlDeviceGetCount=self._call("count", lambda: 1),
            nvmlDeviceGetHandleByIndex=self._call("handle", lambda: "gpu"),
            nvmlDeviceGetUUID=lambda handle: "GPU-1",
            nvmlDeviceGetName=lambda handle: "NVIDIA A100-SXM4-40GB",
            nvmlDeviceGetCudaComputeCapability=lambda handle: (8, 0),
            nvmlDeviceGetTotalEnergyConsumption=self._call("energy", millijoules),
            nvmlDeviceGetPowerUsage=self._call("power", lambda: int(self.power_w * 1e3)),
            nvmlDeviceGetEnforcedPowerLimit=lambda handle: 400_000,
            nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=50.0),
            nvmlDeviceGetFieldValues=self._unsupported,
            nvmlDeviceGetMaxMigDeviceCount=self._unsupported,
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def driver(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver(clock)
    monkeypatch.setitem(sys.modules, "pynvml", driver.package())
    return driver


def methods(clock: FakeClock) -> list[str]:
    problems: list[str] = []
    meters = open_nvml(clock, 15.0, None, {}, problems.append, clock.advance)
    assert problems == []
    return [device.method.name for meter in meters for device in meter.devices]


@pytest.mark.parametrize("call", ["init", "count", "handle", "energy"])
@pytest.mark.parametrize("failures", [1, 2])
def test_a_gpu_whose_first_calls_fail_has_its_counter(
    driver: Driver, clock: FakeClock, call: str, failures: int
) -> None:
    driver.failures[call] = failures
    assert methods(clock) == ["nvml.energy"]


def test_a_counter_that_a_board_lacks_is_not_asked_for_again(
    driver: Driver, clock: FakeClock
) -> None:
    driver.error, driver.failures["energy"] = NOT_SUPPORTED, 9
    began_ns = clock.monotonic_ns()
    assert methods(clock) == ["nvml.power.sampled"]
    assert driver.calls.count("energy") == 1
    assert clock.monotonic_ns() == began_ns, "nothing has waited"


def test_a_driver_that_is_not_loaded_is_not_waited_for(driver: Driver, clock: FakeClock) -> None:
    driver.error, driver.failures["init"] = NOT_LOADED, 9
    with pytest.raises(MeterError, match="NVML cannot be used"):
        open_nvml(clock, 15.0, None, {}, lambda text: None, clock.advance)
    assert driver.calls == ["init"]


def test_a_counter_that_keeps_failing_is_named_and_its_power_polled(
    driver: Driver, clock: FakeClock
) -> None:
    driver.failures["energy"] = 1_000_000
    began_ns = clock.monotonic_ns()
    (meter,) = open_nvml(clock, 15.0, None, {}, lambda text: None, clock.advance)
    assert [device.method.name for device in meter.devices] == ["nvml.power.sampled"]
    (refusal,) = [one for one in meter.dropped if "energy counter" in one.reason]
    assert refusal.reason.endswith("error 999")
    assert (clock.monotonic_ns() - began_ns) / 1e9 == pytest.approx(sum(RETRIES_S))


def filled(path: Path, text: str) -> Callable[[float], object]:
    """Return a pause within which a file gets its contents."""
    return lambda seconds: path.write_text(text)


def test_a_sensor_without_a_value_at_first_is_read(tmp_path: Path, clock: FakeClock) -> None:
    place = tmp_path / "sys/class/hwmon/hwmon0"
    place.mkdir(parents=True)
    (place / "name").write_text("amdgpu\n")
    (place / "power1_cap").write_text("300000000\n")
    (place / "power1_average").write_text("")
    pause = filled(place / "power1_average", "250000000\n")
    meters, refusals = open_hwmon(tmp_path, clock, 15.0, ("gpu",), pause=pause)
    assert refusals == []
    (reading,) = [reading for meter in meters for reading in meter.read()]
    assert reading.value == 250.0


def test_a_package_whose_first_read_fails_is_counted(tmp_path: Path, clock: FakeClock) -> None:
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    (zone / "energy_uj").write_text("")
    pause = filled(zone / "energy_uj", "5000000\n")
    meter = open_rapl(tmp_path, clock, 15.0, "Intel Xeon", pause=pause)
    try:
        assert [reading.value for reading in meter.read()] == [5.0]
    finally:
        meter.close()


# --- calls that answer later in the run -------------------------------------------------------------


class Run:
    """A run on a fake clock with the GPUs of a driver."""

    def __init__(self, clock: FakeClock, claimed: bool = False) -> None:
        self.clock = clock
        self.faults: list[str] = []
        meters = open_nvml(clock, 15.0, None, {}, lambda text: None, clock.advance)
        self.opened_ns = clock.monotonic_ns()
        self.ledger = Ledger(self.opened_ns)
        self.reader = MeterReader(clock, self.ledger, self.faults.append)
        self.reader.take_over()
        self.reader.use([WrappedMeter(one, one.devices) for one in meters] if claimed else meters)

    def go_on(self, seconds: float) -> Snapshot:
        """Let time pass in steps of a tenth of a second, and return the totals."""
        for _ in range(round(seconds * 10)):
            self.reader.read(self.clock.monotonic_ns(), all_meters=False)
            self.clock.advance(0.1)
        self.reader.read(self.clock.monotonic_ns(), all_meters=True)
        return self.ledger.snapshot(self.clock.monotonic_ns())


@pytest.mark.parametrize("claimed", [False, True], ids=["plain", "wrapped"])
def test_a_counter_that_answers_later_is_used_from_then_on_and_adds_up(
    driver: Driver, clock: FakeClock, claimed: bool
) -> None:
    driver.failures["energy"] = 4  # three at the start
    run = Run(clock, claimed)
    start, early = Snapshot(run.opened_ns), run.go_on(0.5)
    middle = run.go_on(20.0)
    driver.power_w = 200.0
    end = run.go_on(40.0)
    assert run.faults == []
    assert [(one.id, one.method.name, one.kind) for one in end.devices] == [
        ("gpu:GPU-1", "nvml.power.sampled", "power"),
        ("gpu:GPU-1", "nvml.energy", "counter"),
    ]
    whole = end - start
    polled, counted = whole.by_device.values()
    assert whole.joules == pytest.approx(200.0 * whole.duration_s, rel=1e-6)
    assert 0.0 < polled.joules < counted.joules
    parts = [early - start, middle - early, end - middle]
    assert sum(part.joules for part in parts) == pytest.approx(whole.joules)
    assert min(part.joules for part in parts) > 0.0
    assert [one.method.name for one in parts[2].by_device] == ["nvml.energy"], "the old one is gone"
    assert (polled.missing_s, counted.missing_s) == (0.0, 0.0)
    assert run.reader.due_ns - clock.monotonic_ns() > 10e9, "it is not polled any more"


def test_a_counter_that_does_not_move_is_not_used(driver: Driver, clock: FakeClock) -> None:
    driver.failures["energy"] = 4
    run = Run(clock)
    sys.modules["pynvml"].nvmlDeviceGetTotalEnergyConsumption = lambda handle: 5_000_000
    end = run.go_on(30.0)
    assert [one.method.name for one in end.devices] == ["nvml.power.sampled"]
    assert end.joules == pytest.approx(200.0 * 30.0, rel=0.01)


def test_power_that_answers_later_replaces_the_utilisation(
    driver: Driver, clock: FakeClock
) -> None:
    driver.failures |= {"energy": 1_000_000, "power": 4}
    run = Run(clock)
    driver.power_w = 300.0
    end = run.go_on(30.0)
    assert [one.method.name for one in end.devices] == [
        "gpu.limit_utilization",
        "nvml.power.sampled",
    ]
    by_method = uncertainty.joules_by_method(end - Snapshot(run.opened_ns))
    assert by_method[NVML_POWER_SAMPLED] > 25 * 300.0
    assert run.faults == []


def test_a_counter_that_answers_after_a_better_power_call_is_used_too(
    driver: Driver, clock: FakeClock
) -> None:
    driver.failures |= {"energy": 7, "power": 4}
    run = Run(clock)
    end = run.go_on(120.0)
    assert [one.method.name for one in end.devices] == [
        "gpu.limit_utilization",
        "nvml.power.sampled",
        "nvml.energy",
    ]
    assert [one.note.count("used since it works") for one in end.devices] == [0, 1, 1]
    whole = end - Snapshot(run.opened_ns)
    by_method = uncertainty.joules_by_method(whole)
    assert sum(by_method.values()) == pytest.approx(whole.joules)
    assert by_method[NVML_ENERGY] > 60 * 200.0
    assert run.faults == []


class WithoutArguments:
    """A function of a package that is no C function."""

    def __call__(self, *given: object) -> int:
        raise TypeError("this type of handle is not supported")


def test_a_package_whose_functions_take_no_c_values_has_its_counter(
    driver: Driver, clock: FakeClock
) -> None:
    sys.modules["pynvml"]._nvmlGetFunctionPointer = lambda name: WithoutArguments()
    assert methods(clock) == ["nvml.energy"]


def test_a_promoted_gpu_has_one_idle_draw(driver: Driver, clock: FakeClock) -> None:
    driver.failures["energy"] = 4
    run = Run(clock)
    middle = run.go_on(20.0)
    whole = middle - Snapshot(run.opened_ns)
    assert whole.above_idle_j({"gpu:GPU-1": 50.0}) == pytest.approx(150.0 * whole.duration_s)


def test_a_call_that_never_answers_costs_one_call_a_minute(
    driver: Driver, clock: FakeClock
) -> None:
    driver.failures["energy"] = 1_000_000
    run = Run(clock)
    before = driver.calls.count("energy")
    run.go_on(600.0)
    assert driver.calls.count("energy") - before <= 16


@pytest.mark.parametrize("name", ["gpu:GPU-1", "gpu:GPU-2"])
def test_only_a_rank_that_counts_a_gpu_promotes_it(
    driver: Driver, clock: FakeClock, tmp_path: Path, name: str
) -> None:
    driver.failures["energy"] = 4
    (meter,) = open_nvml(clock, 15.0, None, {}, lambda text: None, clock.advance)
    claims = Claims(tmp_path / "claims", str(tmp_path), first=True)
    claims.take([name])
    claimed, found = Claimed(meter, claims), []
    for _ in range(8):
        clock.advance(1.0)
        found += claimed.promoted()
    claims.release()
    counted = [(one.device.id, one.device.method.name) for one in found[:1]]
    assert counted == ([(name, "nvml.energy")] if name == "gpu:GPU-1" else [])


def test_a_promotion_while_another_thread_took_over_is_made_later(
    driver: Driver, clock: FakeClock
) -> None:
    driver.failures["energy"] = 4
    (meter,) = open_nvml(clock, 15.0, None, {}, lambda text: None, clock.advance)
    lost = []
    while not lost:
        clock.advance(1.0)
        lost = meter.promoted()
    (reading,) = meter.read()
    assert (reading.value, meter.boards[0].device.kind) == (200.0, "power"), "still watts"
    clock.advance(1.0)
    (promotion,) = meter.promoted()
    promotion.use()
    (reading,) = meter.read()
    assert reading.value == pytest.approx(200.0 * clock.monotonic_ns() / 1e9)
    assert meter.promoted() == []


# --- what lasts, and what passes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (OSError(errno.EBUSY, "busy"), 3),
        (ValueError("it shows nothing"), 3),
        (PermissionError(errno.EACCES, "denied"), 1),
        (FileNotFoundError(errno.ENOENT, "gone"), 1),
        (AttributeError("an older package"), 1),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else str(one),
)
def test_only_what_may_pass_is_tried_again(error: Exception, calls: int) -> None:
    made: list[int] = []

    def fail() -> None:
        made.append(1)
        raise error

    with pytest.raises(type(error)):
        again(fail, pause=lambda seconds: None)
    assert len(made) == calls


def test_an_apple_chip_whose_first_call_fails_is_read(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([RuntimeError("not ready")])

    def energy() -> SimpleNamespace:
        for error in answers:
            raise error
        return SimpleNamespace(cpu_total_mj=7_000)

    monitor = SimpleNamespace(get_cumulative_energy=energy)
    package = SimpleNamespace(AppleEnergyMonitor=lambda: monitor)
    monkeypatch.setitem(sys.modules, "zeus_apple_silicon", package)
    assert [reading.value for reading in open_apple(clock, 15.0).read()] == [7.0]
