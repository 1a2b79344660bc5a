"""``carbon-callbacks detect`` and ``doctor`` account for every meter of the table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

from carbon_callbacks.cli import detect
from carbon_core.hardware import meters


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a bare machine on which no GPU is visible."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    for name in meters.gpu_variables():
        monkeypatch.setenv(name, "")
    root = tmp_path / "root"
    root.mkdir()
    return root


def test_every_meter_is_used_refused_or_not_tried(machine: Path, capsys) -> None:
    detect.run(as_json=True, root=machine)
    data = json.loads(capsys.readouterr().out)
    methods = {device["method"]["name"] for device in data["devices"]}
    used = {row.name for row in meters.METERS if methods & {one.name for one in row.methods}}
    refused = {refusal["meter"] for refusal in data["refused_meters"]}
    assert used | refused | set(data["meters_not_tried"]) == {row.name for row in meters.METERS}


def test_the_lines_for_people_name_each_meter_that_is_not_used(machine: Path, capsys) -> None:
    detect.run(as_json=False, root=machine)
    shown = capsys.readouterr().out
    assert "not tried: apple (not on this machine), amdsmi (not on this machine), hwmon (" in shown
    assert "not used: rapl (cpu): " in shown
    assert "not used: nvml (gpu): " in shown


def test_the_remedy_shows_the_name_of_the_extra(machine: Path, capsys, monkeypatch) -> None:
    (machine / "sys/class/kfd").mkdir(parents=True)
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    detect.run(as_json=False, root=machine)
    shown = capsys.readouterr().out
    assert '  remedy: install it: `pip install "carbon-callbacks[amd]"`' in shown
