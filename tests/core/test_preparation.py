"""Meters that are found before a run: nothing of it is extrapolated, and nothing is left without it."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.lab import LabTracker, eventually, said, steady

from carbon_core import EmissionsTracker
from carbon_core.assemble.build import DETECTION_VARIABLES, make_parts
from carbon_core.hardware.base import Detection
from carbon_core.hardware.meters import gpu_variables
from carbon_core.testing import FakeClock, FakeMeter, fake_device
from carbon_core.tracker import preparation
from carbon_core.tracker.preparation import Preparation

Found = list[FakeMeter]


def tracker_of(clock: FakeClock, detect: Callable[[], Detection], **parts: Any) -> LabTracker:
    """Return a tracker of a whole detection."""
    tracker = LabTracker(clock, list, **parts)
    tracker._parts["detect"] = detect
    return tracker


def prepared(
    value: Callable[[float], float | None], **parts: Any
) -> tuple[LabTracker, FakeClock, Found]:
    """Return a tracker that has prepared, its clock, and the meters that were found so far."""
    clock, found = FakeClock(), Found()

    def detect() -> Found:
        found.append(FakeMeter(clock, value))
        return found[-1:]

    tracker = LabTracker(clock, detect, **{"start_patience_s": 10.0, **parts})
    tracker.prepare(10.0)
    return tracker, clock, found


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "carbon-prepare"]


def gone() -> bool:
    gc.collect()
    return not threads()


# --- what a run has of it ------------------------------------------------------------------------


def test_nothing_is_extrapolated_after_a_preparation() -> None:
    # 10 W until the start, 100 W from then on.
    tracker, clock, found = prepared(lambda t_s: 10 * t_s + 90 * max(0.0, t_s - 1_300.0))
    clock.advance(300)
    tracker.start()
    clock.advance(20)
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    (energy,) = report.window.by_device.values()
    assert energy[:3] == pytest.approx((2_000.0, 0.0, 0.0))
    assert report.duration_s == pytest.approx(20)
    assert len(found) == 1
    assert found[0].closed


def test_the_run_begins_with_its_start() -> None:
    tracker, clock, _ = prepared(lambda t_s: 100 * t_s)
    clock.advance(300)
    tracker.start()
    first = tracker.window("first")
    clock.advance(5)
    assert first.close().joules == pytest.approx(500)
    tracker.mark("second")
    clock.advance(5)
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    assert [(one.name, one.joules) for one in report.phases] == [
        ("run", pytest.approx(500)),
        ("second", pytest.approx(500)),
    ]
    assert report.run.started_at > "2026-01-01T00:05"


def test_a_second_run_finds_its_own_meters() -> None:
    tracker, clock, found = prepared(lambda t_s: 100 * t_s)
    for _ in range(2):
        tracker.start()
        clock.advance(10)
        tracker.stop()
        assert tracker.final_report is not None
        assert tracker.final_report.window.joules == pytest.approx(1_000)
    assert len(found) == 2
    assert all(one.closed for one in found)


def test_preparing_again_or_during_a_run_does_nothing() -> None:
    tracker, clock, found = prepared(lambda t_s: 100 * t_s)
    tracker.prepare(10.0)
    tracker.start()
    tracker.prepare(10.0)
    clock.advance(10)
    tracker.stop()
    assert len(found) == 1
    assert gone()


def test_messages_of_a_preparation_appear_with_the_run() -> None:
    tracker = LabTracker(FakeClock(), list)
    tracker.prepare(10.0)
    assert said(tracker) == []
    tracker.start()
    tracker.stop()
    assert any("no meter was found" in one for one in said(tracker))


def test_a_search_that_failed_is_repeated() -> None:
    clock = FakeClock()
    found = [None, steady(clock)]

    def detect() -> Any:
        one = found.pop(0)
        if one is None:
            raise OSError("busy")
        return [one]

    tracker = LabTracker(clock, detect, start_patience_s=10.0)
    tracker.prepare(10.0)
    tracker.start()
    clock.advance(10)
    tracker.stop()
    assert tracker.final_report is not None
    assert tracker.final_report.window.joules == pytest.approx(1_000)


# --- what it leaves ------------------------------------------------------------------------------


def test_a_tracker_that_is_never_started_leaves_nothing() -> None:
    tracker, _, found = prepared(lambda t_s: t_s)
    assert threads()
    del tracker
    assert gone()
    assert found[0].closed


def test_meters_that_nobody_uses_are_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "_PARKED_S", 0.01)
    tracker, clock, found = prepared(lambda t_s: 100 * t_s)
    assert eventually(gone)
    assert found[0].closed
    monkeypatch.undo()
    tracker.start()
    clock.advance(10)
    tracker.stop()
    assert tracker.final_report is not None
    assert tracker.final_report.window.joules == pytest.approx(1_000)
    assert len(found) == 2


def test_a_process_keeps_one_preparation() -> None:
    first, clock, found = prepared(lambda t_s: 100 * t_s)
    second, _, _ = prepared(lambda t_s: 50 * t_s)
    assert eventually(lambda: found[0].closed)
    first.start()
    clock.advance(10)
    first.stop()
    assert first.final_report is not None
    assert first.final_report.window.joules == pytest.approx(1_000)
    del second
    assert gone()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_has_no_preparation(copied: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = EmissionsTracker(save_to_file=False, log_level="ERROR", country_iso_code="FRA")
    tracker.prepare()
    assert tracker._prepared._latest is not None
    assert copied(tracker)._prepared._latest is None
    del tracker
    assert eventually(gone, 20.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_finds_its_own_meters() -> None:
    tracker, clock, found = prepared(lambda t_s: 100 * t_s)
    child = os.fork()
    if child == 0:
        clock.advance(5)
        tracker.start()
        clock.advance(10)
        tracker.stop()
        report = tracker.final_report
        good = report is not None and abs(report.window.joules - 1_000) < 1 and len(found) == 2
        os._exit(0 if good and not found[0].closed else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not found[0].closed
    tracker.start()
    clock.advance(1)
    tracker.stop()
    assert found[0].closed


def test_the_rank_and_the_visible_devices_are_those_of_the_start(tmp_path: Path) -> None:
    settings = EmissionsTracker(save_to_file=False).settings
    for changed in ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK", "MASTER_PORT", "ROCR_VISIBLE_DEVICES"):
        environ = {"OMP_NUM_THREADS": "1"}
        before = Preparation(make_parts(settings, "id", environ, root=tmp_path))
        environ["OMP_NUM_THREADS"] = "2"
        assert before.suits(make_parts(settings, "id", environ, root=tmp_path))
        environ[changed] = "1"
        assert not before.suits(make_parts(settings, "id", environ, root=tmp_path))
    assert set(gpu_variables()) <= DETECTION_VARIABLES


def test_devices_that_another_rank_counted_are_claimed_at_the_start() -> None:
    clock, results = FakeClock(), []

    def detect() -> Detection:
        meter = steady(clock)
        results.append(Detection((meter,), contested=not results))
        return results[-1]

    tracker = tracker_of(clock, detect, start_patience_s=10.0)
    tracker.prepare(10.0)
    tracker.start()
    clock.advance(10)
    tracker.stop()
    assert len(results) == 2
    assert all(meter.closed for one in results for meter in one.meters)


# --- GPUs with a slow driver ---------------------------------------------------------------------


class SlowGpus:
    """GPUs that are found when the test allows it."""

    def __init__(self, clock: FakeClock) -> None:
        self.cpu = steady(clock, 100.0)
        self.gpu = FakeMeter(clock, lambda t_s: 300 * t_s, fake_device("gpu"))
        self.found = threading.Event()
        self.settled_at: list[str] = []

    def detect(self) -> Detection:
        return Detection((self.cpu,), late=self)

    def settled(self) -> Detection:
        self.found.wait(10)
        return Detection((self.cpu, self.gpu))

    def on_ready(self, use: Any) -> None:
        raise AssertionError("they were found within their time")


def test_a_slow_driver_delays_no_other_meter() -> None:
    clock = FakeClock()
    gpus = SlowGpus(clock)
    tracker = tracker_of(clock, gpus.detect, start_patience_s=0.2)
    tracker.start()
    window = tracker.window("cpu only")
    clock.advance(2)
    assert window.close().joules == pytest.approx(200)
    gpus.found.set()
    assert eventually(lambda: gpus.gpu.reads > 0)
    clock.advance(8)
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    by_component = {device.component: energy for device, energy in report.window.by_device.items()}
    assert by_component["cpu"][:3] == pytest.approx((1_000, 0, 0))
    # From the start on: what came before its first reading is extrapolated.
    assert by_component["gpu"][:3] == pytest.approx((2_400, 600, 2))
    assert [one for one in said(tracker) if one.startswith("measuring")] == [
        "measuring cpu by RAPL energy counter (grade A), GPUs are being detected; "
        "1000 g CO2e/kWh (somewhere)",
        "measuring cpu by RAPL energy counter (grade A), gpu by NVML energy counter (grade A); "
        "1000 g CO2e/kWh (somewhere)",
    ]
    assert gpus.cpu.closed
    assert gpus.gpu.closed


def test_a_task_that_ends_before_a_slow_driver_responds_is_corrected() -> None:
    clock = FakeClock()
    gpus = SlowGpus(clock)
    tracker = tracker_of(clock, gpus.detect, start_patience_s=0.2)
    tracker.start()
    tracker.start_task("early")
    window = tracker._tasks["early"]
    clock.advance(2)
    data = tracker.stop_task("early")
    assert data is not None
    assert data.gpu_energy == 0
    assert window.provisional
    gpus.found.set()
    assert eventually(lambda: gpus.gpu.reads > 0)
    clock.advance(8)
    assert eventually(lambda: tracker.report() is not None and not window.provisional)
    assert window.result.joules == pytest.approx(800)
    tracker.stop()
    assert tracker.final_report is not None
    ((_, task),) = tracker.final_report.tasks
    assert task.window.joules == pytest.approx(800)
    assert not task.provisional
    assert not tracker.final_report.provisional


def test_gpus_that_are_found_before_the_start_are_measured_from_it_on() -> None:
    clock = FakeClock()
    gpus = SlowGpus(clock)
    tracker = tracker_of(clock, gpus.detect, start_patience_s=10.0)
    tracker.prepare(10.0)
    gpus.found.set()
    assert eventually(lambda: gpus.gpu.reads > 0)
    clock.advance(60)
    tracker.start()
    clock.advance(10)
    tracker.stop()
    assert tracker.final_report is not None
    assert tracker.final_report.window.joules == pytest.approx(4_000)
    assert tracker.final_report.missing_s == 0


def test_slow_gpus_of_a_preparation_that_is_not_used_are_closed() -> None:
    clock = FakeClock()
    gpus = SlowGpus(clock)
    tracker = tracker_of(clock, gpus.detect)
    tracker.prepare(10.0)
    del tracker
    gc.collect()
    gpus.found.set()
    assert eventually(gone)
    assert gpus.gpu.closed
    assert gpus.cpu.closed
