"""Annual grid intensity of countries and regions, from the shipped tables.

Countries are life-cycle figures of what is generated there, by Ember (Yearly Electricity Data,
through Our World in Data). Regions are direct emissions only, by the US EPA (eGRID), Environment
and Climate Change Canada, the Australian DCCEEW and China's Ministry of Ecology and Environment:
some 10 to 60 % below a life-cycle figure, so every record carries its scope. data/SOURCES.md has the
editions and the licences.

Each look-up reads its table and keeps nothing: they are made once or twice in a run.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator

from carbon_core.data import rows
from carbon_core.intensity.zones import ANNUAL_SIGMA_LN, low_carbon_share, zone_of
from carbon_core.intensity_spread import likely_low_carbon_share
from carbon_core.record import replace
from carbon_core.records import Intensity

WORLD_PLACE = "world"

# Grids within a large country differ: rms of ln(zone / country) over the zones of Electricity Maps, and
# over the provinces of China. Countries whose other zones are islands (Spain, France) have none.
SPREAD_LN = {
    "AUS": 0.74,
    "BRA": 0.44,
    "CAN": 1.04,
    "CHN": 0.47,
    "DNK": 0.16,
    "IND": 0.23,
    "ITA": 0.23,
    "JPN": 0.18,
    "MYS": 0.13,
    "NOR": 0.26,
    "PHL": 0.07,
    "RUS": 0.15,
    "SWE": 0.37,
    "USA": 0.90,
}
# A neighbour's grid, such as Great Britain's for Jersey, can be off by far more than a year.
PROXY_SIGMA_LN = math.log(1.5)
# National averages are from 20 to 900 gCO2e/kWh: rms of ln(country / world) 0.98, and skewed.
WORLD_SIGMA_LN = math.log(3.0)

_EMBER = "Ember via Our World in Data, 2026-04"
_REGION_SOURCES = {
    "egrid": "US EPA eGRID2023 rev2",
    "eccc": "Environment and Climate Change Canada, Emission Factors v4.0",
    "nga": "DCCEEW Australian National Greenhouse Accounts Factors",
    "mee": "Ministry of Ecology and Environment of China, electricity CO2 emission factors",
}
_REGION_LICENCES = {
    "egrid": "US public domain",
    "eccc": "Crown copyright",
    "nga": "CC BY 4.0",
    "mee": "announcement of a Chinese authority",
}
_REGION_REMARKS = {"nga": "the year is that of the edition", "mee": "CO2 without other gases"}
_EMBER_LICENCE = "CC BY 4.0"
# Names that location services use instead of the official ones.
_OTHER_NAMES = {
    "washingtondc": "districtofcolumbia",
    "newfoundland": "newfoundlandandlabrador",
    "yukonterritory": "yukon",
    "neimongol": "innermongolia",
    "guangxizhuang": "guangxi",
    "ningxiahui": "ningxia",
    "xinjianguygur": "xinjiang",
    "xinjianguyghur": "xinjiang",
}
# What ISO 3166-2 and location services append to the name of a Chinese province.
_SUFFIXES = re.compile("(?<=.)(?:province|municipality|autonomousregion|zizhiqu|sheng|shi)$")


def world() -> Intensity:
    """Return the world average, for a place that is not known."""
    row = next(row for row in rows("grid_country") if row["iso3"] == "WORLD")
    return replace(_annual(row, _EMBER, WORLD_SIGMA_LN), kind="world", place=WORLD_PLACE)


def country(iso3: str, year: int | None = None) -> Intensity | None:
    """Return the annual average of a country.

    A country without a usable figure gets that of the neighbour it is supplied from, or else the
    world average; `Intensity.note` then has the reason.

    Args:
        iso3: ISO 3166-1 alpha-3 code, in any case.
        year: A year from 2015 on; None, or one without a figure, for the newest.

    Returns:
        The intensity, or None when there is no such code.
    """
    code = iso3.strip().upper()
    if len(code) != 3:  # the table also has groups of countries, such as EU27
        return None
    row = _find("grid_country", "iso3", code)
    if row is None:
        return _absent(code)
    if row["quality"] == "low":
        return _world_instead_of(row["name"], "the published figure is doubtful")
    sigma_ln = math.hypot(ANNUAL_SIGMA_LN, SPREAD_LN.get(code, 0.0))
    share = low_carbon_share(row["iso2"])
    earlier = _of_year(code, year)
    if earlier is not None:
        return _annual({**row, **earlier}, _EMBER, sigma_ln, share)
    note = f"no figure newer than {row['year']}" if row["quality"] == "old" else ""
    return replace(_annual(row, _EMBER, sigma_ln, share), note=note)


def _of_year(iso3: str, year: int | None) -> dict[str, str] | None:
    if year is None:
        return None
    table = rows("grid_country_yearly")
    return next((row for row in table if row["iso3"] == iso3 and row["year"] == str(year)), None)


def region(iso3: str, region: str) -> Intensity | None:
    """Return the annual average of a state, a province or an eGRID subregion.

    Args:
        iso3: ISO 3166-1 alpha-3 code of the country; the USA, CAN, AUS and CHN have regions.
        region: Name (``Québec``, ``new york``), ISO 3166-2 code (``US-CA``), its second part
            (``CA``), or code of an eGRID subregion (``CAMX``).

    Returns:
        The intensity, of scope ``direct``, or None when the region is not in the tables.
    """
    row = _region(iso3, region)
    if row is None:
        return None
    key = zone_of(row["code"])
    share = low_carbon_share(key) if key else None
    intensity = _annual(row, _REGION_SOURCES[row["source"]], ANNUAL_SIGMA_LN, share)
    licence = _REGION_LICENCES[row["source"]]
    return replace(intensity, note=_region_note(row), licence=licence)


def region_code(iso3: str, region: str) -> str | None:
    """Return the code of a region as `region` finds it (ISO 3166-2, or eGRID's), or None."""
    row = _region(iso3, region)
    return row["code"] if row else None


def region_name(iso3: str, region: str) -> str:
    """Return the name of a region as `region` finds it; an empty string if unknown."""
    row = _region(iso3, region)
    return row["name"] if row else ""


def _region(iso3: str, region: str) -> dict[str, str] | None:
    code = iso3.strip().upper()
    folded = _SUFFIXES.sub("", _fold(region)) if code == "CHN" else _fold(region)
    wanted = _OTHER_NAMES.get(folded, folded)
    found = (row for row in _regions() if row["iso3"] == code and wanted in _spellings(row))
    return next(found, None)


def known_countries() -> dict[str, str]:
    """Return the names of all countries that `country` accepts, by ISO alpha-3 code."""
    tables = (*rows("grid_country"), *rows("grid_absent"))
    return {row["iso3"]: row["name"] for row in tables if len(row["iso3"]) == 3}


def country_name(iso3: str) -> str:
    """Return the name of a country by its alpha-3 code in capitals; an empty string if unknown."""
    row = _find("grid_country", "iso3", iso3) or _find("grid_absent", "iso3", iso3)
    return row["name"] if row and len(iso3) == 3 else ""


def iso3_of(iso2: str) -> str | None:
    """Return the ISO alpha-3 code of an alpha-2 code in any case, or None if there is none."""
    code = iso2.strip().upper()
    if not code:  # the groups of countries have no alpha-2 code
        return None
    row = _find("grid_country", "iso2", code) or _find("grid_absent", "iso2", code)
    return row["iso3"] if row else None


def iso2_of(iso3: str) -> str | None:
    """Return the ISO alpha-2 code of an alpha-3 code in capitals, or None if there is none."""
    row = _find("grid_country", "iso3", iso3) or _find("grid_absent", "iso3", iso3)
    return (row["iso2"] or None) if row else None


def near_regions(text: str) -> tuple[str, ...]:
    """Return up to three regions that a misspelt name may mean, best first.

    Returns:
        Code and name of each, such as ``US-CA (California)``.
    """
    from difflib import get_close_matches  # for messages about mistakes only

    labels: dict[str, str] = {}
    for row in _regions():
        for spelling in _spellings(row):
            labels.setdefault(spelling, f"{row['code']} ({row['name']})")
    found = get_close_matches(_fold(text), labels, n=6)
    return tuple(dict.fromkeys(labels[spelling] for spelling in found))[:3]


def _find(table: str, column: str, value: str) -> dict[str, str] | None:
    return next((row for row in rows(table) if row[column] == value), None)


def _regions() -> Iterator[dict[str, str]]:
    # The national eGRID figure is kept for comparison; as a region it would hide a country.
    return (row for row in rows("grid_region") if row["scheme"] != "egrid_national")


def _annual(
    row: dict[str, str], source: str, sigma_ln: float, share: float | None = None
) -> Intensity:
    g_per_kwh = float(row["g_per_kwh"])
    return Intensity(
        g_per_kwh=g_per_kwh,
        place=row["name"],
        source=source,
        kind="annual",
        scope="direct" if row["scope"] == "direct" else "lifecycle",
        sigma_ln=sigma_ln,
        year=int(row["year"]),
        accounting="consumption" if row["accounting"] == "consumption" else "production",
        licence=_EMBER_LICENCE,
        low_carbon_share=likely_low_carbon_share(g_per_kwh) if share is None else share,
    )


def _absent(code: str) -> Intensity | None:
    row = _find("grid_absent", "iso3", code)
    if row is None:
        return None
    proxy = country(row["proxy_iso3"])
    if proxy is None:
        return _world_instead_of(row["name"], "no figure is published")
    note = f"proxy: no figure is published for {row['name']}, {proxy.place} is used"
    return replace(proxy, sigma_ln=PROXY_SIGMA_LN, note=note)


def _world_instead_of(name: str, reason: str) -> Intensity:
    return replace(world(), note=f"world average instead of {name}: {reason}")


def _region_note(row: dict[str, str]) -> str:
    remark = _REGION_REMARKS.get(row["source"])
    return "; ".join(filter(None, (f"direct emissions only, {row['accounting']}-based", remark)))


def _spellings(row: dict[str, str]) -> tuple[str, str, str]:
    short = row["code"].partition("-")[2]
    return _fold(row["code"]), _fold(short), _fold(row["name"])


def _fold(text: str) -> str:
    """Return only the letters and digits, without accents and case."""
    return "".join(c for c in unicodedata.normalize("NFKD", text).casefold() if c.isalnum())
