"""Files and objects of CodeCarbon's, with this project's beside them."""
# ruff: noqa: E402 - without CodeCarbon, nothing below can be imported

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from carbon_callbacks import EmissionsTracker

codecarbon = pytest.importorskip("codecarbon", reason="installed by `nox -s compat`")
if codecarbon.__version__ != "3.3.2":
    pytest.skip("compared with 3.3.2", allow_module_level=True)

import pandas as pd
from codecarbon.output_methods.boamps.mapper import map_emissions_to_boamps
from codecarbon.output_methods.emissions_data import EmissionsData as TheirData
from codecarbon.output_methods.file import FileOutput
from codecarbon.output_methods.logger import LoggerOutput

THEIR_COLUMNS = [field.name for field in dataclasses.fields(TheirData)]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(**settings: Any) -> EmissionsTracker:
    with EmissionsTracker(log_level="error", **settings) as tracker:
        pass
    return tracker


def theirs(run_id: str, **cells: Any) -> TheirData:
    """Return a row as CodeCarbon makes it."""
    numbers = dict.fromkeys(THEIR_COLUMNS, 1.0)
    texts = {"timestamp": "2026-01-01T10:00:00", "project_name": "theirs", "run_id": run_id}
    return TheirData(**{**numbers, **texts, **cells})


def test_a_row_is_appended_to_a_file_that_codecarbon_wrote_and_the_other_way_round() -> None:
    writer = FileOutput("emissions.csv", ".")
    writer.out(theirs("their-first"), None)
    mine = run(project_name="mine")
    writer.out(theirs("their-second"), None)
    frame = pd.read_csv("emissions.csv")
    assert list(frame.run_id) == ["their-first", mine.run_id, "their-second"]
    assert list(frame.columns) == THEIR_COLUMNS
    total = mine.final_emissions_data
    assert frame.energy_consumed[1] == pytest.approx(total.energy_consumed)
    assert frame.project_name[1] == "mine"
    assert not list(Path().glob("*.bak"))


def test_codecarbon_updates_its_own_row_beside_ours() -> None:
    mine = run()
    writer = FileOutput("emissions.csv", ".", "update")
    for energy in (1.0, 2.0):
        writer.out(theirs("their-id", energy_consumed=energy), None)
    frame = pd.read_csv("emissions.csv")
    assert dict(zip(frame.run_id, frame.energy_consumed)) == {
        mine.run_id: pytest.approx(mine.final_emissions_data.energy_consumed),
        "their-id": 2.0,
    }


def test_codecarbon_s_own_outputs_are_taken(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("theirs")
    with caplog.at_level(logging.INFO, "theirs"):
        tracker = run(
            save_to_logger=True,
            logging_logger=LoggerOutput(logger),
            output_handlers=[FileOutput("by_their_code.csv", ".")],
        )
    (line,) = [record.message for record in caplog.records if record.name == "theirs"]
    assert json.loads(line)["run_id"] == tracker.run_id
    frame = pd.read_csv("by_their_code.csv")
    assert list(frame.run_id) == [tracker.run_id]


def test_the_file_of_tasks_is_read_as_theirs_is() -> None:
    with EmissionsTracker(log_level="error", experiment_name="mine") as tracker:
        for name in ("load", "=fit"):
            tracker.start_task(name)
            tracker.stop_task(name)
    frame = pd.read_csv(f"emissions_mine_{tracker.run_id}.csv")
    assert list(frame.task_name) == ["load", "'=fit"]
    assert set(frame.columns) == {*THEIR_COLUMNS, "task_name"} - {"experiment_id", "pue", "wue"}


def test_a_boamps_report_has_the_keys_of_theirs() -> None:
    task = {
        "taskStage": "training",
        "taskFamily": "regression",
        "algorithms": [{"algorithmName": "cnn"}],
        "dataset": [{"dataUsage": "input", "dataType": "image"}],
    }
    tracker = run(output_methods="csv,boamps", country_iso_code="FRA", metadata={"task": task})
    mine = json.loads(Path(f"boamps_report_{tracker.run_id}.json").read_text())
    known = theirs("id", gpu_count=0, cpu_count=4, on_cloud="N", latitude=None, longitude=None)
    reference = map_emissions_to_boamps(known).to_dict()
    # Theirs has no task, which the format requires, and no intensity of the place.
    assert mine.keys() - {"quality"} == reference.keys() | {"task"}
    for block in ("header", "system", "software"):
        assert mine[block].keys() == reference[block].keys()
    place = reference["environment"].keys() | {"powerSourceCarbonIntensity"}
    assert mine["environment"].keys() == place
    assert mine["measures"][0].keys() <= reference["measures"][0].keys()
    parts = {key for part in reference["infrastructure"]["components"] for key in part}
    assert all(part.keys() <= parts for part in mine["infrastructure"]["components"])
