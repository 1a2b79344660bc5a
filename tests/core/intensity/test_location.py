"""From what the user said to an intensity; a place is never invented."""

from __future__ import annotations

import pytest

from carbon_core.intensity import tables
from carbon_core.intensity.location import Located, Place, locate


def test_nothing_said_is_the_world_average() -> None:
    assert locate(Place()) == Located(tables.world())
    assert locate(Place()).intensity.kind == "world"


@pytest.mark.parametrize("code", ["FRA", "FR", "fr"])
def test_a_country_by_either_code(code: str) -> None:
    found = locate(Place(country=code.upper()))
    assert (found.intensity.place, found.problem) == ("France", "")


def test_the_users_own_value_beats_any_place() -> None:
    found = locate(Place("FRA", "nowhere", 0.0)).intensity
    assert (found.g_per_kwh, found.kind, found.sigma_ln) == (0.0, "user", 0.0)
    assert found.scope is None


def test_a_region_beats_its_country() -> None:
    found = locate(Place("USA", "California"))
    assert (found.intensity.place, found.intensity.scope) == ("California", "direct")
    assert found.problem == ""


def test_a_two_letter_country_has_its_regions_too() -> None:
    assert locate(Place("CA", "quebec")).intensity.place == "Québec (CA-QC)"
    assert locate(Place("CA", "Québec", scope="direct")).intensity.place == "Quebec"


@pytest.mark.parametrize("code", ["XXX", "XX", "QQQ"])
def test_an_unknown_country_is_the_world_average_and_is_said(code: str) -> None:
    found = locate(Place(country=code))
    assert found.intensity == tables.world()
    assert found.problem.startswith(f"country_iso_code {code!r} is in no table")
    assert "the world average is used" in found.problem


def test_an_unknown_country_comes_with_suggestions() -> None:
    assert "did you mean" in locate(Place("FRE")).problem
    assert "FRA (France)" in locate(Place("FRE")).problem


def test_an_unknown_region_is_the_country_and_is_said() -> None:
    found = locate(Place("USA", "Californa"))
    assert found.intensity == tables.country("USA")
    assert found.problem.startswith(
        "region 'Californa' of USA is in no table: the country's average is used; "
        "did you mean US-CA (California)"
    )


def test_a_region_of_another_country_is_not_taken() -> None:
    found = locate(Place("FRA", "California"))
    assert found.intensity == tables.country("FRA")
    assert "'California' of FRA" in found.problem


def test_a_region_without_its_country_is_said() -> None:
    found = locate(Place(region="California"))
    assert found.intensity == tables.world()
    assert "country_iso_code" in found.problem


def test_three_letter_code_of_a_place() -> None:
    codes = [Place(code).iso3 for code in (None, "FR", "FRA", "XX", "XXX")]
    assert codes == [None, "FRA", "FRA", None, "XXX"]


def test_a_zone_beats_everything_but_the_users_own_value() -> None:
    found = locate(Place("FRA", "nowhere", zone="DK-DK1"))
    assert (found.intensity.place, found.problem) == ("West Denmark (DK-DK1)", "")
    assert locate(Place(zone="DK-DK1", own_g_per_kwh=5.0)).intensity.kind == "user"


@pytest.mark.parametrize(
    ("place", "iso3", "region", "cloud"),
    [
        (Place(), "", "", ("", "")),
        (Place("FRA"), "FRA", "", ("", "")),
        (Place("fr"), "FRA", "", ("", "")),
        (Place("USA", "California"), "USA", "california", ("", "")),
        (Place("CAN", "Québec"), "CAN", "québec", ("", "")),
        (Place("FRA", "Atlantis"), "FRA", "atlantis", ("", "")),
        (Place("XXX"), "XXX", "", ("", "")),
        (Place(zone="CA-QC"), "CAN", "", ("", "")),
        (Place(zone="us-cal-ciso", time_zone="Europe/Paris"), "USA", "", ("", "")),
        (Place("FRA", zone="DE"), "FRA", "", ("", "")),
        (Place(zone="nowhere", time_zone="Europe/Paris"), "FRA", "", ("", "")),
        (Place(own_g_per_kwh=5.0, time_zone="Europe/Paris"), "FRA", "", ("", "")),
        (Place(cloud_provider="aws", cloud_region="eu-west-3"), "FRA", "", ("aws", "eu-west-3")),
        (
            Place(cloud_provider="gcp", cloud_region="us-east1"),
            "USA",
            "South Carolina",
            ("gcp", "us-east1"),
        ),
        (
            Place(cloud_provider="Microsoft", cloud_region="West Europe"),
            "NLD",
            "",
            ("azure", "westeurope"),
        ),
        (
            Place("FRA", cloud_provider="aws", cloud_region="us-east-1"),
            "USA",
            "Virginia",
            ("aws", "us-east-1"),
        ),
        (
            Place("CAN", "Alberta", cloud_provider="aws", cloud_region="us-east-1"),
            "CAN",
            "alberta",
            ("aws", "us-east-1"),
        ),
        (
            Place("FRA", "Atlantis", cloud_provider="aws", cloud_region="us-east-1"),
            "USA",
            "Virginia",
            ("aws", "us-east-1"),
        ),
        (
            Place("FRA", cloud_provider="other", cloud_region="x-1"),
            "FRA",
            "",
            ("other", "x-1"),
        ),
        (Place("FRA", cloud_provider="aws"), "FRA", "", ("aws", "")),
    ],
)
def test_what_the_results_say_about_a_place(
    place: Place, iso3: str, region: str, cloud: tuple[str, str]
) -> None:
    assert (place.likely_iso3, place.region_name, place.cloud_names) == (iso3, region, cloud)


def test_every_country_of_the_tables_has_a_name() -> None:
    for iso3, name in tables.known_countries().items():
        assert tables.country_name(iso3) == name
    assert [tables.country_name(code) for code in ("", "XXX", "WORLD", "EU27")] == [""] * 4


def test_a_zone_without_an_average_is_said_and_the_country_counts() -> None:
    found = locate(Place("FRA", zone="FR-XYZ"))
    assert found.intensity == tables.country("FRA")
    assert found.problem == "electricitymaps_zone 'FR-XYZ' has no annual average"


@pytest.mark.parametrize(
    ("place", "year", "problem"),
    [
        (Place("FRA", year=2019), 2019, ""),
        (Place("FRA", year=2001), 2025, "no figure of 2001 for France: that of 2025 is used"),
        (Place(zone="FR", year=2022), 2022, ""),
        (Place("CAN", "Quebec", year=2023), 2023, ""),
        (
            Place(zone="FR", year=2010),
            2025,
            "no figure of 2010 for France (FR): that of 2025 is used",
        ),
    ],
)
def test_a_year_that_was_asked_for(place: Place, year: int, problem: str) -> None:
    found = locate(place)
    assert (found.intensity.year, found.problem) == (year, problem)


def test_direct_emissions_of_a_country_are_not_known_and_it_is_said() -> None:
    found = locate(Place("FRA", scope="direct"))
    assert found.intensity.scope == "lifecycle"
    assert found.problem == "no figure of direct emissions for France: life-cycle ones are used"


@pytest.mark.parametrize(
    "place", [Place(), Place("FRA"), Place("USA", "Texas"), Place(zone="FR"), Place("MCO")]
)
def test_every_figure_names_its_licence_and_accounting(place: Place) -> None:
    found = locate(place).intensity
    assert found.licence
    assert found.accounting in ("production", "consumption")


def test_a_chinese_cloud_region_has_the_direct_figure_of_its_province() -> None:
    place = Place(cloud_provider="aws", cloud_region="cn-northwest-1", scope="direct")
    found = locate(place)
    assert (found.intensity.place, found.intensity.g_per_kwh) == ("Ningxia", 642.3)
    assert (found.problem, place.region_name) == ("", "Ningxia")
