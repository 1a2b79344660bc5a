"""Sensors of boards: trees of files as Linux lays them out, and the real ledger behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from carbon_core.hardware.discover import DetectionOptions, discover
from carbon_core.hardware.host import Host
from carbon_core.hardware.hwmon import open_hwmon
from carbon_core.ledger import Ledger
from carbon_core.records import COMPONENTS
from carbon_core.testing import FakeClock


class Boards:
    """A tree of hwmon devices."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, number: int, driver: str, device: str = "", **files: object) -> Path:
        place = self.root / f"sys/class/hwmon/hwmon{number}"
        place.mkdir(parents=True)
        (place / "name").write_text(f"{driver}\n")
        hardware = self.root / "sys/devices" / (device or f"device-{number}")
        hardware.mkdir(parents=True)
        (place / "device").symlink_to(hardware)
        for name, value in files.items():
            (place / name).write_text(f"{value}\n")
        return place


@pytest.fixture
def boards(tmp_path: Path) -> Boards:
    return Boards(tmp_path)


def opened(boards: Boards, wanted=COMPONENTS, **more):
    return open_hwmon(boards.root, FakeClock(), 15.0, wanted, **more)


def devices(boards: Boards, **more) -> dict[str, tuple[str, str]]:
    meters, _ = opened(boards, **more)
    return {d.id: (d.component, d.method.name) for meter in meters for d in meter.devices}


def dgpu(**more: object) -> dict[str, object]:
    return {"power1_average": 250_000_000, "power1_cap": 300_000_000, "power1_label": "PPT", **more}


def test_a_machine_without_sensors(boards: Boards) -> None:
    assert opened(boards) == ([], [])


def test_an_amd_board_without_its_library_is_polled(boards: Boards) -> None:
    boards.add(3, "amdgpu", "0000:03:00.0", **dgpu())
    ((meter,), refusals) = opened(boards)
    (device,) = meter.devices
    assert device.id == "gpu:amdgpu:0000:03:00.0:PPT"
    assert (device.component, device.kind, device.method.name) == ("gpu", "power", "hwmon.power")
    assert meter.period_s == 0.1
    assert meter.read()[0].value == 250.0
    assert refusals == []


def test_an_integrated_gpu_is_left_to_the_processors_counter(boards: Boards) -> None:
    boards.add(0, "amdgpu", power1_input=20_000_000)
    meters, (refusal,) = opened(boards)
    assert meters == []
    assert (refusal.meter, refusal.component) == ("hwmon", "gpu")
    assert "an integrated GPU" in refusal.reason


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, "03 04"),
        ({"ROCR_VISIBLE_DEVICES": "1"}, "04"),
        ({"ROCR_VISIBLE_DEVICES": "GPU-aa03"}, "03"),
        ({"HIP_VISIBLE_DEVICES": ""}, ""),
        ({"HIP_VISIBLE_DEVICES": "1,0"}, "03 04"),
    ],
)
def test_boards_that_rocm_hides_are_not_counted(boards: Boards, variables, shown: str) -> None:
    for number in (3, 4):
        place = boards.add(number, "amdgpu", f"0000:0{number}:00.0", **dgpu())
        (place / "device/unique_id").write_text(f"aa0{number}\n")
    found = [name.split(":")[3] for name in devices(boards, environ=variables)]
    assert " ".join(found) == shown


def test_energy_comes_before_power_and_parts_are_left_out(boards: Boards) -> None:
    files = {
        "energy1_input": 5_000_000,
        "energy1_label": "card",
        "power1_input": 9_000_000,
        "power1_label": "card",
        "energy2_input": 1_000_000,
        "energy2_label": "pkg",
    }
    boards.add(1, "xe", "0000:4d:00.0", **files)
    assert devices(boards) == {"gpu:xe:0000:4d:00.0:card": ("gpu", "hwmon.energy")}


def test_sockets_count_and_their_cores_do_not(boards: Boards) -> None:
    files = {f"energy{i}_input": 1_000_000 * i for i in (1, 2, 3)}
    labels = {"energy1_label": "Ecore000", "energy2_label": "Esocket0", "energy3_label": "Esocket1"}
    boards.add(0, "amd_energy", "amd_energy.0", **files, **labels)
    assert devices(boards) == {
        "cpu:amd_energy:amd_energy.0:Esocket0": ("cpu", "hwmon.energy"),
        "cpu:amd_energy:amd_energy.0:Esocket1": ("cpu", "hwmon.energy"),
    }


def jetson(boards: Boards) -> Path:
    rails = {"VDD_GPU_SOC": 2000, "VDD_CPU_CV": 1500, "VIN_SYS_5V0": 1000, "VDDQ_VDD2_1V8AO": 10}
    files: dict[str, object] = {}
    for i, (label, milliamperes) in enumerate(rails.items(), start=1):
        files |= {f"in{i}_label": label, f"in{i}_input": 5000, f"curr{i}_input": milliamperes}
    return boards.add(2, "ina3221", "1-0040", **files)


def test_rails_of_a_jetson_are_volts_times_amperes(boards: Boards) -> None:
    jetson(boards)
    ((meter,), (refusal,)) = opened(boards)
    watts = {reading.device_id.rpartition(":")[2]: reading.value for reading in meter.read()}
    assert watts == pytest.approx({"VDD_GPU_SOC": 10.0, "VDD_CPU_CV": 7.5})
    assert "ina3221 VIN_SYS_5V0" in refusal.reason
    assert "whole machine" in refusal.reason


def test_a_rail_that_feeds_both_counts_once_as_the_processor(boards: Boards) -> None:
    boards.add(0, "ina226", power1_input=7_000_000, power1_label="VDD_CPU_GPU_CV")
    assert list(devices(boards).values()) == [("cpu", "hwmon.power")]


def test_the_whole_machines_meter_and_unknown_ones_are_told_not_summed(boards: Boards) -> None:
    boards.add(0, "power_meter", power1_average=400_000_000)
    boards.add(1, "nvme", power1_input=4_000_000, power1_label="disk")
    meters, refusals = opened(boards)
    assert meters == []
    assert [refusal.reason for refusal in refusals] == [
        "the sensor power_meter is not counted: it measures the whole machine, which includes what "
        "is already counted",
        "the sensor nvme disk is not counted: what it measures is unknown",
    ]


def test_only_components_that_nothing_better_measures(boards: Boards) -> None:
    jetson(boards)
    assert {c for c, _ in devices(boards, wanted={"gpu"}).values()} == {"gpu"}


@pytest.mark.parametrize("content", ["", "garbage", "-5", "0"])
def test_what_a_sensor_cannot_mean_is_missing(boards: Boards, content: str) -> None:
    place = boards.add(0, "amdgpu", **dgpu())
    ((meter,), _) = opened(boards)
    (place / "power1_average").write_text(content)
    assert meter.read()[0].value is None
    (place / "power1_average").unlink()
    assert meter.read()[0].value is None


def test_a_sensor_that_tells_nothing_at_first_is_not_used(boards: Boards) -> None:
    boards.add(0, "amdgpu", **dgpu(power1_average=""))
    assert devices(boards) == {}


def test_joules_of_a_counter_through_the_ledger(boards: Boards) -> None:
    place = boards.add(0, "i915", energy1_input=1_000_000)
    clock = FakeClock()
    ((meter,), _) = open_hwmon(boards.root, clock, 15.0, {"gpu"})
    ledger = Ledger(clock.monotonic_ns())
    ledger.add_devices(meter.devices)
    ledger.update(meter.read())
    clock.advance(10.0)
    (place / "energy1_input").write_text("501000000")
    ledger.update(meter.read())
    assert ledger.snapshot(clock.monotonic_ns()).joules == pytest.approx(500.0)
    meter.close()


def test_the_search_takes_sensors_before_models(boards: Boards) -> None:
    jetson(boards)
    wanted = DetectionOptions(gpu_environ={"CUDA_VISIBLE_DEVICES": ""})
    detection = discover(Host(boards.root), FakeClock(), wanted, lambda line: None)
    found = {d.component: d.method.name for m in detection.meters for d in m.devices}
    assert found == {"cpu": "hwmon.power", "gpu": "hwmon.power", "ram": "ram.model"}


# --- ACPI power meters of NVIDIA Grace ---

GH200 = {"Module": 400, "Grace": 90, "CPU": 45, "SysIO": 12}


def grace(boards: Boards, watts: dict[str, int], *, sockets: int = 1, empty: str = "") -> None:
    """Add the ACPI power meters of a Grace machine, whose files are in the directory ``device``."""
    parts = [(f"{kind} Power Socket {n}", w) for n in range(sockets) for kind, w in watts.items()]
    for number, (label, power_w) in enumerate(parts):
        place = boards.add(number, "power_meter", f"ACPI000D:{number:02d}") / "device"
        (place / "power1_oem_info").write_text(f"{label}\n")
        value = "" if label.startswith(empty or "?") else f"{power_w * 1_000_000}\n"
        (place / "power1_average").write_text(value)


def counted_w(boards: Boards) -> dict[str, float | None]:
    meters, _ = opened(boards)
    values = {one.device_id: one.value for meter in meters for one in meter.read()}
    return {name.rpartition(":")[2]: value for name, value in values.items()}


@pytest.mark.parametrize(
    ("watts", "sockets", "counted"),
    [
        pytest.param(GH200, 1, {"Grace Power Socket 0": 90.0}, id="GH200"),
        pytest.param(
            {"Grace": 80, "CPU": 40, "SysIO": 10},
            2,
            {"Grace Power Socket 0": 80.0, "Grace Power Socket 1": 80.0},
            id="Grace with two sockets",
        ),
        pytest.param(
            {"Module": 400, "CPU": 45, "SysIO": 12},
            1,
            {"CPU Power Socket 0": 45.0, "SysIO Power Socket 0": 12.0},
            id="without a meter of the socket",
        ),
        pytest.param({"Module": 400}, 1, {}, id="the module alone"),
        pytest.param(
            {"Total": 80, "CPU Rail Input": 40, "DRAM": 9},
            1,
            {"Total Power Socket 0": 80.0},
            id="the names of a later platform",
        ),
    ],
)
def test_a_socket_of_grace_counts_once(boards: Boards, watts, sockets, counted) -> None:
    grace(boards, watts, sockets=sockets)
    assert counted_w(boards) == counted


def test_a_socket_whose_own_meter_fails_is_counted_by_its_rails(boards: Boards) -> None:
    grace(boards, GH200, empty="Grace")
    assert counted_w(boards) == {"CPU Power Socket 0": 45.0, "SysIO Power Socket 0": 12.0}


def test_the_meter_of_a_module_is_refused_with_a_reason(boards: Boards) -> None:
    grace(boards, GH200)
    _, (refusal,) = opened(boards)
    assert "Module Power Socket 0" in refusal.reason
    assert "processor, memory and GPU together" in refusal.reason


def test_memory_that_a_meter_includes_is_not_modelled(boards: Boards) -> None:
    grace(boards, GH200)
    wanted = DetectionOptions(gpu_environ={"CUDA_VISIBLE_DEVICES": ""})
    detection = discover(Host(boards.root), FakeClock(), wanted, lambda line: None)
    found = {d.component: d.method.summary for m in detection.meters for d in m.devices}
    assert found == {"cpu": "power sensor of processor and memory (hwmon)"}


def test_the_meter_of_a_machine_in_its_directory_is_told(boards: Boards) -> None:
    place = boards.add(0, "power_meter") / "device"
    (place / "power1_average").write_text("400000000\n")
    meters, (refusal,) = opened(boards)
    assert meters == []
    assert "whole machine" in refusal.reason


def test_a_rail_without_a_current_is_counted_and_draws_nothing(boards: Boards) -> None:
    place = jetson(boards)
    (place / "curr1_input").write_text("0")
    ((meter,), _) = opened(boards)
    values = {reading.device_id.rpartition(":")[2]: reading.value for reading in meter.read()}
    assert values == {"VDD_GPU_SOC": 0.0, "VDD_CPU_CV": 7.5}
    (place / "curr1_input").write_text("-4")  # the offset of its amplifier
    (place / "curr2_input").write_text("0")
    assert [reading.value for reading in meter.read()] == [0.0, 0.0]


def test_a_board_that_sleeps_at_the_start_is_counted_once_it_draws_power(boards: Boards) -> None:
    place = boards.add(0, "amdgpu", **dgpu())
    (place / "power1_average").write_text("0")
    ((meter,), _) = opened(boards)
    assert meter.read()[0].value is None
    (place / "power1_average").write_text("30000000")
    assert meter.read()[0].value == 30.0


def test_a_counter_that_begins_at_nothing_is_counted(boards: Boards) -> None:
    boards.add(1, "xe", "0000:4d:00.0", energy1_input=0, energy1_label="card")
    assert devices(boards) == {"gpu:xe:0000:4d:00.0:card": ("gpu", "hwmon.energy")}


def test_a_gpu_whose_sensor_cannot_be_read_is_said(boards: Boards) -> None:
    place = boards.add(0, "amdgpu", **dgpu())
    (place / "power1_average").write_text("")
    said: list[str] = []
    meters, (refusal,) = open_hwmon(boards.root, FakeClock(), 15.0, {"gpu"}, on_problem=said.append)
    assert meters == []
    assert "cannot be read" in refusal.reason
    assert [line for line in said if "this GPU is not counted" in line]


def test_a_socket_whose_own_meter_shows_nothing_at_the_start_is_counted_once(
    boards: Boards,
) -> None:
    grace(boards, {**GH200, "Grace": 0})
    meters, _ = opened(boards)
    for place in (boards.root / "sys/class/hwmon").glob("hwmon*/device"):
        if (place / "power1_oem_info").read_text().startswith("Grace"):
            (place / "power1_average").write_text("90000000")
    values = [one.value for meter in meters for one in meter.read()]
    assert sorted(values) == [12.0, 45.0]
