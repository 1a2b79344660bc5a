"""Live sources, whoever answers: age, patience, means of hours; and the two that need no token."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from carbon_core.errors import IntensityError
from carbon_core.intensity.electricity_maps import ElectricityMaps
from carbon_core.intensity.energi_data_service import EnergiDataService
from carbon_core.intensity.gb_carbon_intensity import GbCarbonIntensity
from carbon_core.intensity.live import BackoffSource, by_hour, checked_g_per_kwh
from carbon_core.records import Intensity
from carbon_core.testing import FakeClock, FakeFetch

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
ANSWER = {"zone": "FR", "carbonIntensity": 52, "datetime": "2026-01-01T12:00:00.000Z"}


def patient(*answers: Any, clock: FakeClock | None = None) -> tuple[BackoffSource, FakeFetch]:
    fetch = FakeFetch(*answers)
    return BackoffSource(
        ElectricityMaps(fetch, "https://host", "token", "FR"), clock or at(NOON)
    ), fetch


def at(now: datetime) -> FakeClock:
    clock = FakeClock()
    clock.step_wall_clock((now - clock.now()).total_seconds())
    return clock


def value(g_per_kwh: float, time: str | None, **more: Any) -> Intensity:
    return Intensity(g_per_kwh, "FR", "a test", "live", "lifecycle", 0.05, time=time, **more)


# --- age -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "note", "sigma_ln"),
    [(-1, "", 0.05), (2, "", 0.05), (5, "5 h old when requested", 0.12)],
)
def test_an_old_value_says_its_age(hours: float, note: str, sigma_ln: float) -> None:
    found = patient(ANSWER, clock=at(NOON + hours * HOUR))[0].latest()
    assert (found.note, found.sigma_ln) == (note, sigma_ln)
    assert (found.low_carbon_share is None) == (note == "")  # of other hours: it varies as they do


@pytest.mark.parametrize("time", ["2026-01-01T12:00:00.000Z", "2026-01-01T12:00:00"])
def test_a_value_of_another_day_is_refused(time: str) -> None:
    source, _ = patient({**ANSWER, "datetime": time}, clock=at(NOON + 36 * HOUR))
    with pytest.raises(IntensityError) as caught:
        source.latest()
    assert str(caught.value) == "Electricity Maps: the latest value of FR is too old"


@pytest.mark.parametrize("time", [None, "", "noon", 12])
def test_a_value_of_no_known_hour_is_taken_as_it_is(time: Any) -> None:
    assert patient({**ANSWER, "datetime": time})[0].latest().g_per_kwh == 52.0


# --- patience ------------------------------------------------------------------------------------


def test_a_service_that_asks_for_patience_is_left_alone_so_long() -> None:
    clock = at(NOON)
    source, fetch = patient(IntensityError("HTTP status 429", 600.0), ANSWER, clock=clock)
    with pytest.raises(IntensityError, match="request less often"):
        source.latest()
    clock.advance(599.0)
    for insist in (False, True):
        with pytest.raises(IntensityError, match="request less often"):
            source.latest(insist=insist)
    assert len(fetch.requests) == 1
    clock.advance(1.0)
    assert source.latest().g_per_kwh == 52.0


def test_a_service_that_fails_is_asked_ever_more_seldom_until_it_answers() -> None:
    clock = at(NOON)
    failures = [IntensityError("HTTP status 500")] * 12
    source, fetch = patient(*failures, ANSWER, clock=clock)
    asked_at: list[float] = []
    for second in range(10, 7_300, 10):
        clock.advance(10.0)
        before = len(fetch.requests)
        with contextlib.suppress(IntensityError):
            source.latest()
        if len(fetch.requests) > before:
            asked_at.append(second)
    rests = [later - earlier for earlier, later in pairwise(asked_at)]
    assert rests[:6] == [60, 120, 240, 480, 900, 900]
    assert source.held is None, "control: it never answered"
    assert source.latest(insist=True).g_per_kwh == 52.0


def test_one_answer_and_all_is_forgiven() -> None:
    clock = at(NOON)
    failure = IntensityError("HTTP status 500")
    source, fetch = patient(failure, failure, ANSWER, failure, ANSWER, clock=clock)
    for wait_s in (0.0, 60.0, 120.0, 0.0, 60.0):
        clock.advance(wait_s)
        try:
            source.latest()
        except IntensityError as error:
            assert "500" in str(error), "asked, not left alone"
    assert len(fetch.requests) == 5


def test_the_last_answer_holds_with_its_age_and_not_for_ever() -> None:
    clock = at(NOON)
    source, _ = patient(ANSWER, IntensityError("HTTP status 500"), clock=clock)
    assert source.held is None
    source.latest()
    clock.advance(5 * 3600.0)
    with pytest.raises(IntensityError):
        source.latest()
    assert source.held is not None
    assert source.held.note == "5 h old when requested"
    assert source.held.note == "5 h old when requested", "told once, however often it is asked"
    clock.advance(20 * 3600.0)
    assert source.held is None


# --- figures and hours ---------------------------------------------------------------------------


@pytest.mark.parametrize("told", [None, "52", True, [], float("nan"), float("inf"), -1, 3001])
def test_what_no_grid_can_have_is_refused_and_named(told: Any) -> None:
    with pytest.raises(IntensityError, match="the field"):
        checked_g_per_kwh(told, "the field")


def test_values_within_an_hour_are_averaged_and_those_of_no_hour_left_out() -> None:
    values = [
        value(100.0, "2026-01-01T12:00Z"),
        value(200.0, "2026-01-01T13:30:00+01:00", note="last"),
        value(7.0, "2026-01-01T13:00:00"),
        value(1000.0, None),
        value(1000.0, "noon"),
    ]
    hours = by_hour(values)
    assert {hour: one.g_per_kwh for hour, one in hours.items()} == {
        "2026-01-01T12:00Z": 150.0,
        "2026-01-01T13:00Z": 7.0,
    }
    assert hours["2026-01-01T12:00Z"].note == "last"
    assert hours["2026-01-01T12:00Z"].time == "2026-01-01T12:00Z"


# --- Great Britain -------------------------------------------------------------------------------


def half(hour: str, forecast: Any, actual: Any = None) -> dict[str, Any]:
    return {
        "from": f"2026-01-01T{hour}Z",
        "to": "later",
        "intensity": {"forecast": forecast, "actual": actual, "index": "moderate"},
    }


def regional(*halves: dict[str, Any]) -> dict[str, Any]:
    for one in halves:
        del one["intensity"]["actual"]
    return {"regionid": 16, "shortname": "Scotland", "data": list(halves)}


def test_great_britain_tells_what_was_measured() -> None:
    fetch = FakeFetch({"data": [half("12:00", 266, 263)]})
    found = GbCarbonIntensity(fetch, "https://gb.example/", None).latest()
    assert fetch.requests == [("https://gb.example/intensity", {}, {})]
    assert (found.g_per_kwh, found.place, found.scope) == (263.0, "Great Britain", "direct")
    assert (found.time, found.sigma_ln, found.note) == ("2026-01-01T12:00Z", 0.05, "CO2 only")
    assert (found.licence, found.accounting) == ("CC BY 4.0", "consumption")


def test_a_half_hour_that_goes_on_is_a_forecast_and_says_so() -> None:
    found = GbCarbonIntensity(FakeFetch({"data": [half("12:30", 266)]}), "u", "").latest()
    assert (found.g_per_kwh, found.sigma_ln, found.note) == (266.0, 0.12, "CO2 only, forecast")


@pytest.mark.parametrize("region", ["Scotland", " scotland", "16"])
def test_a_region_of_great_britain(region: str) -> None:
    fetch = FakeFetch({"data": [regional(half("12:00", 40))]})
    found = GbCarbonIntensity(fetch, "https://gb", region).latest()
    assert fetch.requests[0][0] == "https://gb/regional/regionid/16"
    assert found.g_per_kwh == 40.0
    assert found.place == f"Great Britain, {region.strip()}"


def test_a_span_of_great_britain_is_asked_in_weeks() -> None:
    fetch = FakeFetch({"data": [half("12:00", 1, 100)]}, {"data": [half("12:30", 1, 200)]})
    source = GbCarbonIntensity(fetch, "https://gb", "Kent")
    found = source.between(NOON, NOON + timedelta(days=10))
    assert [url for url, _, _ in fetch.requests] == [
        "https://gb/intensity/2026-01-01T12:00Z/2026-01-08T12:00Z",
        "https://gb/intensity/2026-01-08T12:00Z/2026-01-11T12:00Z",
    ]
    assert [one.g_per_kwh for one in found] == [100.0, 200.0]


def test_a_span_of_a_region_comes_as_one_object() -> None:
    fetch = FakeFetch({"data": regional(half("12:00", 40), half("12:30", 50))})
    found = GbCarbonIntensity(fetch, "https://gb", "wales").between(NOON, NOON + HOUR)
    span = "2026-01-01T12:00Z/2026-01-01T13:00Z"
    assert fetch.requests[0][0] == f"https://gb/regional/intensity/{span}/regionid/17"
    assert [one.g_per_kwh for one in found] == [40.0, 50.0]


@pytest.mark.parametrize(
    "answer",
    [None, [], {}, {"data": []}, {"data": [1]}, {"data": [{}]}, {"data": [{"data": 1}]}]
    + [{"data": [half("12:00", told)]} for told in (None, "266", -1, 9999)],
)
def test_what_great_britain_cannot_mean_is_refused(answer: Any) -> None:
    with pytest.raises(IntensityError, match="GB Carbon Intensity"):
        GbCarbonIntensity(FakeFetch(answer), "https://gb", None).latest()


# --- Denmark -------------------------------------------------------------------------------------


def record(minute: int, told: Any, area: str = "DK1") -> dict[str, Any]:
    return {
        "Minutes5UTC": f"2026-01-01T12:{minute:02}:00",
        "Minutes5DK": f"2026-01-01T13:{minute:02}:00",
        "PriceArea": area,
        "CO2Emission": told,
    }


@pytest.mark.parametrize("area", ["DK1", "dk1", "DK-DK1"])
def test_denmark_tells_the_last_five_minutes(area: str) -> None:
    fetch = FakeFetch({"total": 9, "records": [record(5, 66.4)]})
    found = EnergiDataService(fetch, "https://dk/", area).latest()
    [(url, params, headers)] = fetch.requests
    assert (url, headers) == ("https://dk/dataset/CO2Emis", {})
    assert json.loads(params["filter"]) == {"PriceArea": ["DK1"]}
    assert (params["limit"], params["sort"]) == ("1", "Minutes5UTC desc")
    assert (found.g_per_kwh, found.place, found.time) == (66.4, "DK1", "2026-01-01T12:05:00")


def test_a_span_of_denmark_is_asked_in_days() -> None:
    fetch = FakeFetch({"records": [record(0, 60)]}, {"records": [record(5, 70)]})
    found = EnergiDataService(fetch, "https://dk", "DK1").between(NOON, NOON + 30 * HOUR)
    spans = [(params["start"], params["end"]) for _, params, _ in fetch.requests]
    assert spans == [
        ("2026-01-01T12:00", "2026-01-02T12:00"),
        ("2026-01-02T12:00", "2026-01-02T18:00"),
    ]
    assert {params["timezone"] for _, params, _ in fetch.requests} == {"UTC"}
    assert [one.g_per_kwh for one in found] == [60.0, 70.0]


@pytest.mark.parametrize("area", [None, "", "Jutland", "DK3"])
def test_denmark_wants_to_know_which_area(area: str | None) -> None:
    fetch = FakeFetch({})
    with pytest.raises(IntensityError, match=r"set region to DK1 \(west\) or DK2 \(east\)"):
        EnergiDataService(fetch, "https://dk", area).latest()
    assert fetch.requests == []


@pytest.mark.parametrize(
    "answer",
    [None, [], {}, {"records": []}, {"records": [1]}, {"records": [record(5, 66, "DK2")]}]
    + [{"records": [record(5, told)]} for told in (None, "66", -1, 9999)],
)
def test_what_denmark_cannot_mean_is_refused(answer: Any) -> None:
    with pytest.raises(IntensityError, match="Energi Data Service"):
        EnergiDataService(FakeFetch(answer), "https://dk", "DK1").latest()
