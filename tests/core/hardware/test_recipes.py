"""The recipes of CONTRIBUTING.md, followed: a meter or a GPU backend is one module and one row."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from core.hardware.toys import TOY, TOY_GPU, ToyGpuMeter, hanging_gpu
from faults.lab import eventually

from carbon_core import EmissionsTracker
from carbon_core.assemble import build
from carbon_core.clock import SystemClock
from carbon_core.errors import MeterError
from carbon_core.hardware import meters
from carbon_core.hardware.base import Detection, DetectionOptions
from carbon_core.hardware.claims import Claims
from carbon_core.hardware.discover import discover
from carbon_core.hardware.host import Host
from carbon_core.testing import fake_device

ROWS = meters.METERS


@pytest.fixture
def opened() -> Iterator[list[Detection]]:
    """Collect detections and close their meters at the end."""
    found: list[Detection] = []
    yield found
    for detection in found:
        for meter in detection.meters:
            meter.close()


@pytest.fixture
def detect(tmp_path: Path, opened: list[Detection]):
    def run(on_problem=lambda line: None, **options) -> Detection:
        detection = discover(Host(tmp_path), SystemClock(), DetectionOptions(**options), on_problem)
        opened.append(detection)
        return detection

    return run


def used(detection: Detection) -> set[str]:
    return {device.method.name for meter in detection.meters for device in meter.devices}


def test_a_toy_meter_measures_a_run_whose_receipt_names_its_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy").write_text("here")
    monkeypatch.setattr(meters, "METERS", (TOY, TOY_GPU, *ROWS))
    tracker = Rooted(tmp_path)
    with tracker:
        deadline = time.monotonic() + 10
        while not tracker.report().window.component_j("gpu") and time.monotonic() < deadline:
            time.sleep(0.02)
    (receipt,) = (tmp_path / "out/carbon_runs").glob("*.receipt.json")
    shown = json.loads(receipt.read_text())
    assert shown["components"]["cpu"]["methods"] == ["toy.energy"]
    assert shown["components"]["gpu"]["methods"] == ["toygpu.energy"]
    report = tracker.final_report
    assert report is not None
    assert report.window.component_j("cpu") > 0
    assert report.window.component_j("gpu") == pytest.approx(
        3 * report.window.component_j("cpu"), rel=0.2
    )


def test_a_row_that_is_removed_leaves_nothing_behind(detect, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(meters, "METERS", (TOY, TOY_GPU, *ROWS))
        assert "TOY_VISIBLE_DEVICES" in meters.gpu_variables()
        assert "toygpu.energy" in used(detect())
    assert "TOY_VISIBLE_DEVICES" not in meters.gpu_variables()
    detection = detect()
    assert not {"toy.energy", "toygpu.energy"} & used(detection)
    assert not {"toy", "toygpu"} & set(detection.not_tried)


def test_a_toy_meter_that_is_refused_says_why_and_the_next_row_measures(detect, monkeypatch):
    monkeypatch.setattr(meters, "METERS", (TOY, *ROWS))
    detection = detect()
    (refusal,) = [one for one in detection.refusals if one.meter == "toy"]
    assert (refusal.component, refusal.reason) == ("cpu", "there is no file named toy")
    assert refusal.remedy == "create it"
    assert "cpu.load_default" in used(detection)


def test_the_variables_of_a_toy_backend_select_its_boards(detect, monkeypatch) -> None:
    monkeypatch.setattr(meters, "METERS", (TOY_GPU,))
    detection = detect(gpu_environ={"TOY_VISIBLE_DEVICES": "none"})
    (refusal,) = detection.refusals
    assert (refusal.meter, refusal.reason) == ("toygpu", "no toy GPU is visible")


def test_the_first_backend_that_finds_gpus_is_used(detect, monkeypatch) -> None:
    monkeypatch.setattr(meters, "METERS", (TOY_GPU, *ROWS))
    detection = detect()
    assert detection.not_tried["nvml"] == "not needed: Toy GPU library found GPUs"
    assert "nvml" not in {refusal.meter for refusal in detection.refusals}
    assert detection.gauge is not None
    detection.gauge.sample()
    assert detection.gauge.means().gpu_percent == 50.0


def test_the_utilisation_is_the_mean_over_the_counted_gpus(detect, monkeypatch, tmp_path) -> None:
    def meter(load_percent: float, *names: str) -> ToyGpuMeter:
        found = ToyGpuMeter(SystemClock(), lambda t_s: t_s, fake_device("gpu", names[0]))
        found.devices = [fake_device("gpu", name) for name in names]
        found.load_percent = load_percent
        return found

    def open_three(context: object) -> list[ToyGpuMeter]:
        return [meter(100.0, "a"), meter(0.0, "b", "c", "d")]

    monkeypatch.setattr(meters, "METERS", (replace(TOY_GPU, open=open_three),))
    other = Claims(tmp_path / "claims", "job", first=True)
    other.take(["gpu:d"])
    for claims, percent in (
        (None, 25.0),
        (lambda: Claims(tmp_path / "claims", "job", first=False), pytest.approx(100 / 3)),
    ):
        gauge = detect(claims=claims).gauge
        assert gauge is not None
        gauge.sample()
        assert gauge.means().gpu_percent == percent
    other.release()


# --- names of backends in refusals ----------------------------------------------------------------


def test_a_gpu_that_another_rank_counts_is_refused_under_its_backends_name(
    detect, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(meters, "METERS", (TOY_GPU,))
    other = Claims(tmp_path / "claims", "job", first=True)
    other.take(["gpu:toy"])
    detection = detect(claims=lambda: Claims(tmp_path / "claims", "job", first=False))
    other.release()
    (refusal,) = detection.refusals
    assert (refusal.meter, refusal.component) == ("toygpu", "gpu")
    assert refusal.reason == "another rank of the node counts it"
    assert not detection.meters


def test_a_gpu_that_the_first_rank_may_count_as_well_is_said_and_doubted(
    detect, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(meters, "METERS", (TOY_GPU,))
    problems: list[str] = []
    claims = functools.partial(Claims, tmp_path / "claims", "alone", first=False, wait_s=0.05)
    detection = detect(problems.append, claims=claims)
    (device,) = [one for meter in detection.meters for one in meter.devices]
    assert device.least_share == 0.0
    (problem,) = problems
    assert "counted twice; the interval includes this" in problem
    for meter in detection.meters:
        meter.close()


def test_a_backend_that_hangs_is_refused_under_its_own_name(detect, monkeypatch) -> None:
    released = threading.Event()
    absent = ROWS[[row.name for row in ROWS].index("amdsmi")]
    monkeypatch.setattr(meters, "METERS", (absent, hanging_gpu(released), TOY_GPU))
    detection = detect(gpu_search_limit_s=0.05)
    released.set()
    (refusal,) = detection.refusals
    assert (refusal.meter, refusal.component) == ("hanging", "gpu")
    assert refusal.reason == "Hanging library did not respond within 0.05 s"
    assert detection.not_tried == {
        "amdsmi": "not on this machine",
        "toygpu": "Hanging library did not respond",
    }


def test_what_was_refused_before_a_backend_hangs_is_kept(detect, monkeypatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(meters, "METERS", (TOY_GPU, hanging_gpu(released)))
    hidden = {"TOY_VISIBLE_DEVICES": "none"}
    detection = detect(gpu_search_limit_s=0.05, gpu_environ=hidden)
    released.set()
    assert [refusal.meter for refusal in detection.refusals] == ["toygpu", "hanging"]


# --- the tracker of the first recipe --------------------------------------------------------------


class Rooted(EmissionsTracker):
    """A tracker of a machine that is a directory."""

    def __init__(self, root: Path) -> None:
        super().__init__(output_dir=str(root / "out"), log_level="error")
        self._root = root

    def make_parts(self, run_id: str):
        environ = {"TOY_VISIBLE_DEVICES": "all"}
        return build.make_parts(self.settings, run_id, environ, root=self._root, offline=True)


# --- meters that raise anything -------------------------------------------------------------------


def surprised(context: object):
    raise PermissionError("nobody expected this")


def test_a_row_that_raises_anything_costs_only_itself(tmp_path: Path, monkeypatch) -> None:
    said: list[str] = []
    rows = (replace(TOY, open=surprised, present=lambda host: True), *ROWS)
    monkeypatch.setattr(meters, "METERS", rows)
    detection = discover(Host(tmp_path), SystemClock(), DetectionOptions(), said.append)
    (refusal,) = [one for one in detection.refusals if one.meter == "toy"]
    assert "nobody expected this" in refusal.reason
    assert "cpu.load_default" in used(detection)
    assert [line for line in said if line.startswith("the meter toy")]


def test_a_backend_that_raises_anything_is_said(tmp_path: Path, monkeypatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(meters, "METERS", (replace(TOY_GPU, open=surprised), *ROWS))
    discover(Host(tmp_path), SystemClock(), DetectionOptions(), said.append)
    assert [line for line in said if "nobody expected this" in line and "not counted" in line]


@pytest.mark.parametrize(("variables", "told"), [({}, 1), ({"CUDA_VISIBLE_DEVICES": ""}, 0)])
def test_boards_that_the_system_shows_and_no_meter_counts_are_said(
    tmp_path: Path, monkeypatch, variables: dict[str, str], told: int
) -> None:
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    said: list[str] = []
    row = ROWS[[row.name for row in ROWS].index("nvml")]

    def refuse(context) -> list[ToyGpuMeter]:
        raise MeterError("the driver is not loaded", by_choice=bool(context.options.gpu_environ))

    monkeypatch.setattr(meters, "METERS", (replace(row, open=refuse),))
    options = DetectionOptions(gpu_environ=variables)
    discover(Host(tmp_path), SystemClock(), options, said.append)
    assert said == ["1 GPU is not counted: the driver is not loaded"] * told


def test_gpus_of_a_slow_driver_join_the_run(tmp_path: Path, monkeypatch) -> None:
    ready = threading.Event()

    def slow(context) -> list[ToyGpuMeter]:
        ready.wait(10)
        return TOY_GPU.open(context)

    (tmp_path / "toy").write_text("here")
    monkeypatch.setattr(meters, "METERS", (TOY, replace(TOY_GPU, open=slow), *ROWS))
    monkeypatch.setattr("carbon_core.hardware.discover.GPU_WAIT_S", 0.05)
    tracker = Rooted(tmp_path)
    with tracker:
        assert eventually(lambda: tracker.report().window.component_j("cpu") > 0)
        assert tracker.report().window.component_j("gpu") == 0
        ready.set()
        assert eventually(lambda: tracker.report().window.component_j("gpu") > 0)
    report = tracker.final_report
    assert report is not None
    # Extrapolated to the start of the run.
    ratio = report.window.component_j("gpu") / report.window.component_j("cpu")
    assert ratio == pytest.approx(3.0, rel=0.2)
    assert report.host.gpu_models
