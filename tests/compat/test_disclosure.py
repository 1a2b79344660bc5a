"""A history that CodeCarbon itself wrote, as the only input of a disclosure."""
# ruff: noqa: E402 - without CodeCarbon, nothing below can be imported

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

codecarbon = pytest.importorskip("codecarbon", reason="installed by `nox -s compat`")
if codecarbon.__version__ != "3.3.2":
    pytest.skip("compared with 3.3.2", allow_module_level=True)

from codecarbon import OfflineEmissionsTracker
from codecarbon.output_methods.emissions_data import EmissionsData as TheirData

from carbon_callbacks.disclosure import Facts, collect, documents
from carbon_core.disclosure.from_files import COLUMNS


def test_a_run_of_codecarbon_fills_the_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for project in ("theirs", 'a "quoted", name'):
        tracker = OfflineEmissionsTracker(
            country_iso_code="FRA", project_name=project, log_level="error", force_cpu_power=50
        )
        tracker.start()
        sum(range(1_000_000))
        tracker.stop()
    runs = collect([tmp_path])
    assert {one.project for one in runs.activities} == {"theirs", 'a "quoted", name'}
    one = runs.activities[0]
    assert one.package_version == "CodeCarbon 3.3.2"
    assert one.places[0].country_iso_code == "FRA"
    assert one.hardware.cpu_count
    assert one.energy_kwh is not None
    assert one.energy_kwh.value > 0
    form = json.loads(documents("gpai", runs, Facts({"model_name": "a"}))["json"])
    assert form["energy_mwh"] == pytest.approx(
        sum(one.energy_kwh.value for one in runs.activities if one.energy_kwh) / 1000
    )
    assert "co2_eq_emissions" in documents("model-card", runs)["md"]


def test_each_column_that_is_read_is_one_of_theirs() -> None:
    assert set(COLUMNS) <= {field.name for field in dataclasses.fields(TheirData)}
