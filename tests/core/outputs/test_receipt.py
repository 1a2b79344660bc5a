"""The receipt: JSON that explains a finished run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from carbon_core.input_files import InputFileError
from carbon_core.outputs import receipt, receipt_reading
from carbon_core.records import Snapshot
from carbon_core.report import Report

MakeReport = Callable[..., Report]


def written(report: Report, path: Path) -> dict:
    receipt.write(report, path)
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.receipt.json"


def test_totals_with_their_intervals(path: Path, make_report: MakeReport) -> None:
    report = make_report()
    found = written(report, path)
    assert found["schema_version"] == 1
    assert (found["status"], found["duration_s"]) == ("completed", 7_200.0)
    assert found["energy_kwh"] == {
        "value": report.energy_kwh.value,
        "low_95": report.energy_kwh.low,
        "high_95": report.energy_kwh.high,
    }
    assert found["emissions_kg"]["value"] == pytest.approx(0.525)
    assert found["power_w"] * found["duration_s"] == pytest.approx(
        found["energy_kwh"]["value"] * 3.6e6
    )
    assert found["intensity_g_per_kwh"] == pytest.approx(87.5)
    assert found["water_l"] == pytest.approx(8.0)


def test_methods_grades_and_what_is_missing(path: Path, make_report: MakeReport) -> None:
    found = written(make_report(), path)
    assert found["share_by_grade"] == pytest.approx({"A": 0.25, "B": 0.6, "E": 0.15})
    assert found["is_estimate"] is False
    assert found["missing_s"] == 12.5
    assert "not metered" in found["not_metered"]
    assert {name: part["methods"] for name, part in found["components"].items()} == {
        "cpu": ["rapl.package"],
        "gpu": ["nvml.power"],
        "ram": ["ram.model"],
    }
    energy_kwh = sum(part["energy_kwh"] for part in found["components"].values())
    assert energy_kwh == pytest.approx(found["energy_kwh"]["value"])


def test_each_device_with_its_joules(path: Path, make_report: MakeReport) -> None:
    [_, gpu, _] = written(make_report(), path)["devices"]
    assert gpu == {
        "id": "gpu:GPU-1",
        "name": "A100",
        "component": "gpu",
        "method": "nvml.power",
        "grade": "B",
        "least_share": 1.0,
        "note": "",
        "measured_j": pytest.approx(2.4 * 3.6e6),
        "extrapolated_j": pytest.approx(0.4 * 3.6e6),
        "missing_s": 12.5,
        "calibration": None,
        "extrapolated_sd_j": 0.0,
        "energy_kwh": pytest.approx(2.8 * 1.5),
        "energy_low_kwh": pytest.approx(2.8 * 1.5, rel=0.4),
        "energy_high_kwh": pytest.approx(2.8 * 1.5, rel=0.4),
    }


def test_intensities_with_place_source_and_share(path: Path, make_report: MakeReport) -> None:
    annual, live = written(make_report(), path)["intensities"]
    assert (annual["place"], annual["source"], annual["year"]) == ("France", "Ember", 2025)
    assert (live["kind"], live["scope"], live["time"]) == ("live", "direct", "2026-01-01T11:00:00Z")
    assert (annual["energy_kwh"], live["energy_kwh"]) == (1.0, 3.0)
    assert annual["emissions_kg"] + live["emissions_kg"] == pytest.approx(0.525)


def test_phases_machine_refusals_and_settings(path: Path, make_report: MakeReport) -> None:
    found = written(make_report(), path)
    [train, _] = found["phases"]
    assert (train["name"], train["count"], train["duration_s"]) == ("train", 3, 7_000.0)
    assert train["energy_kwh"] == pytest.approx(3.6 * 1.5)
    assert found["host"]["gpu_models"] == ["A100", "A100", "T4"]
    assert found["refused_meters"] == [
        {"meter": "rapl", "component": "cpu", "reason": "no zone", "remedy": "none"}
    ]
    assert found["run"]["settings"]["api_key"] == "(hidden)"
    assert found["run"]["origins"] == {"pue": "argument"}
    assert found["run"]["settings_not_used"] == ["save_to_api", "api_key"]
    assert found["utilization"]["gpu_percent"] is None


def test_a_run_of_nothing_has_no_figures(path: Path, make_report: MakeReport) -> None:
    nothing = replace(make_report(), window=Snapshot(0) - Snapshot(0), intensities=(), phases=())
    found = written(nothing, path)
    assert found["energy_kwh"] == {"value": None, "low_95": None, "high_95": None}
    assert found["power_w"] is None


def test_a_receipt_replaces_an_earlier_one_whole(path: Path, make_report: MakeReport) -> None:
    written(make_report(project_name="x" * 10_000), path)
    assert written(make_report(kwh=2.0), path)["energy_kwh"]["value"] == pytest.approx(3.0)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644


def test_odd_names_are_json_all_the_same(path: Path, make_report: MakeReport) -> None:
    name = 'a\nb\0c\ud800"\x1b[31m'
    assert written(make_report(project_name=name), path)["run"]["project_name"] == name


def test_samples_of_the_data_set_are_read_back(path: Path, make_report: MakeReport) -> None:
    report = make_report()
    assert written(report, path)["dataset_samples"] is None
    assert receipt_reading.read(path).dataset_samples is None
    assert written(replace(report, dataset_samples=1797.0), path)["dataset_samples"] == 1797.0
    assert receipt_reading.read(path).dataset_samples == 1797.0
    data = json.loads(path.read_text())
    del data["dataset_samples"]  # as older versions wrote it
    path.write_text(json.dumps(data))
    assert receipt_reading.read(path).dataset_samples is None


@pytest.mark.parametrize("samples", [-1, 1e16, "many", True])
def test_samples_that_cannot_be_are_refused(
    path: Path, make_report: MakeReport, samples: object
) -> None:
    data = {**written(make_report(), path), "dataset_samples": samples}
    path.write_text(json.dumps(data))
    with pytest.raises(InputFileError, match="dataset_samples"):
        receipt_reading.read(path)
