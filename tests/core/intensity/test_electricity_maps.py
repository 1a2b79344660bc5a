"""Electricity Maps: what is asked, what is believed, and what is said when it is not."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from carbon_core.errors import IntensityError
from carbon_core.intensity.electricity_maps import ElectricityMaps
from carbon_core.intensity.location import Place
from carbon_core.records import Intensity
from carbon_core.testing import FakeFetch

URL = "https://api.electricitymaps.com/v3"
TOKEN = "hunter2"
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
ANSWER = {
    "zone": "FR",
    "carbonIntensity": 52,
    "datetime": "2026-01-01T12:00:00.000Z",
    "emissionFactorType": "lifecycle",
    "isEstimated": False,
}


def latest(answer: Any, *, url: str = URL) -> Intensity:
    return ElectricityMaps(FakeFetch(answer), url, TOKEN, "FR").latest()


def refusal(answer: Any, **more: Any) -> str:
    with pytest.raises(IntensityError) as caught:
        latest(answer, **more)
    assert TOKEN not in repr(caught.value)
    return str(caught.value)


def test_a_good_answer() -> None:
    assert latest(ANSWER) == Intensity(
        52.0,
        place="FR",
        source="Electricity Maps",
        kind="live",
        scope="lifecycle",
        sigma_ln=0.05,
        time="2026-01-01T12:00:00.000Z",
    )
    assert isinstance(latest(ANSWER).g_per_kwh, float)


def test_an_estimated_value_is_less_certain_and_says_so() -> None:
    found = latest({**ANSWER, "isEstimated": True})
    assert (found.sigma_ln, found.note) == (0.12, "estimated by the source")


def test_direct_emissions_are_called_direct() -> None:
    assert latest({**ANSWER, "emissionFactorType": "direct"}).scope == "direct"


def test_a_bare_answer_is_enough() -> None:
    found = latest({"carbonIntensity": 52.5})
    assert (found.g_per_kwh, found.time, found.note) == (52.5, None, "")


@pytest.mark.parametrize("value", [0, 0.0, 3000])
def test_the_bounds_are_believed(value: float) -> None:
    assert latest({**ANSWER, "carbonIntensity": value}).g_per_kwh == value


@pytest.mark.parametrize(
    "value",
    [
        *(None, "52", "", True, False, [52], {}),
        *(-1, -0.1, 3000.1, math.nan, math.inf, -math.inf, 10**400),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_intensity_is_refused(value: Any) -> None:
    assert "carbonIntensity of FR" in refusal({**ANSWER, "carbonIntensity": value})


@pytest.mark.parametrize("answer", [None, [], [ANSWER], "text", 52, True, {}])
def test_what_is_no_answer_is_refused(answer: Any) -> None:
    assert refusal(answer).startswith("Electricity Maps: ")


def test_the_value_of_another_zone_is_refused() -> None:
    assert refusal({**ANSWER, "zone": "CA-QC"}) == "Electricity Maps: requested FR, got 'CA-QC'"


def test_a_refusal_is_short_however_long_the_answer() -> None:
    assert len(refusal({**ANSWER, "carbonIntensity": "x" * 10_000})) < 250
    assert len(refusal({**ANSWER, "zone": "x" * 10_000})) < 250


@pytest.mark.parametrize("time", [None, 5, "x" * 1_000, ["2026"]])
def test_an_odd_time_does_no_harm(time: Any) -> None:
    found = latest({**ANSWER, "datetime": time})
    assert found.g_per_kwh == 52.0
    assert len(found.time or "") <= 40


def test_the_token_goes_into_its_header_and_nowhere_else() -> None:
    fetch = FakeFetch(ANSWER)
    ElectricityMaps(fetch, f"{URL}/", TOKEN, "FR").latest()
    [(url, params, headers)] = fetch.requests
    assert url == "https://api.electricitymaps.com/v3/carbon-intensity/latest"
    assert params == {"zone": "FR"}
    assert headers == {"auth-token": TOKEN}


def test_without_a_place_nothing_is_asked() -> None:
    fetch = FakeFetch(ANSWER)
    with pytest.raises(IntensityError, match="country_iso_code or electricitymaps_zone"):
        ElectricityMaps(fetch, URL, TOKEN, None).latest()
    assert fetch.requests == []


@pytest.mark.parametrize(
    "url", ["http://api.electricitymaps.com", "http://localhost.example", "HTTP://10.0.0.1"]
)
def test_no_token_is_sent_without_encryption(url: str) -> None:
    fetch = FakeFetch(ANSWER)
    with pytest.raises(IntensityError, match="electricitymaps_url must be https"):
        ElectricityMaps(fetch, url, TOKEN, "FR").latest()
    assert fetch.requests == []


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:80", "https://host"]
)
def test_this_machine_may_be_asked_without_encryption(url: str) -> None:
    assert latest(ANSWER, url=url).g_per_kwh == 52.0


def test_an_address_without_scheme_is_https() -> None:
    fetch = FakeFetch(ANSWER)
    ElectricityMaps(fetch, "maps.example/v3", TOKEN, "FR").latest()
    assert fetch.requests[0][0] == "https://maps.example/v3/carbon-intensity/latest"


def test_an_address_that_is_none_is_refused_in_words() -> None:
    assert refusal(ANSWER, url="https://[x")


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "check electricitymaps_api_token"),
        (403, "check that the plan"),
        (404, "check electricitymaps_zone"),
        (429, "request less often"),
        (500, None),
    ],
)
def test_a_failure_keeps_its_words_and_gains_a_remedy(status: int, remedy: str | None) -> None:
    text = refusal(IntensityError(f"https://host: HTTP status {status}"))
    assert text.startswith(f"https://host: HTTP status {status}")
    assert (remedy in text) if remedy else text.endswith("500")


def test_the_hours_of_the_last_day_are_asked_at_once() -> None:
    hours = [{**ANSWER, "datetime": f"2026-01-01T{hour:02}:00:00.000Z"} for hour in (10, 11)]
    fetch = FakeFetch({"zone": "FR", "history": hours})
    found = ElectricityMaps(fetch, URL, TOKEN, "FR").between(NOON - DAY, NOON)
    assert fetch.requests[0][0].endswith("/v3/carbon-intensity/history")
    assert [(one.g_per_kwh, one.time) for one in found] == [
        (52.0, "2026-01-01T10:00:00.000Z"),
        (52.0, "2026-01-01T11:00:00.000Z"),
    ]


@pytest.mark.parametrize("answer", [None, [], {}, {"history": None}, {"history": [1]}])
def test_a_history_that_is_none_is_refused(answer: Any) -> None:
    with pytest.raises(IntensityError, match="no list of objects in 'history'"):
        ElectricityMaps(FakeFetch(answer), URL, TOKEN, "FR").between(NOON - DAY, NOON)


def test_coordinates_are_asked_for_to_a_tenth_of_a_degree_where_no_zone_is_known() -> None:
    fetch = FakeFetch({**ANSWER, "zone": "CA-QC"})
    place = (45.50884, -73.58781)
    found = ElectricityMaps(fetch, URL, TOKEN, None, place).latest()
    assert fetch.requests[0][1] == {"lat": "45.5", "lon": "-73.6"}
    assert found.place == "CA-QC"
    zone = FakeFetch(ANSWER)
    ElectricityMaps(zone, URL, TOKEN, "FR", place).latest()
    assert zone.requests[0][1] == {"zone": "FR"}


def test_coordinates_outweigh_a_country_that_is_only_guessed() -> None:
    guess = Place(time_zone="Europe/Paris", coordinates=(45.5, -73.6))
    assert guess.live_zone is None
    assert Place(country="FRA", coordinates=(45.5, -73.6)).live_zone == "FR"
