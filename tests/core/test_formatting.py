"""Figures as people read them: a unit that suits, three digits, no exponent, the reader's time zone."""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta, timezone

import pytest

import carbon_core
from carbon_core import (
    duration,
    emissions,
    emissions_range,
    energy,
    energy_interval,
    energy_range,
    formatted,
    local_time,
    power,
)
from carbon_core.records import Estimate

FORMATTERS = (energy, emissions, power, duration, formatted)


@pytest.mark.parametrize(
    ("kwh", "text"),
    [
        (0, "0 Wh"),
        (2.26e-6, "2.26 mWh"),
        (1e-9, "1.00 µWh"),
        (1e-12, "0.00100 µWh"),
        (1e-15, "less than 0.001 µWh"),
        (-1e-15, "more than -0.001 µWh"),
        (0.0123, "12.3 Wh"),
        (0.0009996, "1.00 Wh"),
        (0.9994, "999 Wh"),
        (0.9996, "1.00 kWh"),
        (999.6, "1.00 MWh"),
        (-0.0123, "-12.3 Wh"),
        (-0.9996, "-1.00 kWh"),
        (123_456.0, "123 MWh"),
        (1.23456e9, "1230000 MWh"),
        (math.nan, "unknown"),
        (None, "unknown"),
        (math.inf, "unknown"),
        (-math.inf, "unknown"),
    ],
)
def test_an_energy_has_the_unit_that_suits_it(kwh: float | None, text: str) -> None:
    assert energy(kwh) == text


def test_a_figure_that_no_file_has_may_have_more_digits() -> None:
    assert energy(2.2612345e-6, 6) == "2.26123 mWh"
    assert emissions(0.99999996, 6) == "1.00000 kg CO2e"


@pytest.mark.parametrize(
    ("kg", "text"),
    [
        (0, "0 g CO2e"),
        (0.00456, "4.56 g CO2e"),
        (1e-6, "1.00 mg CO2e"),
        (1e-9, "0.00100 mg CO2e"),
        (0.0009996, "1.00 g CO2e"),
        (26.984, "27.0 kg CO2e"),
        (999.6, "1.00 t CO2e"),
        (-5.0, "-5.00 kg CO2e"),
        (None, "unknown"),
    ],
)
def test_emissions_have_the_unit_that_suits_them(kg: float | None, text: str) -> None:
    assert emissions(kg) == text


@pytest.mark.parametrize(
    ("w", "text"),
    [(0, "0 W"), (0.25, "250 mW"), (250, "250 W"), (999.6, "1.00 kW"), (2.5e7, "25.0 MW")],
)
def test_a_power_has_the_unit_that_suits_it(w: float, text: str) -> None:
    assert power(w) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.32, "320 ms"),
        (0.9996, "1.00 s"),
        (1e-12, "less than 0.001 ms"),
        (16.24, "16.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (65, "1 min 5 s"),
        (3599.6, "1 h"),
        (3900, "1 h 5 min"),
        (7199, "2 h"),
        (100 * 3600, "100 h"),
        (359_990, "100 h"),
        (1e7, "2780 h"),
        (-65, "-1 min 5 s"),
        (math.inf, "unknown"),
        (None, "unknown"),
    ],
)
def test_a_duration_is_read_as_it_is_said(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("formatter", FORMATTERS)
@pytest.mark.parametrize("exponent", range(-300, 301, 7))
def test_no_figure_has_an_exponent(formatter, exponent: int) -> None:
    for value in (1.0, 9.996, -2.26):
        text = formatter(value * 10.0**exponent).removesuffix("CO2e")
        assert "e+" not in text
        assert "e-" not in text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.00009, 0.00149, "0.09 to 1.49 g CO2e"),
        (0.0000123, 0.00149, "0.012 to 1.49 g CO2e"),
        (0.000567, 0.0123, "0.57 to 12.3 g CO2e"),
        (1e-9, 0.00149, "0 to 1.49 g CO2e"),
        (0.1, 123.0, "0.1 to 123 kg CO2e"),
        (0.9, 0.9996, "0.90 to 1.00 kg CO2e"),
        (0.0, 0.00149, "0 to 1.49 g CO2e"),
        (-0.005, 0.003, "-5.00 to 3.00 g CO2e"),
        (0.002, 0.002, "2.00 g CO2e"),
        (0.002, math.inf, "2.00 g CO2e or more"),
        (-math.inf, 0.002, "2.00 g CO2e or less"),
        (-math.inf, math.inf, "unknown"),
        (math.nan, 0.002, "unknown"),
        (None, 0.002, "unknown"),
        (0.0, 0.0, "0 g CO2e"),
    ],
)
def test_a_range_has_one_unit(low: float | None, high: float | None, text: str) -> None:
    assert emissions_range(low, high) == text


@pytest.mark.parametrize("low", [1.0, 1.04, 2.0, 3.04, 9.96, 10.0, 0.5, 0.04])
def test_no_end_of_a_range_has_a_point_without_decimals(low: float) -> None:
    assert all(not end.endswith(".") for end in energy_range(low, 190.0).split())


def test_a_range_of_energies_has_the_unit_of_its_larger_end() -> None:
    assert energy_range(0.2, 1.2) == "0.20 to 1.20 kWh"
    assert energy_range(-1.2, 0.2) == "-1.20 to 0.20 kWh"


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.000366, 0.00009, 0.00149), "0.366 Wh (0.09 to 1.49)"),
        (Estimate(4.0, 4.0, 4.0), "4.00 kWh"),
        (Estimate(0.0, 0.0, 0.0), "0 Wh"),
        (Estimate(math.nan, 1.0, 2.0), "unknown"),
        (Estimate(2.0, 1.0, math.inf), "2.00 kWh"),
    ],
)
def test_an_interval_has_the_unit_of_its_figure(estimate: Estimate, text: str) -> None:
    assert energy_interval(estimate) == text


@pytest.fixture
def reader_in(monkeypatch: pytest.MonkeyPatch):
    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-11-28 20:50 CET"),
        ("UTC", "2026-11-28 19:50 UTC"),
        ("<-03>3", "2026-11-28 16:50 UTC-03"),
        ("<+0545>-5:45", "2026-11-29 01:35 UTC+0545"),
    ],
)
def test_an_instant_is_read_in_the_readers_zone(reader_in, zone: str, text: str) -> None:
    reader_in(zone)
    instant = datetime(2026, 11, 28, 19, 50, 59, tzinfo=timezone.utc)
    assert local_time(instant) == text
    assert local_time(instant.astimezone(timezone(timedelta(hours=9)))) == text
    assert local_time("2026-11-28T19:50:59.123Z") == text
    assert local_time("2026-11-28T19:50:59") == text


def test_the_zone_is_that_of_the_instants_season(reader_in) -> None:
    reader_in("CET-1CEST,M3.5.0,M10.5.0/3")
    assert local_time("2026-07-01T10:00:00+00:00") == "2026-07-01 12:00 CEST"


@pytest.mark.parametrize("text", ["", "yesterday", "9999-12-31T23:59:59Z", None])
def test_no_instant_is_unknown(text: str | None) -> None:
    assert local_time(text) == "unknown"


def test_the_facade_has_the_formatters() -> None:
    names = {"energy", "emissions", "duration", "power", "energy_range", "emissions_range"}
    assert names | {"local_time"} <= set(carbon_core.__all__)
