"""Energy by the hour: whole, in order, and of the size of the hours however often it is looked at."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from faults.lab import lab
from hypothesis import given
from hypothesis import strategies as st

from carbon_core.hours import HourlyJoules
from carbon_core.records import Energy, Snapshot
from carbon_core.tracker.emissions import RunEmissions

START = datetime(2026, 3, 1, 10, 30, tzinfo=timezone.utc)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def told(hours: HourlyJoules, total_j: float) -> list[tuple[str, float, float]]:
    return [tuple(hour) for hour in hours.hours(total_j, lambda joules: joules / 10)]


def test_a_run_within_an_hour_is_one_entry() -> None:
    hours = HourlyJoules(START)
    for minute in range(29):
        hours.note(at(minute), minute * 6.0)
    assert told(hours, 170.0) == [("2026-03-01T10:00Z", 170.0, 17.0)]


def test_energy_between_two_looks_is_spread_over_the_hours_between() -> None:
    hours = HourlyJoules(START)
    hours.note(at(120), 1200.0)
    assert told(hours, 1200.0) == [
        ("2026-03-01T10:00Z", pytest.approx(300.0), pytest.approx(30.0)),
        ("2026-03-01T11:00Z", pytest.approx(600.0), pytest.approx(60.0)),
        ("2026-03-01T12:00Z", pytest.approx(300.0), pytest.approx(30.0)),
    ]


def test_a_wall_clock_set_back_or_far_ahead_makes_no_hours_up() -> None:
    hours = HourlyJoules(START)
    hours.note(at(-600), 100.0)
    hours.note(at(60 * 24 * 365), 200.0)
    assert told(hours, 200.0) == [
        ("2026-03-01T10:00Z", 100.0, 10.0),
        ("2027-03-01T10:00Z", 100.0, 10.0),
    ]


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 1e6)), max_size=20))
def test_the_hours_add_up_whatever_the_looks(steps: list[tuple[float, float]]) -> None:
    hours, minutes, joules = HourlyJoules(START), 0.0, 0.0
    for more_minutes, more_j in steps:
        minutes, joules = minutes + more_minutes, joules + more_j
        hours.note(at(minutes), joules)
    entries = hours.hours(joules, lambda j: 2 * j)
    assert sum(entry.joules for entry in entries) == pytest.approx(joules)
    assert sum(entry.grams for entry in entries) == pytest.approx(2 * joules)
    assert all(entry.joules >= -1e-6 for entry in entries)
    assert [entry.start for entry in entries] == sorted({entry.start for entry in entries})


def test_a_reading_that_is_noted_late_belongs_to_its_own_hour() -> None:
    tracker, clock = lab()
    emissions = RunEmissions(tracker.make_parts("a"), None, None, None)  # type: ignore[arg-type]
    begun = clock.now()
    clock.advance(3600.0)
    reading = Snapshot(clock.monotonic_ns(), (), (Energy(100.0),))
    clock.advance(1800.0)  # as on a busy machine, or one that was suspended
    emissions.note_hour(reading)
    emissions.note_hour(Snapshot(clock.monotonic_ns(), (), (Energy(150.0),)))
    spans = emissions.hours.spans(150.0)
    assert [(one.begin_j, one.end_j) for one in spans] == [(0.0, 100.0), (100.0, 150.0)]
    assert spans[0].start == begun.replace(minute=0, second=0, microsecond=0)
