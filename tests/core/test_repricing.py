"""Finished runs at other prices: through journal and receipt, to the gram."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from faults.lab import LabTracker, steady

from carbon_core import intensity_spread, repricing
from carbon_core.emissions_curve import EmissionsCurve
from carbon_core.errors import IntensityError, OutputError
from carbon_core.intensity import tables
from carbon_core.outputs import journal_reading, past_runs, receipt
from carbon_core.outputs.journal import Journal
from carbon_core.outputs.receipt_reading import of_report
from carbon_core.record import replace
from carbon_core.records import Intensity
from carbon_core.report import Report
from carbon_core.repricing import read_intensities, reprice
from carbon_core.testing import FakeClock
from carbon_core.uncertainty import Z_95

G_PER_KWH = 1000.0  # of the lab's place
HOUR_J = 100.0 * 3600


def sigma_of(figure: Intensity, duration_s: float, year: int | None = None) -> float:
    return math.hypot(*intensity_spread.spread(figure, duration_s, year))


@pytest.fixture
def report() -> Report:
    """Return a run of 100 W over three hours and a half, from 23:30 of the fake clock's day."""
    clock = FakeClock()
    tracker = LabTracker(clock, lambda: [steady(clock, 100.0)])
    tracker.start()
    tracker.flush()
    for _ in range(7):
        clock.advance(1800.0)
        tracker.flush()
    tracker.stop()
    assert tracker.final_report is not None
    return tracker.final_report


def finished(report: Report) -> repricing.Finished:
    return repricing.finished(of_report(report))


def same(g_per_kwh: float):
    return lambda hour: Intensity(g_per_kwh, "there", "a test", "user", None, 0.1)


def test_the_hours_of_a_run_add_up_to_it(report: Report) -> None:
    assert len(report.hours) in (4, 5)
    assert sum(hour.joules for hour in report.hours) == pytest.approx(report.window.joules)
    assert sum(hour.grams for hour in report.hours) == pytest.approx(
        report.emissions_kg.value * 1000
    )
    assert report.hours[1].joules == pytest.approx(HOUR_J)


@pytest.mark.parametrize("through", ["journal", "receipt"])
def test_the_original_price_gives_the_original_grams(
    report: Report, tmp_path: Path, through: str
) -> None:
    path = tmp_path / f"run.{through}.{'jsonl' if through == 'journal' else 'json'}"
    if through == "journal":
        kept = Journal(path, report)
        kept.append(report)
        kept.close()
    else:
        receipt.write(report, path)
    run = repricing.finished(past_runs.read(path))
    assert run.hours == tuple(
        hour._replace(joules=pytest.approx(hour.joules), grams=pytest.approx(hour.grams))
        for hour in report.hours
    )
    again = reprice(run, same(G_PER_KWH)).emissions_kg
    assert again.value == pytest.approx(report.emissions_kg.value, rel=1e-12)
    assert run.emissions_kg == pytest.approx(report.emissions_kg)


def test_hours_that_a_journal_told_before_are_kept(report: Report, tmp_path: Path) -> None:
    kept = Journal(tmp_path / "run.journal.jsonl", report)
    for _ in range(3):  # settled hours are told once
        kept.append(report)
    kept.close()
    assert journal_reading.read(tmp_path / "run.journal.jsonl").hours == report.hours
    last_line = (tmp_path / "run.journal.jsonl").read_text().splitlines()[-1]
    assert last_line.count("T") < 10


def test_another_price_changes_the_grams_by_its_ratio(report: Report) -> None:
    repriced = reprice(finished(report), same(G_PER_KWH / 4))
    assert repriced.emissions_kg.value == pytest.approx(report.emissions_kg.value / 4, rel=1e-12)
    wider = repriced.emissions_kg.high / repriced.emissions_kg.value
    assert wider > report.energy_kwh.high / report.energy_kwh.value


def test_the_interval_of_an_annual_average_is_that_of_the_length_of_the_run(report: Report) -> None:
    annual = tables.country("DEU")
    assert annual is not None
    run, year = finished(report), int(report.run.started_at[:4])
    assert run.duration_s == report.duration_s == 3.5 * 3600
    for duration_s in (3600.0, run.duration_s, 90 * 86_400.0):
        repriced = reprice(replace(run, duration_s=duration_s), lambda hour: annual)
        meters = math.log(run.energy_kwh.high / run.energy_kwh.value) / Z_95
        grid = sigma_of(annual, duration_s, year)
        found = math.log(repriced.emissions_kg.high / repriced.emissions_kg.value) / Z_95
        assert found == pytest.approx(math.hypot(meters, grid))
        assert repriced.intensities == (annual,)


def test_each_hour_gets_its_own_value(report: Report, tmp_path: Path) -> None:
    table = tmp_path / "grid.csv"
    starts = [hour.start for hour in report.hours]
    lines = [f"{start},{100 * (i + 1)}" for i, start in enumerate(starts)]
    table.write_text("datetime,g_per_kwh\n" + "\n".join(lines) + "\n")
    repriced = reprice(finished(report), read_intensities(table))
    expected = [hour.joules / 3.6e6 * 100 * (i + 1) for i, hour in enumerate(report.hours)]
    assert [hour.grams for hour in repriced.hours] == pytest.approx(expected, rel=1e-12)
    assert repriced.emissions_kg.value == pytest.approx(sum(expected) / 1000, rel=1e-12)


def test_two_spans_of_one_run_are_each_priced_by_their_own_value() -> None:
    def at(g_per_kwh: float) -> Intensity:
        return Intensity(g_per_kwh, "somewhere", "a test", "live", None, 0.0)

    curve = EmissionsCurve(at(0.0))
    curve.apply(3.6e6, at(100.0))
    curve.apply(7.2e6, at(400.0))
    assert curve.grams(3.6e6) == 100.0
    assert curve.grams(7.2e6) - curve.grams(3.6e6) == 400.0


def test_values_within_an_hour_are_averaged_and_zones_understood(tmp_path: Path) -> None:
    table = tmp_path / "grid.csv"
    rows = ["2026-01-01T00:00:00+01:00,100", "2025-12-31T23:30:00Z,200", "2026-01-01 00:10,50"]
    table.write_text("﻿datetime,g_per_kwh\n" + "\n".join(rows))
    intensity_of = read_intensities(table)
    assert intensity_of("2025-12-31T23:00Z").g_per_kwh == 150.0
    assert intensity_of("2026-01-01T00:00Z").g_per_kwh == 50.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("when,g_per_kwh\n", "has no column datetime"),
        ("datetime,g_per_kwh\nyesterday,5\n", "line 2: .*yesterday"),
        ("datetime,g_per_kwh\n2026-01-01T00:00Z,much\n", "line 2: .*much"),
        ("datetime,g_per_kwh\n2026-01-01T00:00Z,-1\n", "line 2: g_per_kwh must be from 0"),
        ("datetime,g_per_kwh\n2026-01-01T00:00Z,nan\n", "line 2: g_per_kwh must be from 0"),
        ("datetime,g_per_kwh\n2026-01-01T00:00Z\n", "line 2"),
        ("", "has no column"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path: Path, content: str, message: str) -> None:
    table = tmp_path / "grid.csv"
    table.write_text(content)
    with pytest.raises(IntensityError, match=message):
        read_intensities(table)


def test_an_hour_without_a_value_is_named(report: Report, tmp_path: Path) -> None:
    table = tmp_path / "grid.csv"
    table.write_text("datetime,g_per_kwh\n1999-01-01T00:00Z,5\n")
    with pytest.raises(IntensityError, match=f"no value for the hour {report.hours[0].start}"):
        reprice(finished(report), read_intensities(table))
    with pytest.raises(IntensityError, match="cannot be read"):
        read_intensities(tmp_path / "none.csv")


def test_a_run_that_was_stored_without_hours_is_priced_as_one(report: Report) -> None:
    from dataclasses import replace

    run = finished(replace(report, hours=()))
    assert len(run.hours) == 1
    repriced = reprice(run, same(2 * G_PER_KWH))
    assert repriced.emissions_kg.value == pytest.approx(2 * report.emissions_kg.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"hours": 3}', "\xff"])
def test_what_is_no_receipt_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "receipt.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(OutputError, match="is not a receipt of a run"):
        past_runs.read(path)
    with pytest.raises(OutputError, match="cannot be read"):
        past_runs.read(tmp_path / "none.json")
