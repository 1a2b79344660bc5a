"""What no meter has read is unknown in every output: absent, empty or null, and never 0."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from core.outputs.conftest import report_of
from faults.lab import LabTracker, said, steady

from carbon_core import card_entry
from carbon_core.data import text
from carbon_core.messages import Messages
from carbon_core.outputs import receipt
from carbon_core.outputs.boamps import boamps_report
from carbon_core.outputs.codecarbon_api import CodeCarbonApi
from carbon_core.outputs.csv_rows import as_cells
from carbon_core.outputs.emissions_data import delta_data, emissions_data
from carbon_core.outputs.open_telemetry import _emissions, _energies, _powers
from carbon_core.records import Energy, Snapshot
from carbon_core.report import Report
from carbon_core.testing import FakeClock, FakeMeter, fake_device
from carbon_core.tracker import run_lines

NOTHING = Energy(0.0, 0.0, 7200.0)
MEASURED = ("emissions", "emissions_rate", "energy_consumed", "water_consumed", "cpu_energy")


def with_energies(*energies: Energy) -> Report:
    whole = report_of()
    end = whole.window.end
    return replace(whole, window=Snapshot(end.t_ns, end.devices, energies) - Snapshot(0))


@pytest.fixture
def unknown() -> Report:
    """A run of two hours with three devices, of which none gave a reading."""
    return with_energies(NOTHING, NOTHING, NOTHING)


@pytest.fixture
def partial() -> Report:
    """A run whose GPU was found and never read."""
    return with_energies(Energy(3.6e6), NOTHING, Energy(0.36e6))


def receipt_of(report: Report) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(receipt.receipt(report), default=str))
    jsonschema.Draft202012Validator(json.loads(text("receipt.schema.json"))).validate(data)
    return data


def test_the_receipt_of_an_unknown_energy_has_no_figure(unknown: Report) -> None:
    data = receipt_of(unknown)
    assert data["is_known"] is False
    for name in ("energy_kwh", "emissions_kg"):
        assert set(data[name].values()) == {None}
    for name in ("hardware_energy_kwh", "net_energy_kwh", "power_w", "water_l"):
        assert data[name] is None, name
    assert set(data["training"].values()) == {None}
    assert all(one["energy_kwh"] is None for one in data["components"].values())
    assert all(one["power_w"] is None for one in data["components"].values())
    assert all(one["energy_kwh"] is None for one in data["intensities"])
    assert all(one["energy_kwh"] is one["joules"] is None for one in data["phases"])
    assert data["hours"] == []
    assert data["not_measured"] == ["package-0", "A100", "64 GiB"]


def test_the_receipt_of_a_part_that_was_not_read_lacks_only_that(partial: Report) -> None:
    data = receipt_of(partial)
    assert data["is_known"] is True
    assert data["energy_kwh"]["value"] > 0
    assert data["not_measured"] == ["A100"]
    assert data["components"]["gpu"]["energy_kwh"] is None
    assert data["components"]["cpu"]["energy_kwh"] > 0


def test_the_summary_of_an_unknown_energy_has_no_figure(unknown: Report, partial: Report) -> None:
    for shown in (unknown.summary(), str(unknown._repr_html_())):
        assert "kWh" not in shown
        assert "energy unknown" in shown
    assert "not measured: A100" in partial.summary()
    assert "not measured" in str(partial._repr_html_())
    assert "not measured" not in report_of().summary()


def test_codecarbons_columns_are_none_where_unknown(unknown: Report, partial: Report) -> None:
    data = emissions_data(unknown)
    assert all(getattr(data, name) is None for name in MEASURED)
    assert all(getattr(delta_data(data, unknown.amounts), name) is None for name in MEASURED)
    assert as_cells(data)[4:7] == [repr(7200.0), "", ""]
    assert '"emissions": null' in data.toJSON()
    part = emissions_data(partial)
    assert (part.gpu_energy, part.gpu_power) == (None, None)
    assert part.cpu_energy
    later = replace(data)
    later.compute_delta_emission(data)
    assert later.emissions is None
    assert emissions_data(report_of()).gpu_energy


def test_services_get_no_unknown_figure(unknown: Report, partial: Report) -> None:
    for figures in (_energies, _powers, _emissions):
        assert list(figures(unknown)) == []
    assert [about["hw.type"] for _, about in _energies(partial)] == ["cpu", "memory"]
    sent: list[Any] = []

    def send(method: str, url: str, body: bytes, headers: object) -> bytes:
        sent.append(url)
        return b'{"id": "7"}'

    api = CodeCarbonApi("http://localhost", "experiment", "key", send)
    api.open(unknown)
    api.close(unknown, unknown.amounts)
    assert [url for url in sent if url.endswith("emissions")] == []


def test_prometheus_gets_no_unknown_figure(unknown: Report, partial: Report) -> None:
    pytest.importorskip("prometheus_client")
    from carbon_core.outputs.prometheus import text_of

    assert b"codecarbon_duration" in text_of(unknown)
    for name in (b"energy", b"emissions", b"power"):
        assert name not in text_of(unknown), name
    assert b"gpu_energy" not in text_of(partial)
    assert b"codecarbon_cpu_energy" in text_of(partial)


def test_reports_for_others_have_no_unknown_figure(unknown: Report) -> None:
    assert "powerConsumption" not in boamps_report(unknown, {})["measures"][0]
    assert "powerConsumption" in boamps_report(report_of(), {})["measures"][0]
    assert card_entry(unknown) == {}


def test_metrics_have_no_unknown_figure(unknown: Report, partial: Report) -> None:
    assert unknown.metrics == {}
    assert "gpu_energy_kwh" not in partial.metrics
    assert partial.metrics["cpu_energy_kwh"] > 0


# --- trackers ---------------------------------------------------------------------------------------


def tracker_of(value: Callable[[float], float | None], **parts: Any) -> LabTracker:
    clock = FakeClock()
    meter = FakeMeter(clock, value, fake_device("cpu"))
    return LabTracker(clock, lambda: [meter], start_patience_s=10.0, **parts)


def test_a_window_before_the_first_reading_is_unknown_and_the_run_includes_it() -> None:
    clock, found = FakeClock(), threading.Event()

    def detect() -> list[FakeMeter]:
        found.wait(20)
        return [steady(clock, 100.0)]

    tracker = LabTracker(clock, detect, start_patience_s=0.0)
    tracker.start()
    with tracker.window("data") as window:
        clock.advance(1.0)
    assert math.isnan(window.energy_kwh)
    assert math.isnan(window.emissions_kg)
    assert math.isnan(window.component_kwh("cpu"))
    found.set()
    assert tracker._run is not None
    assert tracker._run._sampler.started.wait(20)
    clock.advance(10.0)
    assert tracker.stop() == pytest.approx(1100.0 / 3.6e6, rel=0.01)
    assert not window.energy_kwh <= 0.0


def test_codecarbons_views_are_not_a_number_where_nothing_was_measured() -> None:
    tracker = tracker_of(lambda t_s: None)
    tracker.start()
    assert tracker._total_energy.kWh == 0.0
    tracker.clock.advance(5)
    assert tracker.stop() is None
    assert math.isnan(tracker._total_energy.kWh)
    assert math.isnan(tracker._total_cpu_energy.kWh)
    assert math.isnan(tracker._total_emissions)
    assert math.isnan(tracker._cpu_power.W)
    assert tracker.final_emissions_data is not None
    assert tracker.final_emissions_data.emissions is None


def test_folded_runs_of_unknown_energy_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "carbon_callbacks")
    for value in (lambda t_s: 100.0 * t_s, lambda t_s: None, lambda t_s: 100.0 * t_s):
        tracker = tracker_of(value)
        tracker.messages = Messages(20)
        tracker.start()
        tracker.clock.advance(5)
        tracker.stop()
    (line,) = run_lines.of_process().rest()
    assert "2 more runs" in line
    assert "; energy of 1 unknown in 10.0 s" in line


def test_results_that_are_lost_are_not_logged_as_zero(tmp_path: Path) -> None:
    tracker = tracker_of(lambda t_s: None)
    tracker.start()
    assert tracker._run is not None
    report = tracker._run.report()
    tracker._run._outputs.note_lost(report, "no space")
    assert any("energy unknown" in line for line in said(tracker))
    tracker.stop()


def test_an_energy_that_others_count_is_not_measured() -> None:
    """That of a rank whose devices another one counts: it has none of its own."""
    report = replace(report_of(), counted_elsewhere=True)
    report = replace(report, window=Snapshot(report.window.end.t_ns) - Snapshot(0))
    for shown in (report.summary(), repr(report), str(report._repr_html_())):
        assert "counted by other processes" in shown
        assert "measured;" not in shown
        assert "grades" not in shown
