"""The country that a machine's time zone suggests: a guess, marked as one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from carbon_core.config.schema import Settings
from carbon_core.data import rows
from carbon_core.intensity import tables
from carbon_core.intensity.location import Place, locate
from carbon_core.intensity.time_zone import country_of, machine_time_zone


@pytest.mark.parametrize(
    ("time_zone", "iso2"),
    [
        ("Europe/Paris", "FR"),
        ("America/Los_Angeles", "US"),
        ("US/Pacific", "US"),
        ("Asia/Calcutta", "IN"),
        ("Asia/Kolkata", "IN"),
        ("America/Buenos_Aires", "AR"),
        ("Poland", "PL"),
        ("UTC", None),
        ("Etc/UTC", None),
        ("Etc/GMT+5", None),
        ("CET", None),
        ("EET", None),
        ("GMT", None),
        ("", None),
        ("../../etc/passwd", None),
    ],
)
def test_country_of_a_time_zone(time_zone: str, iso2: str | None) -> None:
    assert country_of(time_zone) == iso2


def test_every_time_zone_lies_in_a_known_country() -> None:
    known = list(rows("time_zone"))
    assert len(known) == len({row["time_zone"] for row in known}) > 400
    assert all(tables.iso3_of(row["iso2"]) for row in known)


def machine(root: Path, *, text: str | None = None, link: str | None = None) -> Path:
    (root / "etc").mkdir()
    if text is not None:
        (root / "etc/timezone").write_text(text)
    if link is not None:
        (root / "etc/localtime").symlink_to(link)
    return root


@pytest.mark.parametrize(
    ("variable", "text", "link", "time_zone"),
    [
        (None, None, None, None),
        (None, "Europe/Paris\n", None, "Europe/Paris"),
        (None, None, "/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        (None, None, "/var/db/timezone/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        (None, "", "../usr/share/zoneinfo/posix/Asia/Tokyo", "Asia/Tokyo"),
        ("America/Lima", "Europe/Paris\n", None, "America/Lima"),
        (":Europe/Oslo", None, None, "Europe/Oslo"),
        ("", "Europe/Paris\n", None, "Europe/Paris"),
    ],
)
def test_the_machines_time_zone(
    tmp_path: Path, variable: str | None, text: str | None, link: str | None, time_zone: str | None
) -> None:
    assert machine_time_zone(machine(tmp_path, text=text, link=link), variable) == time_zone


def test_a_guess_is_marked_and_less_certain() -> None:
    found = locate(Place(time_zone="Europe/Paris"))
    certain = locate(Place("FRA")).intensity
    assert found.intensity.g_per_kwh == certain.g_per_kwh
    assert found.intensity.place == "France (guessed)"
    assert found.intensity.note == "a guess from the time zone Europe/Paris"
    assert found.intensity.sigma_ln == pytest.approx(math.log(1.5))
    assert certain.sigma_ln < 0.3
    assert found.problem == ""


@pytest.mark.parametrize(
    "place",
    [
        Place("POL", time_zone="Europe/Paris"),
        Place("XXX", time_zone="Europe/Paris"),
        Place(cloud_provider="aws", cloud_region="us-east-1", time_zone="Europe/Paris"),
        Place(time_zone="UTC"),
    ],
)
def test_nothing_is_guessed_where_something_was_said_or_nothing_is_known(place: Place) -> None:
    assert "guess" not in locate(place).intensity.place


def test_a_live_source_is_asked_for_the_guessed_country() -> None:
    assert Place(time_zone="Europe/Paris").live_zone == "FR"
    assert Place(time_zone="UTC").live_zone is None


@pytest.mark.parametrize(
    ("geolocation", "place"),
    [("local", "Japan (guessed)"), ("off", "world"), ("cloud", "Japan (guessed)")],
)
def test_the_setting_decides_whether_to_guess(tmp_path: Path, geolocation: str, place: str) -> None:
    from carbon_core.assemble.grid import place_of

    settings = Settings(geolocation=geolocation)
    root = machine(tmp_path, text="Asia/Tokyo")
    located = locate(place_of(settings, {}, root))
    assert located.intensity.place == place
