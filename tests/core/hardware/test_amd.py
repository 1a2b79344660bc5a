"""AMD boards: a stand-in for amdsmi with its names and the shapes of its answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carbon_core.errors import MeterError
from carbon_core.hardware.amd.search import open_amd
from carbon_core.hardware.discover import DetectionOptions, discover
from carbon_core.hardware.gpu_selection import select_amd
from carbon_core.hardware.host import Host
from carbon_core.ledger import Ledger
from carbon_core.testing import FakeClock

# amdsmi 7.0.2: the figures of each call are dictionaries, absent ones are "N/A".
PACKAGE = """
boards = []
opened = 0
broken = False

class AmdSmiException(Exception):
    pass

def amdsmi_init():
    global opened
    if broken:
        raise AmdSmiException("Error code:\\n\\t34 | driver not loaded")
    opened += 1

def amdsmi_shut_down():
    global opened
    opened -= 1

def amdsmi_get_processor_handles():
    return list(range(len(boards)))

def told(handle, what):
    value = boards[handle].get(what)
    if value is None:
        raise AmdSmiException("AMDSMI_STATUS_NOT_SUPPORTED")
    return value() if callable(value) else value

def amdsmi_get_gpu_asic_info(handle):
    return {"market_name": boards[handle]["name"], "asic_serial": boards[handle]["serial"]}

def amdsmi_get_energy_count(handle):
    joules = told(handle, "joules")
    return {"energy_accumulator": int(joules / 15.3e-6), "counter_resolution": 15.3, "timestamp": 0}

def amdsmi_get_power_info(handle):
    watts = told(handle, "watts")
    return {"current_socket_power": "N/A", "average_socket_power": watts, "socket_power": 0xFFFF}

def amdsmi_get_gpu_activity(handle):
    return {"gfx_activity": boards[handle].get("load", "N/A")}
"""


class Rocm:
    """A machine with AMD boards whose clock is a fake."""

    def __init__(self, smi) -> None:
        self.smi = smi
        self.clock = FakeClock()
        self.problems: list[str] = []

    def add(self, power_w: float, *, factor: float = 1.0, name: str = "MI300X", **more) -> None:
        """Add a board whose counter is right by a factor."""
        start_ns = self.clock.monotonic_ns()

        def joules() -> float:
            return 5_000.0 + factor * power_w * (self.clock.monotonic_ns() - start_ns) / 1e9

        serial = f"0xAA0{len(self.smi.boards)}"
        board = {"name": name, "serial": serial, "joules": joules, "watts": power_w}
        self.smi.boards.append(board | more)

    def open(self, gpu_ids=None, **variables: str):
        return open_amd(
            self.clock, 15.0, gpu_ids, variables, self.problems.append, self.clock.advance
        )


@pytest.fixture
def rocm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rocm]:
    (tmp_path / "amdsmi.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import amdsmi

    yield Rocm(amdsmi)
    del sys.modules["amdsmi"]


def test_a_counter_that_agrees_with_the_power_is_used(rocm: Rocm) -> None:
    rocm.add(500.0, load=80)
    rocm.add(300.0, load=40)
    (meter,) = rocm.open()
    assert [device.id for device in meter.devices] == ["gpu:GPU-aa00", "gpu:GPU-aa01"]
    assert {device.method.name for device in meter.devices} == {"amdsmi.energy"}
    assert (meter.period_s, meter.dropped) == (15.0, ())
    assert meter.utilization_percent() == {"gpu:GPU-aa00": 80.0, "gpu:GPU-aa01": 40.0}
    ledger = Ledger(rocm.clock.monotonic_ns())
    ledger.add_devices(meter.devices)
    ledger.update(meter.read())
    rocm.clock.advance(10.0)
    ledger.update(meter.read())
    assert ledger.snapshot(rocm.clock.monotonic_ns()).joules == pytest.approx(8_000.0)


@pytest.mark.parametrize("failing", [{0}, {1}], ids=["first", "second"])
def test_a_counter_that_fails_once_during_the_check_is_used(rocm: Rocm, failing: set[int]) -> None:
    rocm.add(500.0)
    counted, calls = rocm.smi.boards[0]["joules"], iter(range(9))

    def joules() -> float:
        if next(calls) in failing:
            raise rocm.smi.AmdSmiException("AMDSMI_STATUS_BUSY")
        return counted()

    rocm.smi.boards[0]["joules"] = joules
    (meter,) = rocm.open()
    assert [device.method.name for device in meter.devices] == ["amdsmi.energy"]


def test_a_library_that_opens_at_the_second_try_is_used(
    rocm: Rocm, monkeypatch: pytest.MonkeyPatch
) -> None:
    rocm.add(500.0)
    real, tries = rocm.smi.amdsmi_init, iter(range(9))

    def init() -> None:
        if next(tries) == 0:
            raise rocm.smi.AmdSmiException("AMDSMI_STATUS_BUSY")
        real()

    monkeypatch.setattr(rocm.smi, "amdsmi_init", init)
    (meter,) = rocm.open()
    assert [device.method.name for device in meter.devices] == ["amdsmi.energy"]


@pytest.mark.parametrize("factor", [0.0, 0.3, 4.0])
def test_a_counter_that_contradicts_the_power_is_not(rocm: Rocm, factor: float) -> None:
    rocm.add(500.0, factor=factor)
    (meter,) = rocm.open()
    (device,) = meter.devices
    assert (device.method.name, device.kind, meter.period_s) == ("amdsmi.power", "power", 0.1)
    assert meter.read()[0].value == 500.0
    (refusal,) = meter.dropped
    assert (
        refusal.reason
        == "the energy counter of AMD GPU 0 (aa00) is missing or contradicts its power"
    )


def test_counters_and_polled_boards_are_apart_and_share_the_library(rocm: Rocm) -> None:
    rocm.add(500.0)
    rocm.add(500.0, joules=None)
    counters, polled = rocm.open()
    assert (len(counters.devices), len(polled.devices)) == (1, 1)
    counters.close()
    counters.close()
    assert rocm.smi.opened == 1
    polled.close()
    assert rocm.smi.opened == 0


def test_two_dies_on_one_meter_are_counted_once(rocm: Rocm) -> None:
    for _ in range(2):
        rocm.add(560.0, name="MI250X")
        rocm.add(0.0, name="MI250X", watts="N/A", joules=0.0)
    (meter,) = rocm.open()
    assert [device.id for device in meter.devices] == ["gpu:GPU-aa00", "gpu:GPU-aa02"]
    assert meter.devices[0].note == "two dies share its meter: both are counted"


def test_a_die_without_a_meter_is_counted_with_its_neighbour(rocm: Rocm) -> None:
    rocm.add(560.0, name="MI250X")
    rocm.add(0.0, name="MI250X", watts="N/A", joules=0.0)
    (meter,) = rocm.open(ROCR_VISIBLE_DEVICES="1")
    assert [device.id for device in meter.devices] == ["gpu:GPU-aa00"]
    assert meter.devices[0].note == "two dies share its meter: both are counted"


def test_a_board_that_tells_nothing_is_told(rocm: Rocm) -> None:
    rocm.add(0.0, watts=None, joules=None)
    with pytest.raises(MeterError, match=r"AMD GPU 0 \(aa00\) gives neither energy nor power"):
        rocm.open()
    assert rocm.smi.opened == 0


def test_a_reading_that_fails_is_missing(rocm: Rocm) -> None:
    rocm.add(500.0)
    (meter,) = rocm.open()
    rocm.smi.boards[0]["joules"] = None
    assert meter.read()[0].value is None
    assert meter.utilization_percent() == {}


def test_boards_that_are_asked_for_and_not_there_are_told(rocm: Rocm) -> None:
    rocm.add(500.0)
    rocm.open(gpu_ids=[0, 7])
    assert rocm.problems == ["gpu_ids: no GPU is called 7; this machine has 0 (GPU-aa00)"]


def test_hidden_boards_are_a_refusal(rocm: Rocm) -> None:
    rocm.add(500.0)
    with pytest.raises(MeterError, match="no AMD GPU is selected"):
        rocm.open(HIP_VISIBLE_DEVICES="")


def test_a_driver_that_is_not_there_is_told_in_a_line(rocm: Rocm) -> None:
    rocm.smi.broken = True
    with pytest.raises(MeterError, match=r"amdsmi cannot be used: Error code: 34 \| driver not"):
        rocm.open()


@pytest.mark.parametrize("content", [None, "raise KeyError('libamd_smi.so')"])
def test_without_package_or_library_the_remedy_is_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.delitem(sys.modules, "amdsmi", raising=False)
    if content is None:
        monkeypatch.setitem(sys.modules, "amdsmi", None)
    else:
        (tmp_path / "amdsmi.py").write_text(content)
        monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MeterError) as caught:
        open_amd(FakeClock(), 15.0, None, {}, lambda line: None)
    assert "carbon-callbacks[amd]" in caught.value.remedy


def test_the_search_asks_amd_where_its_driver_is_and_nvidia_has_nothing(
    rocm: Rocm, tmp_path: Path
) -> None:
    rocm.add(500.0, joules=None)
    hidden = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "0"}
    for has_driver in (False, True):
        if has_driver:
            (tmp_path / "sys/class/kfd").mkdir(parents=True)
        detection = discover(
            Host(tmp_path),
            rocm.clock,
            DetectionOptions(gpu_environ=hidden),
            rocm.problems.append,
        )
        devices = [d.id for m in detection.meters for d in m.devices if d.component == "gpu"]
        assert devices == ["gpu:GPU-aa00"] * has_driver
        assert "nvml" in {refusal.meter for refusal in detection.refusals}
        assert ("amdsmi" in detection.not_tried) is not has_driver
        for meter in detection.meters:
            meter.close()
    assert rocm.smi.opened == 0


@pytest.mark.parametrize(
    ("variables", "indices"),
    [
        ({}, (0, 1, 2)),
        ({"ROCR_VISIBLE_DEVICES": "2,0"}, (2, 0)),
        ({"ROCR_VISIBLE_DEVICES": "GPU-b"}, (1,)),
        ({"ROCR_VISIBLE_DEVICES": ""}, ()),
        ({"ROCR_VISIBLE_DEVICES": "0,9,1"}, (0,)),
        ({"HIP_VISIBLE_DEVICES": "1"}, (1,)),
        ({"CUDA_VISIBLE_DEVICES": "1"}, (1,)),
        ({"HIP_VISIBLE_DEVICES": "2", "CUDA_VISIBLE_DEVICES": "1"}, (2,)),
        ({"ROCR_VISIBLE_DEVICES": "2,1", "HIP_VISIBLE_DEVICES": "0"}, (2,)),
        ({"ROCR_VISIBLE_DEVICES": "2", "HIP_VISIBLE_DEVICES": "2"}, ()),
        ({"HIP_VISIBLE_DEVICES": "-1"}, ()),
    ],
)
def test_what_rocm_shows(variables: dict[str, str], indices: tuple[int, ...]) -> None:
    names = ["GPU-a", "GPU-b", "GPU-c"]
    assert select_amd(names, None, variables).indices == indices


def test_the_settings_come_before_rocms_variables() -> None:
    assert select_amd(["GPU-a", "GPU-b"], [1], {"ROCR_VISIBLE_DEVICES": ""}).indices == (1,)


def raising(*names: str):
    """Return an error of a call that is not the library's own."""
    raise AttributeError(*names)


def test_a_board_whose_calls_raise_anything_costs_only_itself(rocm: Rocm) -> None:
    rocm.add(500.0)
    rocm.add(300.0, name="other", joules=raising, watts=raising)
    (meter,) = rocm.open()
    assert [device.id for device in meter.devices] == ["gpu:GPU-aa00"]
    assert [line for line in rocm.problems if "AMD GPU 1 (aa01) gives neither" in line]


def test_a_function_that_the_package_lacks_costs_only_what_it_gives(
    rocm: Rocm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("asic_info", "energy_count", "activity"):
        full = f"amdsmi_get_{'gpu_' if name != 'energy_count' else ''}{name}"
        monkeypatch.delattr(rocm.smi, full)
    rocm.add(500.0)
    (meter,) = rocm.open()
    (device,) = meter.devices
    assert (device.id, device.method.name) == ("gpu:GPU-index-0", "amdsmi.power")
    assert (meter.read()[0].value, meter.utilization_percent()) == (500.0, {})


def test_a_power_of_nothing_is_a_reading_of_a_board_that_sleeps(rocm: Rocm) -> None:
    rocm.add(0.0)
    (meter,) = rocm.open()
    assert [device.method.name for device in meter.devices] == ["amdsmi.power"]
    assert meter.read()[0].value == 0.0
    rocm.smi.boards[0]["watts"] = 40.0
    assert meter.read()[0].value == 40.0
    rocm.smi.boards[0]["watts"] = 0
    assert meter.read()[0].value == 0.0


def test_of_two_boards_of_one_kind_the_sleeping_one_is_counted(rocm: Rocm) -> None:
    rocm.add(500.0)
    rocm.add(0.0)
    devices = [device.id for meter in rocm.open() for device in meter.devices]
    assert devices == ["gpu:GPU-aa00", "gpu:GPU-aa01"]


def test_a_counter_that_stands_still_is_replaced_by_the_power(rocm: Rocm) -> None:
    rocm.add(500.0)
    (meter,) = rocm.open()
    ledger = Ledger(rocm.clock.monotonic_ns())
    ledger.add_devices(meter.devices)
    ledger.update(meter.read())
    rocm.clock.advance(10.0)
    ledger.update(meter.read())
    rocm.smi.boards[0]["joules"] = rocm.smi.boards[0]["joules"]()
    rocm.smi.boards[0]["watts"] = 200.0
    for _ in range(5):
        rocm.clock.advance(2.5)
        ledger.update(meter.read())
    (energy,) = ledger.snapshot(rocm.clock.monotonic_ns()).energies
    assert energy.measured_j == pytest.approx(5_000.0)
    assert energy.joules == pytest.approx(5_000.0 + 12.5 * 200.0)
