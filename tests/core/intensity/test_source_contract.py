"""What holds for every row of the table of intensity sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from carbon_core.assemble.grid import live_source, marginal_source, source_of, source_problems
from carbon_core.clock import SystemClock
from carbon_core.config.resolve import resolve
from carbon_core.config.schema import Settings
from carbon_core.errors import ConfigError, IntensityError
from carbon_core.intensity.location import Place
from carbon_core.intensity.source_table import (
    MARGINAL_SOURCES,
    SOURCES,
    Source,
    SourceArguments,
    source_named,
)
from carbon_core.testing import FakeFetch

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
ROWS: dict[str, Source[Any]] = {**SOURCES, **MARGINAL_SOURCES}
# What no service means: each source must refuse it, whatever its own format.
INVALID = [None, [], {}, "text", 7, {"data": [1]}, IntensityError("HTTP status 500")]


@dataclass(frozen=True)
class Case:
    """What one service needs and answers.

    Attributes:
        settings: All that the row needs.
        answers: The answers to the first request of a value, 100 g/kWh, in their order.
        history: Those to a request of an hour from noon; for a marginal source, the same.
        place: Where it is requested for.
    """

    settings: dict[str, str]
    answers: tuple[Any, ...]
    history: tuple[Any, ...]
    place: Place = field(default_factory=Place)


def of_maps() -> Case:
    value = {"zone": "FR", "carbonIntensity": 100, "datetime": "2026-01-01T12:00:00.000Z"}
    token = {"electricitymaps_api_token": "sesame"}
    return Case(token, (value,), ({"history": [value]},), Place(country="FRA"))


def of_britain() -> Case:
    half = {"from": "2026-01-01T12:00Z", "intensity": {"actual": 100}}
    return Case({}, ({"data": [half]},), ({"data": [half]},))


def of_denmark() -> Case:
    record = {"Minutes5UTC": "2026-01-01T12:00:00", "PriceArea": "DK1", "CO2Emission": 100}
    answer = {"records": [record]}
    return Case({}, (answer,), (answer,), Place(country="DNK", region="DK1"))


def of_watttime() -> Case:
    account = {
        "watttime_username": "ada",
        "watttime_password": "sesame",
        "watttime_region": "CAISO_NORTH",
    }
    values = {"data": [{"value": 100 / 0.45359237}], "meta": {"units": "lbs_co2_per_mwh"}}
    answers = ({"token": "t0ken"}, values)
    return Case(account, answers, answers)


# A new row of source_table.py gets a case here; tests/packaging/test_part_tables.py looks for it.
CASES = {
    "electricitymaps": of_maps(),
    "gb_carbon_intensity": of_britain(),
    "energi_data_service": of_denmark(),
    "watttime": of_watttime(),
}
every_row = pytest.mark.parametrize("name", ROWS)
with_needs = pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.needs])
with_secret = pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.secret])
average = pytest.mark.parametrize("name", SOURCES)


def made(name: str, fetch: FakeFetch, url: str = "https://service.example") -> Any:
    row, case = ROWS[name], CASES[name]
    zone, coordinates = row.zone_of(case.place), case.place.coordinates
    return row.make(SourceArguments(fetch, url, zone, coordinates, case.settings))


def settings_of(
    directory: Path,
    arguments: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    return resolve(
        arguments, environ=environ or {}, home=directory / "home", directory=directory
    ).settings


def selected(name: str) -> dict[str, str]:
    return {"intensity_source": name} if name in SOURCES else {}


def value_of(name: str, source: Any) -> Any:
    return source.latest() if name in SOURCES else source.marginal(NOON, NOON + HOUR)


# --- values --------------------------------------------------------------------------------------


@every_row
def test_a_value_has_its_place_and_its_source(name: str) -> None:
    source = made(name, FakeFetch(*CASES[name].answers))
    found = value_of(name, source)
    assert found.g_per_kwh == pytest.approx(100.0)
    assert found.place
    assert found.source == source.name == ROWS[name].title


@average
def test_a_value_is_live_and_has_its_time(name: str) -> None:
    found = made(name, FakeFetch(*CASES[name].answers)).latest()
    assert (found.kind, found.scope in ("direct", "lifecycle")) == ("live", True)
    assert (found.time or "").startswith("2026-01-01T12:00")
    assert found.sigma_ln > 0


@average
def test_the_values_of_a_span_have_their_times(name: str) -> None:
    found = made(name, FakeFetch(*CASES[name].history)).between(NOON, NOON + HOUR)
    assert [one.g_per_kwh for one in found] == [100.0]
    assert all((one.time or "").startswith("2026-01-01T12:00") for one in found)


@every_row
@pytest.mark.parametrize("answer", INVALID, ids=repr)
def test_an_invalid_answer_raises_an_intensity_error(name: str, answer: Any) -> None:
    with pytest.raises(IntensityError) as caught:
        value_of(name, made(name, FakeFetch(answer)))
    assert "sesame" not in str(caught.value)
    if name in SOURCES:
        with pytest.raises(IntensityError):
            made(name, FakeFetch(answer)).between(NOON, NOON + HOUR)


# --- settings ------------------------------------------------------------------------------------


@average
def test_it_is_requested_at_its_own_address_or_the_one_that_is_set(
    name: str, tmp_path: Path
) -> None:
    for given, expected in (
        ({}, ROWS[name].url),
        ({ROWS[name].url_key: "https://mine"}, "https://m"),
    ):
        settings = settings_of(tmp_path, {**selected(name), **CASES[name].settings, **given})
        fetch = FakeFetch(*CASES[name].answers)
        source_of(settings, fetch, CASES[name].place).latest()
        assert fetch.requests[0][0].startswith(expected)


@every_row
def test_with_all_that_it_needs_it_is_made_without_a_warning(name: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, {**selected(name), **CASES[name].settings})
    assert source_problems(settings) == []
    make = live_source if name in SOURCES else marginal_source
    assert make(settings, SystemClock(), CASES[name].place) is not None


@with_needs
def test_without_something_that_it_needs_it_is_not_made_and_the_setting_is_named(
    name: str, tmp_path: Path
) -> None:
    for key in ROWS[name].needs:
        rest = {**CASES[name].settings, key: None}
        settings = settings_of(tmp_path, {**selected(name), **rest})
        (problem,) = source_problems(settings)
        assert key in problem
        if name in SOURCES:
            assert live_source(settings, SystemClock(), CASES[name].place) is None
            with pytest.raises(ConfigError, match=key):
                source_of(settings, FakeFetch(None), CASES[name].place)
        assert marginal_source(settings, SystemClock(), CASES[name].place) is None


@with_needs
def test_an_automatic_source_is_selected_by_what_it_needs(name: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, CASES[name].settings)
    make = live_source if name in SOURCES else marginal_source
    made_by_itself = make(settings, SystemClock(), CASES[name].place) is not None
    assert made_by_itself == ROWS[name].automatic


@with_secret
@pytest.mark.parametrize("url", ["http://elsewhere.example", "http://10.0.0.1:80/v3"])
def test_a_secret_is_not_sent_in_the_clear(name: str, url: str, tmp_path: Path) -> None:
    row, case = ROWS[name], CASES[name]
    settings = settings_of(tmp_path, {**selected(name), **case.settings, row.url_key: url})
    assert_kept(name, settings, f"{row.url_key} must be https: a secret is sent to it")
    fetch = FakeFetch(*case.answers)
    with pytest.raises(IntensityError, match="must be https"):
        value_of(name, made(name, fetch, url))
    assert fetch.requests == []


@with_secret
def test_a_secret_is_not_sent_to_an_address_from_a_source_that_is_trusted_less(
    name: str, tmp_path: Path
) -> None:
    row = ROWS[name]
    file = tmp_path / ".codecarbon.config"
    file.write_text(f"[codecarbon]\n{row.url_key} = https://elsewhere.example\n")
    environ = {f"CODECARBON_{key.upper()}": value for key, value in CASES[name].settings.items()}
    settings = settings_of(tmp_path, selected(name), environ=environ)
    assert_kept(name, settings, f"{row.secret} is not sent to the address in {row.url_key}")


def assert_kept(name: str, settings: Settings, reason: str) -> None:
    (problem,) = source_problems(settings)
    assert reason in problem
    assert "sesame" not in problem
    assert live_source(settings, SystemClock(), CASES[name].place) is None
    assert marginal_source(settings, SystemClock(), CASES[name].place) is None
    if name in SOURCES:
        with pytest.raises(ConfigError, match=r"must be https|is not sent"):
            source_of(settings, FakeFetch(None), CASES[name].place)


# --- names ---------------------------------------------------------------------------------------


def test_an_unknown_source_raises_and_the_known_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(tmp_path, {"intensity_source": "oracle"})
    assert all(name in str(caught.value) for name in SOURCES)
    with pytest.raises(ConfigError) as caught:
        source_named("oracle")
    assert all(name in str(caught.value) for name in SOURCES)


def test_a_name_that_is_in_no_row_never_becomes_another_source() -> None:
    # Once, any name without a branch of its own meant Electricity Maps, with an empty token.
    for settings in (Settings(intensity_source="oracle"), Settings()):
        fetch = FakeFetch({"zone": "FR", "carbonIntensity": 100})
        with pytest.raises(ConfigError, match="known are electricitymaps"):
            source_of(settings, fetch, Place(country="FRA"))
        assert fetch.requests == []


def test_a_row_cannot_be_made_without_its_function() -> None:
    with pytest.raises(TypeError, match="make"):
        Source(  # type: ignore[call-arg]
            "oracle", "Oracle", zone_of=lambda place: None, url="", coverage="", terms=""
        )


def test_another_source_keeps_quiet_about_a_token_that_it_does_not_use(tmp_path: Path) -> None:
    arguments = {
        "intensity_source": "gb_carbon_intensity",
        "electricitymaps_api_token": "sesame",
        "electricitymaps_url": "http://elsewhere.example",
    }
    assert source_problems(settings_of(tmp_path, arguments)) == []
