"""Devices that the user has calibrated: the gain applies once, and the interval is the calibration's."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from carbon_callbacks import EmissionsTracker
from carbon_core import methods, uncertainty
from carbon_core.calibrations import parse
from carbon_core.hardware.base import Detection, DetectionOptions, Promotion, promotions_of
from carbon_core.hardware.calibrated_meter import calibrated
from carbon_core.hardware.discover import discover
from carbon_core.hardware.host import Host
from carbon_core.hardware.idle import as_json
from carbon_core.ledger import Ledger
from carbon_core.outputs import journal, past_runs
from carbon_core.outputs.merging import merge
from carbon_core.records import Device, Energy, Reading
from carbon_core.testing import FakeClock, FakeMeter, fake_device
from carbon_core.uncertainty import FLOOR_SIGMA_LN, Z_95

LAB = "gpu: 1.25 ± 0.0125 (laboratory)"


def test_a_counter_is_multiplied_also_where_it_wraps() -> None:
    clock = FakeClock()
    gpu = fake_device("gpu", wrap_j=1_000.0, max_power_w=100.0)
    (meter,) = calibrated([FakeMeter(clock, lambda t_s: 80.0 * t_s % 1_000.0, gpu)], parse(LAB))
    ledger = Ledger(clock.monotonic_ns())
    ledger.add_devices(meter.devices)
    ledger.update(meter.read())
    for _ in range(40):
        clock.advance(1.0)
        ledger.update(meter.read())
    assert ledger.snapshot(clock.monotonic_ns()).joules == pytest.approx(80.0 * 40 * 1.25)


def test_a_device_that_a_better_method_reads_later_stays_calibrated() -> None:
    clock = FakeClock()
    power = FakeMeter(clock, lambda t_s: 80.0, fake_device("gpu", kind="power"))
    counter = fake_device("gpu", method=methods.NVML_ENERGY_UNPUBLISHED, wrap_j=1_000.0)
    reading = Reading(counter.id, clock.monotonic_ns(), 100.0)
    better = Promotion(counter, [reading], lambda: None)
    power.promoted = lambda: [better]  # type: ignore[attr-defined]
    (meter,) = calibrated([power], parse(LAB))
    ((device, readings, _),) = promotions_of(meter)
    assert device.method.name == "nvml.energy.calibrated"
    assert device.method.sigma_ln == pytest.approx(0.01)
    assert device.wrap_j == 1_250.0
    assert readings == [reading._replace(value=125.0)]


def test_other_devices_stay_as_they_are() -> None:
    meter = FakeMeter(FakeClock(), lambda t_s: t_s)
    assert calibrated([meter], parse(LAB)) == [meter]
    assert calibrated([meter], {}) == [meter]


def test_the_interval_is_that_of_the_calibration_and_may_be_below_five_per_cent() -> None:
    (meter,) = calibrated([FakeMeter(FakeClock(), lambda t_s: t_s, fake_device("gpu"))], parse(LAB))
    (device,) = meter.devices
    assert device.method.name == "nvml.energy.calibrated"
    assert "laboratory" in device.method.summary
    lab = uncertainty.sigmas_of({device: Energy(100.0)}, 1e9).total
    assert lab == pytest.approx(0.01)
    exact = parse("cpu: 1 ± 0")["cpu"]
    certain = fake_device("cpu", method=methods.RAM_MODEL.calibrated(exact))
    assert uncertainty.sigmas_of({certain: Energy(100.0)}, 3600.0).total == 0.0


def test_the_floor_remains_for_what_is_not_calibrated() -> None:
    (meter,) = calibrated([FakeMeter(FakeClock(), lambda t_s: t_s, fake_device("gpu"))], parse(LAB))
    xeon = fake_device("cpu", method=methods.RAPL_INTEL_SERVER)
    half = {meter.devices[0]: Energy(50.0), xeon: Energy(50.0)}
    assert uncertainty.sigmas_of(half, 1e9).total == pytest.approx(FLOOR_SIGMA_LN / 2)


def run(directory: Path, **settings: object) -> EmissionsTracker:
    settings = {"force_ram_power": 36.0, "log_level": "error", **settings}
    tracker = EmissionsTracker(output_dir=directory, **settings)
    tracker.start()
    tracker.stop()
    return tracker


def test_files_have_the_gain_once_and_name_it(tmp_path: Path) -> None:
    tracker = run(tmp_path, calibration={"ram": (2.0, 0.1, "wall meter")}, tracking_mode="machine")
    report = tracker.final_report
    assert report is not None
    joules = 2 * 36.0 * report.duration_s
    assert report.window.component_j("ram") == pytest.approx(joules)
    (path,) = tmp_path.glob("carbon_runs/*.receipt.json")
    (ram,) = [one for one in json.loads(path.read_text())["devices"] if one["component"] == "ram"]
    assert ram["method"] == "forced.calibrated"
    assert ram["calibration"] == {"gain": 2.0, "sigma_ln": 0.05, "source": "wall meter"}
    assert ram["measured_j"] + ram["extrapolated_j"] == pytest.approx(joules)
    kwh = report.energy_kwh.value
    assert past_runs.read(path).energy_kwh.value == kwh
    assert [one.energy_kwh for one in merge(tmp_path)] == [kwh]


def test_a_journal_is_recovered_with_the_gain_it_has(tmp_path: Path) -> None:
    tracker = run(tmp_path, calibration="ram: 2 ± 0.1", journal=True)
    report = tracker.final_report
    assert report is not None
    copy = tmp_path / "copy.journal.jsonl"
    written = journal.Journal(copy, report)
    written.append(report)
    written.close()
    found = journal.read(copy)
    assert found.window.end.energies == report.window.end.energies
    assert found.window.end.devices == report.window.end.devices
    assert found.energy_kwh == report.energy_kwh


def detection(tmp_path: Path, calibration: str, problems: list[str]) -> Detection:
    (tmp_path / "idle.json").write_text(as_json({"ram:all": 10.0}, 60, "2026-01-01"))
    options = DetectionOptions(
        force_ram_power_w=36.0,
        force_cpu_power_w=50.0,
        idle_file=tmp_path / "idle.json",
        calibrations=parse(calibration),
    )
    return discover(Host(tmp_path), FakeClock(), options, problems.append)


def ram_of(found: Detection) -> Device:
    (ram,) = [one for meter in found.meters for one in meter.devices if one.component == "ram"]
    return ram


def test_idle_power_is_calibrated_as_the_energy_is(tmp_path: Path) -> None:
    found = detection(tmp_path, "ram: 2 ± 0.1", [])
    assert found.host.idle_w == {"ram:all": 20.0}
    assert ram_of(found).method.sigma_ln == pytest.approx(0.05)
    assert detection(tmp_path, "cpu: 2 ± 0.1", []).host.idle_w == {"ram:all": 10.0}


def test_a_calibration_of_a_device_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    problems: list[str] = []
    detection(tmp_path, "gpu: 1 ± 0; gpu:GPU-1: 2 ± 0; ram:all: 1 ± 0", problems)
    (text,) = [one for one in problems if "calibration" in one]
    assert "no device gpu:GPU-1 is measured here" in text
    assert "ram:all" in text


def test_a_share_of_the_job_adds_its_own_uncertainty(tmp_path: Path) -> None:
    tracker = run(tmp_path, calibration="ram: 2 ± 0.1", tracking_mode="process")
    report = tracker.final_report
    assert report is not None
    (ram,) = [one for one in report.window.end.devices if one.component == "ram"]
    assert ram.method.name == "forced.calibrated.share"
    assert ram.method.sigma_ln == pytest.approx(math.hypot(0.05, 0.25))
    assert report.energy_kwh.high <= report.energy_kwh.value * math.exp(Z_95 * 3)
