"""The recipes of CONTRIBUTING.md, tried: one class and one row, and a tracker uses the new part."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from carbon_core import ConfigError, EmissionsTracker
from carbon_core.config.output_table import OUTPUTS, OutputSpec
from carbon_core.config.schema import KEYS
from carbon_core.intensity.source_table import SOURCES, Source
from carbon_core.records import Intensity


class ToySource:
    """A source of one grid with a constant intensity."""

    name = "Toy grid"

    def __init__(self, zone):
        self.zone = zone

    def latest(self):
        now = datetime.now(timezone.utc).isoformat()
        return Intensity(123.0, self.zone, self.name, "live", "lifecycle", 0.05, time=now)

    def between(self, start, end):
        return [replace(self.latest(), time=start.isoformat())]


class ToyOutput:
    """An output that keeps what it receives."""

    received = []  # noqa: RUF012 - what all of them received, for the test

    def open(self, report):
        self.received.append(("open", report.run.run_id))

    def update(self, report, delta):
        self.received.append(("update", report.run.run_id))

    def close(self, report, delta):
        self.received.append(("close", report.energy_kwh.value))


@pytest.fixture(autouse=True)
def _nobody_s_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ToyOutput.received.clear()


def receipt_of(directory, run_id):
    (path,) = directory.rglob(f"{run_id}.receipt.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_new_intensity_source_is_one_class_and_one_row(monkeypatch, tmp_path):
    row = Source(
        "toy",
        ToySource.name,
        lambda given: ToySource(given.zone),
        zone_of=lambda place: place.region or "anywhere",
        url="https://toy.example",
        coverage="everywhere",
        terms="CC0",
    )
    with monkeypatch.context() as patch:
        patch.setitem(SOURCES, row.name, row)
        assert KEYS["intensity_source"].kind.allowed.endswith(", toy")
        with EmissionsTracker(intensity_source="Toy", region="Lilliput", log_level="error") as run:
            sum(range(1000))
    receipt = receipt_of(tmp_path, run.run_id)
    (price,) = receipt["intensities"]
    assert (price["source"], price["place"], price["g_per_kwh"]) == ("Toy grid", "Lilliput", 123.0)
    assert receipt["run"]["settings"]["intensity_source"] == "toy"
    with pytest.raises(ConfigError, match="one of electricitymaps, gb_carbon_intensity"):
        EmissionsTracker(intensity_source="toy")


def test_a_new_output_is_one_class_and_one_row(monkeypatch, tmp_path):
    row = OutputSpec("toy", "Toy", lambda given: ToyOutput(), "local", method=True)
    with monkeypatch.context() as patch:
        patch.setitem(OUTPUTS, row.name, row)
        with EmissionsTracker(output_methods="csv, toy", log_level="error") as run:
            sum(range(1000))
    names = [name for name, _ in ToyOutput.received]
    assert (names[0], names[-1]) == ("open", "close")
    assert ToyOutput.received[-1][1] == run.final_report.energy_kwh.value
    assert "toy" in receipt_of(tmp_path, run.run_id)["run"]["settings"]["output_methods"]
    with pytest.raises(ConfigError, match="a list of csv, boamps"):
        EmissionsTracker(output_methods="csv, toy")
