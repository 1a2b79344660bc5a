"""Results of both packages side by side: the same settings, the same calls of a handler."""
# ruff: noqa: E402 - without CodeCarbon, nothing below can be imported

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

import carbon_callbacks

codecarbon = pytest.importorskip("codecarbon", reason="installed by `nox -s compat`")
if codecarbon.__version__ != "3.3.2":
    pytest.skip("compared with 3.3.2", allow_module_level=True)

import pandas as pd
from codecarbon.output_methods.base_output import BaseOutput

BOTH = (codecarbon, carbon_callbacks)
PLACE = ["country_name", "country_iso_code", "region", "cloud_provider", "cloud_region", "on_cloud"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(package: Any, **settings: Any) -> Any:
    tracker = package.OfflineEmissionsTracker(log_level="critical", **settings)
    tracker.start()
    tracker.stop()
    return tracker


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"country_iso_code": "FRA"},
        {"country_iso_code": "USA", "region": "California"},
        {"country_iso_code": "CAN", "region": "Québec"},
        {"country_iso_code": "USA", "force_carbon_intensity_g_co2e_kwh": 100},
        {"cloud_provider": "gcp", "cloud_region": "europe-west1"},
        {"country_iso_code": "FRA", "cloud_provider": "aws", "cloud_region": "eu-west-3"},
        {"country_iso_code": "FRA", "cloud_provider": "other", "cloud_region": "x-1"},
        {"country_iso_code": "FRA", "cloud_provider": "aws"},
        {"country_iso_code": "FRA", "experiment_id": "test"},
    ],
    ids=str,
)
def test_the_place_is_written_as_codecarbon_writes_it(settings: dict[str, Any]) -> None:
    names = [*PLACE, "gpu_count"]
    names += ["experiment_id"] if "experiment_id" in settings else []
    for package in BOTH:
        run(package, **settings)
    theirs, ours = pd.read_csv("emissions.csv")[names].astype(object).itertuples(index=False)
    # `repr`, for an empty cell is NaN in both.
    assert repr(tuple(ours)) == repr(tuple(theirs))


def test_the_name_of_a_state_is_that_of_the_cloud_region() -> None:
    for package in BOTH:
        run(package, cloud_provider="gcp", cloud_region="us-east1")
    frame = pd.read_csv("emissions.csv")
    assert list(frame.region) == ["South Carolina"] * 2
    assert list(frame.country_iso_code) == ["USA"] * 2


def test_without_a_gpu_both_write_0() -> None:
    for package in BOTH:
        run(package, country_iso_code="FRA")
    frame = pd.read_csv("emissions.csv")
    without = frame[frame.gpu_count == 0]
    assert list(without.gpu_utilization_percent) == [0.0] * len(without)


def test_as_json_a_result_has_the_layout_of_theirs() -> None:
    texts = [run(one, country_iso_code="FRA").final_emissions_data.toJSON() for one in BOTH]
    theirs, ours = (json.loads(text) for text in texts)
    assert list(ours) == list(theirs)
    for name in ("country_name", "country_iso_code", "region", "on_cloud", "pue", "gpu_count"):
        assert ours[name] == theirs[name], name
    keys = [[line.partition(":")[0] for line in text.splitlines()] for text in texts]
    assert keys[0] == keys[1]


def test_the_hardware_has_the_keys_of_theirs() -> None:
    theirs, ours = (
        one.OfflineEmissionsTracker(
            country_iso_code="FRA", log_level="critical"
        ).get_detected_hardware()
        for one in BOTH
    )
    assert list(ours) == list(theirs)
    for name in ("ram_total_size", "cpu_count", "cpu_physical_count", "gpu_count", "gpu_ids"):
        assert ours[name] == theirs[name], name


class Recording(BaseOutput):  # type: ignore[misc]
    """A handler that notes how it is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.deltas: list[float] = []

    def out(self, total: Any, delta: Any) -> None:
        self.calls.append("out")
        self.deltas.append(delta.duration)

    def live_out(self, total: Any, delta: Any) -> None:
        self.calls.append("live_out")
        self.deltas.append(delta.duration)

    def task_out(self, data: Any, experiment_name: str, *_: Any) -> None:
        self.calls.append(f"task_out {[task.task_name for task in data]} {experiment_name}")

    def exit(self) -> None:
        self.calls.append("exit")


# Where a flush or a task comes in between, CodeCarbon counts its reading, too; this package does not.
@pytest.mark.parametrize(
    ("work", "interval"),
    [
        ("nothing", 2),
        ("nothing", 3),
        ("nothing", -1),
        ("flushes", 8),
        ("flushes", -1),
        ("tasks", 8),
    ],
)
def test_a_handler_is_called_as_codecarbon_calls_it(work: str, interval: int) -> None:
    heard = []
    for package in BOTH:
        handler = Recording()
        tracker = package.OfflineEmissionsTracker(
            country_iso_code="FRA",
            output_handlers=[handler],
            save_to_file=False,
            measure_power_secs=999,
            api_call_interval=interval,
            log_level="critical",
        )
        tracker.start()
        if work == "flushes":
            tracker.flush()
            tracker.flush()
        elif work == "tasks":
            tracker.start_task("load")
            tracker.stop_task()
        time.sleep(0.1)  # CodeCarbon takes no reading at the stop within 50 ms of the last
        tracker.stop()
        heard.append(handler)
    theirs, ours = heard
    assert ours.calls == theirs.calls
    assert sum(ours.deltas) == pytest.approx(tracker.final_emissions_data.duration)
    assert min(ours.deltas) >= 0


MEMBERS = [
    "_total_energy.kWh", "_total_cpu_energy.kWh", "_total_gpu_energy.kWh", "_total_ram_energy.kWh",
    "_total_emissions", "_total_water.litres", "_cpu_power.W", "_gpu_power.kW", "_ram_power.W",
    "final_emissions_data.emissions", "final_emissions_data.values", "final_emissions_data.__dict__",
]  # fmt: skip


@pytest.mark.parametrize("path", MEMBERS)
def test_members_that_programs_read_have_the_same_types(path: str) -> None:
    found = [run(package, country_iso_code="FRA", save_to_file=False) for package in BOTH]
    for name in path.split("."):
        found = [getattr(one, name) for one in found]
    theirs, ours = found
    assert isinstance(theirs, type(ours))


def test_results_have_the_same_fields_and_detected_hardware_the_same_keys() -> None:
    theirs, ours = [run(package, country_iso_code="FRA", save_to_file=False) for package in BOTH]
    data = [one.final_emissions_data for one in (theirs, ours)]
    assert len({tuple(dataclasses.asdict(one)) for one in data}) == 1
    assert len({tuple(json.loads(json.dumps(one.__dict__, default=str))) for one in data}) == 1
    assert set(theirs.get_detected_hardware()) <= set(ours.get_detected_hardware())
    public = {n for n in dir(data[0]) if not n.startswith("_")}
    assert public <= set(dir(data[1]))
    assert {n for n in dir(theirs) if not n.startswith("_")} - set(dir(ours)) <= {
        "country_2letter_iso_code",
        "force_carbon_intensity_g_co2e_kwh",
        "service_shutdown",
    }


def test_a_difference_is_computed_alike() -> None:
    for package in BOTH:
        total = run(package, country_iso_code="FRA", save_to_file=False).final_emissions_data
        part = dataclasses.replace(total, duration=total.duration / 2)
        delta = dataclasses.replace(total)
        delta.compute_delta_emission(part)
        assert delta.duration == pytest.approx(total.duration / 2)
        assert (delta.emissions, delta.energy_consumed) == (0, 0)
