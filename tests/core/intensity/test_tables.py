"""Annual intensities by place, against figures looked up in the publishers' tables."""

from __future__ import annotations

import math

import pytest

from carbon_core.data import rows
from carbon_core.intensity import tables


def test_world_average() -> None:
    world = tables.world()
    assert round(world.g_per_kwh) == 458
    assert (world.place, world.kind, world.scope) == (tables.WORLD_PLACE, "world", "lifecycle")
    assert world.sigma_ln == pytest.approx(math.log(3))
    assert world.note == ""


@pytest.mark.parametrize(
    ("iso3", "g_per_kwh", "place", "year"),
    [
        ("FRA", 41.44, "France", 2025),
        ("DEU", 329.65, "Germany", 2025),
        ("USA", 384.4, "United States", 2025),
        ("POL", 588.6, "Poland", 2025),
        ("IND", 670.13, "India", 2025),
        ("ISL", 27.82, "Iceland", 2024),
    ],
)
def test_country(iso3: str, g_per_kwh: float, place: str, year: int) -> None:
    found = tables.country(iso3)
    assert found is not None
    assert (found.g_per_kwh, found.place, found.year) == (g_per_kwh, place, year)
    assert (found.kind, found.scope) == ("annual", "lifecycle")
    assert found.sigma_ln == math.hypot(0.04, tables.SPREAD_LN.get(iso3, 0.0))
    assert "Ember" in found.source
    assert found.note == ""


def test_country_takes_any_case_and_blanks() -> None:
    assert tables.country(" fra ") == tables.country("FRA")


@pytest.mark.parametrize("code", ["", "XXX", "FR", "WORLD", "EU27", "France"])
def test_what_is_no_country(code: str) -> None:
    assert tables.country(code) is None


@pytest.mark.parametrize("iso3", ["CAF", "FLK", "MSR", "SHN", "TKM", "UZB"])
def test_doubtful_figure_gives_the_world_average_and_says_so(iso3: str) -> None:
    found = tables.country(iso3)
    assert found is not None
    assert (found.kind, found.place) == ("world", tables.WORLD_PLACE)
    assert found.g_per_kwh == tables.world().g_per_kwh
    assert tables.known_countries()[iso3] in found.note
    assert "doubtful" in found.note


def test_old_figure_says_so() -> None:
    ukraine = tables.country("UKR")
    assert ukraine is not None
    assert (ukraine.g_per_kwh, ukraine.year) == (250.47, 2022)
    assert "2022" in ukraine.note


@pytest.mark.parametrize(
    ("iso3", "proxy"),
    [
        ("AND", "ESP"),
        ("MCO", "FRA"),
        ("SMR", "ITA"),
        ("VAT", "ITA"),
        ("LIE", "CHE"),
        ("GGY", "GBR"),
        ("JEY", "GBR"),
        ("IMN", "GBR"),
        ("ALA", "FIN"),
        ("SJM", "NOR"),
    ],
)
def test_proxy_is_named_and_less_certain(iso3: str, proxy: str) -> None:
    found, own = tables.country(iso3), tables.country(proxy)
    assert found is not None
    assert own is not None
    assert found.g_per_kwh == own.g_per_kwh
    assert found.sigma_ln > own.sigma_ln
    assert "proxy" in found.note
    assert own.place in found.note
    assert tables.known_countries()[iso3] in found.note


def test_country_without_figure_or_proxy_gives_the_world_average() -> None:
    found = tables.country("CUW")
    assert found is not None
    assert found.kind == "world"
    assert "Curaçao" in found.note


@pytest.mark.parametrize(
    ("iso3", "text", "place", "g_per_kwh"),
    [
        ("USA", "California", "California", 179.1),
        ("USA", "ca", "California", 179.1),
        ("USA", "US-CA", "California", 179.1),
        ("usa", "us_ca", "California", 179.1),
        ("USA", "new york", "New York", 211.6),
        ("USA", "puerto rico", "Puerto Rico", 702.4),
        ("USA", "Washington", "Washington", 120.9),
        ("USA", "Washington, D.C.", "District of Columbia", 179.2),
        ("USA", "CAMX", "WECC California", 195.0),
        ("USA", "egrid-erct", "ERCOT All", 334.1),
        ("CAN", "Québec", "Quebec", 2.6),
        ("CAN", "quebec", "Quebec", 2.6),
        ("CAN", "CA-QC", "Quebec", 2.6),
        ("CAN", "AB", "Alberta", 346.0),
        ("CAN", "newfoundland and labrador", "Newfoundland and Labrador", 17.0),
        ("AUS", "Victoria", "Victoria", 740.0),
        ("AUS", "WA", "Western Australia", 450.0),
        ("AUS", "tas", "Tasmania", 200.0),
        ("CHN", "Sichuan", "Sichuan", 140.4),
        ("CHN", "CN-YN", "Yunnan", 107.3),
        ("CHN", "he", "Hebei", 725.2),
        ("CHN", "Guangdong Province", "Guangdong", 440.3),
        ("CHN", "Beijing Municipality", "Beijing", 558.0),
        ("CHN", "Beijing Shi", "Beijing", 558.0),
        ("CHN", "Nei Mongol Autonomous Region", "Inner Mongolia", 684.9),
        ("CHN", "Xinjiang Uygur Zizhiqu", "Xinjiang", 623.1),
    ],
)
def test_region(iso3: str, text: str, place: str, g_per_kwh: float) -> None:
    found = tables.region(iso3, text)
    assert found is not None
    assert (found.place, found.g_per_kwh) == (place, g_per_kwh)
    assert (found.kind, found.scope, found.sigma_ln) == ("annual", "direct", 0.04)
    assert "direct" in found.note


def test_region_names_its_publisher_and_accounting() -> None:
    texas, ontario = tables.region("USA", "TX"), tables.region("CAN", "ON")
    assert texas is not None
    assert ontario is not None
    assert "eGRID2023" in texas.source
    assert texas.year == 2023
    assert "production" in texas.note
    assert "Canada" in ontario.source
    assert "consumption" in ontario.note


@pytest.mark.parametrize(
    ("iso3", "text"),
    [
        ("FRA", "California"),
        ("CAN", "California"),
        ("USA", "US"),
        ("USA", "EGRID-US"),
        ("USA", ""),
        ("USA", "Californa"),
        ("DEU", "Bayern"),
        ("CHN", "Tibet"),  # the ministry publishes none
        ("CHN", "Province"),
    ],
)
def test_what_is_no_region(iso3: str, text: str) -> None:
    assert tables.region(iso3, text) is None


def test_no_two_regions_of_a_country_share_a_spelling() -> None:
    seen: set[tuple[str, str]] = set()
    for row in rows("grid_region"):
        spellings = {row["code"].upper(), row["code"].partition("-")[2], row["name"].upper()}
        assert not seen & {(row["iso3"], s) for s in spellings}
        seen |= {(row["iso3"], s) for s in spellings}


def test_every_region_is_found_by_code_and_by_name() -> None:
    for row in rows("grid_region"):
        if row["scheme"] != "egrid_national":
            by_name = tables.region(row["iso3"], row["name"])
            assert by_name == tables.region(row["iso3"], row["code"])
            assert by_name is not None
            assert by_name.g_per_kwh == float(row["g_per_kwh"])


def test_the_provinces_of_china_are_between_hydropower_and_coal() -> None:
    found = {
        row["code"]: float(row["g_per_kwh"]) for row in rows("grid_region") if row["iso3"] == "CHN"
    }
    assert len(found) == 30
    assert min(found, key=found.__getitem__) == "CN-YN"
    assert max(found, key=found.__getitem__) == "CN-HE"
    sichuan = tables.region("CHN", "SC")
    assert sichuan is not None
    assert (sichuan.year, sichuan.accounting, sichuan.scope) == (2022, "consumption", "direct")
    assert "without other gases" in sichuan.note


def test_known_countries_are_the_250_codes_that_country_accepts() -> None:
    known = tables.known_countries()
    assert len(known) == 250  # ISO 3166-1 has 249; Kosovo's XKX is in use besides
    assert known["FRA"] == "France"
    assert known["MCO"] == "Monaco"
    assert "WORLD" not in known
    assert all(tables.country(code) is not None for code in known)


@pytest.mark.parametrize(
    ("iso2", "iso3"),
    [("FR", "FRA"), ("us", "USA"), ("GB", "GBR"), ("MC", "MCO"), ("CW", "CUW"), ("NA", "NAM")],
)
def test_iso3_of(iso2: str, iso3: str) -> None:
    assert tables.iso3_of(iso2) == iso3


@pytest.mark.parametrize("iso2", ["", " ", "XX", "FRA"])
def test_iso3_of_what_is_no_code(iso2: str) -> None:
    assert tables.iso3_of(iso2) is None


def test_near_regions() -> None:
    assert tables.near_regions("Califronia")[0] == "US-CA (California)"
    assert tables.near_regions("quebek") == ("CA-QC (Quebec)",)
    assert len(tables.near_regions("north")) <= 3


def test_every_figure_is_plausible_and_says_what_it_is() -> None:
    for table in ("grid_country", "grid_region"):
        for row in rows(table):
            usable = row.get("quality") != "low"
            assert not usable or 1 < float(row["g_per_kwh"]) < 1000
            assert row["scope"] == ("direct" if table == "grid_region" else "lifecycle")
            assert row["accounting"] in ("production", "consumption")


def test_rows_may_be_left_halfway_and_unknown_tables_are_refused() -> None:
    assert next(rows("grid_country"))["iso3"] == "WORLD"
    with pytest.raises(FileNotFoundError):
        next(rows("no_such_table"))
