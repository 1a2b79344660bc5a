"""The result under CodeCarbon's names: where the machine is, and what is not known."""

from __future__ import annotations

import copy
import csv
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, astuple, fields, replace
from pathlib import Path
from typing import Any

import pytest

from carbon_core import OfflineEmissionsTracker
from carbon_core.outputs.card_entry import card_entry
from carbon_core.outputs.emissions_data import COLUMNS, emissions_data
from carbon_core.records import HostFacts, Intensity, IntensityShare
from carbon_core.report import Report

MakeReport = Callable[..., Report]
PLACE = ("country_name", "country_iso_code", "region", "cloud_provider", "cloud_region", "on_cloud")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measured(**settings: Any) -> tuple[Any, dict[str, str]]:
    """Return the result of a run, and its row in the file."""
    with OfflineEmissionsTracker(log_level="error", **settings) as tracker:
        pass
    with Path("emissions.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert tuple(row) == COLUMNS
    return tracker.final_emissions_data, row


@pytest.mark.parametrize(
    ("settings", "written", "intensity_place"),
    [
        ({}, (None, None, None, "", "", "N"), "world"),
        (
            {"country_iso_code": "USA", "region": "California"},
            ("United States", "USA", "california", "", "", "N"),
            "California",
        ),
        (
            {"country_iso_code": "CAN", "region": "Québec"},
            ("Canada", "CAN", "québec", "", "", "N"),
            "Québec (CA-QC)",
        ),
        (
            {"country_iso_code": "FRA", "force_carbon_intensity_g_co2e_kwh": 100},
            ("France", "FRA", None, "", "", "N"),
            "as set",
        ),
        (
            {"electricitymaps_zone": "DK-DK1"},
            ("Denmark", "DNK", None, "", "", "N"),
            "West Denmark (DK-DK1)",
        ),
        (
            {"cloud_provider": "gcp", "cloud_region": "us-east1"},
            ("United States", "USA", "South Carolina", "gcp", "us-east1", "Y"),
            "South Carolina Public Service Authority (US-CAR-SC)",
        ),
        (
            {"country_iso_code": "FRA", "cloud_provider": "other", "cloud_region": "x-1"},
            ("France", "FRA", None, "other", "x-1", "Y"),
            "France",
        ),
    ],
    ids=str,
)
def test_the_country_is_a_country_and_the_grid_has_a_field_of_its_own(
    settings: dict[str, Any], written: tuple[str | None, ...], intensity_place: str
) -> None:
    data, row = measured(**settings)
    assert tuple(getattr(data, name) for name in PLACE) == written
    assert tuple(row[name] for name in PLACE) == tuple(cell or "" for cell in written)
    assert data.intensity_place == intensity_place
    assert "intensity_place" not in data.values


def test_a_country_that_is_guessed_is_named_and_the_place_of_the_intensity_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    data, row = measured()
    assert (row["country_name"], row["country_iso_code"]) == ("France", "FRA")
    assert data.intensity_place == "France (guessed)"


def test_without_a_gpu_its_utilisation_is_0_and_the_receipt_has_none(
    make_report: MakeReport,
) -> None:
    report = replace(make_report(), host=HostFacts())
    assert emissions_data(report).gpu_utilization_percent == 0.0
    assert report.utilization.gpu_percent is None


def test_a_gpu_of_unknown_utilisation_has_none(make_report: MakeReport) -> None:
    data = emissions_data(make_report())
    assert data.gpu_count > 0
    assert data.gpu_utilization_percent is None


def test_as_json_it_is_the_38_columns_sorted(make_report: MakeReport) -> None:
    data = emissions_data(make_report())
    text = data.toJSON()
    assert json.loads(text) == data.values
    assert list(json.loads(text)) == sorted(COLUMNS)
    assert text.startswith('{\n    "cloud_provider": "",\n')


@pytest.mark.parametrize(
    ("kind", "location"),
    [("annual", "Québec (CA-QC)"), ("user", "Canada"), ("world", None)],
)
def test_a_model_card_names_the_place_of_the_grid(
    make_report: MakeReport, kind: Any, location: str | None
) -> None:
    quebec = Intensity(30.0, "Québec (CA-QC)", "EM", kind, "lifecycle", 0.2)
    report = replace(
        make_report(country_name="Canada"), intensities=(IntensityShare(quebec, 1.0, 1.0),)
    )
    assert card_entry(report).get("geographical_location") == location


def test_a_result_has_codecarbons_38_fields_and_no_more(make_report: MakeReport) -> None:
    data = emissions_data(make_report())
    names = [field.name for field in fields(data)]
    assert len(names) == len(astuple(data)) == 38
    assert list(asdict(data)) == list(data.__dict__) == list(data.values) == names
    assert json.loads(json.dumps(data.__dict__)) == json.loads(data.toJSON())


def test_what_is_beside_the_fields_is_kept_by_copies(make_report: MakeReport) -> None:
    data = emissions_data(make_report())
    assert data.provenance is not None
    for other in (copy.copy(data), copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert other == data
        assert other.intensity_place == data.intensity_place != ""
        assert other.provenance == data.provenance
    assert replace(data, emissions=1.0).intensity_place == ""


def test_an_earlier_result_can_be_subtracted(make_report: MakeReport) -> None:
    total = emissions_data(make_report())
    earlier = replace(total, duration=total.duration / 4, emissions=total.emissions / 2)
    delta = replace(total)
    delta.compute_delta_emission(earlier)
    assert delta.duration == pytest.approx(total.duration * 3 / 4)
    assert delta.emissions == pytest.approx(total.emissions / 2)
    assert delta.emissions_rate == pytest.approx(delta.emissions / delta.duration)
    assert (delta.cpu_energy, delta.energy_consumed, delta.water_consumed) == (0, 0, 0)
    assert delta.cpu_power == total.cpu_power
    delta.compute_delta_emission(delta)
    assert (delta.duration, delta.emissions_rate) == (0, 0)


def test_coordinates_that_are_set_are_in_the_row_to_a_tenth() -> None:
    data, row = measured(latitude=48.8566, longitude=-2.3522)
    assert (data.latitude, data.longitude) == (48.9, -2.4)
    assert (row["latitude"], row["longitude"]) == ("48.9", "-2.4")


def test_half_of_a_place_is_none() -> None:
    data, row = measured(latitude=48.8566)
    assert (data.latitude, data.longitude) == (None, None)
    assert row["latitude"] == ""
