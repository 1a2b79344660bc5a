"""The idle draw: kept per host, and never in the way when it is absent or torn."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.lab import LabTracker

from carbon_core.hardware.base import Detection
from carbon_core.hardware.idle import as_json, idle_file, read_idle
from carbon_core.records import HostFacts
from carbon_core.report import Report
from carbon_core.testing import FakeClock, FakeMeter, fake_device


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "idle.json"
    path.write_text(as_json({"cpu:package-0": 31.5, "gpu:GPU-1": 0.0}, 60, "2026-01-01"))
    assert read_idle(path) == {"cpu:package-0": 31.5, "gpu:GPU-1": 0.0}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"idle_w": 5}', '{"idle_w": {"a": "x", "b": -1}}', "\0"]
)
def test_a_torn_or_foreign_file_is_no_baseline(tmp_path: Path, content: str) -> None:
    (tmp_path / "idle.json").write_text(content)
    assert read_idle(tmp_path / "idle.json") == {}


def test_an_absent_file_is_no_baseline(tmp_path: Path) -> None:
    assert read_idle(tmp_path / "away" / "idle.json") == {}


def test_each_host_has_a_file_of_its_own_within_the_home(tmp_path: Path) -> None:
    path = idle_file(tmp_path)
    assert path.parent == tmp_path / ".config" / "carbon-callbacks"
    assert path.name.startswith("idle-")


def report_with(idle_w: dict[str, float]) -> Report:
    clock = FakeClock()
    meters = [
        FakeMeter(clock, lambda t_s: 100.0 * t_s, fake_device("cpu")),
        FakeMeter(clock, lambda t_s: 20.0 * t_s, fake_device("gpu")),
    ]
    tracker = LabTracker(clock, lambda: meters)
    parts = tracker.make_parts("run")
    detection = Detection(tuple(meters), host=HostFacts(idle_w=idle_w))
    tracker._parts = {"detect": lambda: detection, "facts": parts.facts}
    tracker.start()
    assert tracker._run is not None
    assert tracker._run._sampler.started.wait(5)
    clock.advance(36)
    tracker.stop()
    assert tracker.final_report is not None
    return tracker.final_report


def test_net_is_what_was_drawn_above_idle_and_no_device_is_negative() -> None:
    report = report_with({"cpu:fake": 40.0, "gpu:fake": 50.0})
    assert report.net_kwh == pytest.approx((100 - 40) * 36 / 3.6e6)
    assert report.hardware_kwh == pytest.approx((100 + 20) * 36 / 3.6e6)
    assert "above idle" in report.summary()


def test_a_device_without_a_baseline_counts_whole() -> None:
    assert report_with({"cpu:fake": 40.0}).net_kwh == pytest.approx((60 + 20) * 36 / 3.6e6)


def test_without_a_baseline_nothing_is_said_of_net() -> None:
    report = report_with({})
    assert report.net_kwh is None
    assert "above idle" not in report.summary()
