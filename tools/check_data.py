"""Compares the shipped tables with the data of codecarbon, pycountry and tzdata; lists the differences.

    pip install codecarbon pycountry tzdata && PYTHONPATH=core python tools/check_data.py

A difference is a reason to check a value, not an error: years, scopes and methods differ. Exit status 1
means that the code of a country or a region, or the country of a time zone, is wrong.
"""

from __future__ import annotations

import csv
import importlib.resources
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pycountry

from carbon_core.data import rows
from carbon_core.hardware.cpu_identity import normalise

# Between two years of the same grid, a difference of a quarter is common.
_FACTOR = 1.25


class Drift(NamedTuple):
    """A difference: its table, its description, and whether the shipped value is certainly wrong."""

    table: str
    what: str
    is_wrong: bool


def main() -> int:
    """Print every difference; return the exit status."""
    drifts = list(all_drifts())
    for drift in drifts:
        print(f"{'WRONG ' if drift.is_wrong else ''}{drift.table}: {drift.what}")
    print(f"{len(drifts)} differences, {sum(drift.is_wrong for drift in drifts)} of them wrong")
    return int(any(drift.is_wrong for drift in drifts))


def all_drifts() -> Iterator[Drift]:
    """Yield every difference."""
    yield from _country_codes()
    yield from _region_codes()
    yield from _time_zones()
    yield from _intensities()
    yield from _cloud_regions()
    yield from _processors()


def _country_codes() -> Iterator[Drift]:
    """Compare with pycountry's table of ISO 3166-1."""
    for row in rows("grid_country"):
        iso2, iso3 = row["iso2"], row["iso3"]
        known = pycountry.countries.get(alpha_2=iso2) if iso2 else None
        if iso2 and (known is None or known.alpha_3 != iso3):
            # XK is the common code of Kosovo, from the user-assigned codes of ISO 3166.
            yield Drift("grid_country", f"{iso2} is not {iso3} in ISO 3166", iso2 != "XK")


def _region_codes() -> Iterator[Drift]:
    """Compare with pycountry's table of ISO 3166-2."""
    for row in rows("grid_region"):
        if row["scheme"] != "iso3166-2":
            continue
        known = pycountry.subdivisions.get(code=row["code"])
        country = pycountry.countries.get(alpha_3=row["iso3"])
        if known is None or country is None or known.country_code != country.alpha_2:
            yield Drift("grid_region", f"{row['code']} is not of {row['iso3']}", True)
        elif row["name"] not in known.name and known.name not in row["name"]:
            yield Drift("grid_region", f"{row['code']} is {known.name}, not {row['name']}", False)


def _time_zones() -> Iterator[Drift]:
    """Compare with the countries of the IANA time zone database in tzdata."""
    own = {row["time_zone"]: row["iso2"] for row in rows("time_zone")}
    text = importlib.resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        iso2, _, name = line.split("\t")[:3]
        if own.get(name) != iso2:
            yield Drift("time_zone", f"{name} is {own.get(name)}, in tzdata {iso2}", name in own)


def _intensities() -> Iterator[Drift]:
    """Compare with CodeCarbon's averages by country, in gCO2e/kWh."""
    own = {row["iso3"]: row for row in rows("grid_country") if row["g_per_kwh"]}
    absent = {row["iso3"] for row in rows("grid_absent") if "iso3" in row}
    for iso3, theirs in _of_codecarbon("private_infra/global_energy_mix.json").items():
        figure = theirs.get("carbon_intensity")
        if not figure or len(iso3) != 3:
            continue
        if iso3 not in own:
            if iso3 not in absent and pycountry.countries.get(alpha_3=iso3):
                yield Drift(
                    "grid_country",
                    f"{iso3} is in none of the tables, CodeCarbon has {figure}",
                    False,
                )
            continue
        row = own[iso3]
        ratio = float(row["g_per_kwh"]) / figure
        if not 1 / _FACTOR <= ratio <= _FACTOR:
            values = f"{row['g_per_kwh']} ({row['year']}), CodeCarbon {figure} ({theirs['year']})"
            yield Drift("grid_country", f"{iso3} {values}", False)


def _cloud_regions() -> Iterator[Drift]:
    """Compare with CodeCarbon's cloud regions and their countries."""
    own = {(row["provider"], row["region"]): row["iso2"] for row in rows("cloud_region")}
    for theirs in csv.DictReader(_codecarbon("cloud/impact.csv").open(encoding="utf-8-sig")):
        key = (theirs["provider"], theirs["region"])
        country = pycountry.countries.get(alpha_3=theirs["countryIsoCode"])
        if key not in own:
            yield Drift("cloud_region", f"{' '.join(key)} is only in CodeCarbon's table", False)
        elif country is not None and country.alpha_2 != own[key]:
            countries = f"{own[key]}, CodeCarbon {country.alpha_2}"
            yield Drift("cloud_region", f"{' '.join(key)} is in {countries}", False)


def _processors() -> Iterator[Drift]:
    """Compare with CodeCarbon's thermal design powers, in W."""
    own = {row["key"]: float(row["tdp_w"]) for row in rows("cpu_tdp")}
    for theirs in csv.DictReader(_codecarbon("hardware/cpu_power.csv").open(encoding="utf-8-sig")):
        figure = own.get(normalise(theirs["Name"]))
        try:
            tdp_w = float(theirs["TDP"])
        except ValueError:
            continue  # one row has 27.29.5
        if figure is not None and not 1 / _FACTOR <= figure / tdp_w <= _FACTOR:
            yield Drift("cpu_tdp", f"{theirs['Name']}: {figure:g} W, CodeCarbon {tdp_w:g} W", False)


def _of_codecarbon(path: str) -> dict[str, Any]:
    return json.loads(_codecarbon(path).read_text("utf-8"))  # type: ignore[no-any-return]


def _codecarbon(path: str) -> Path:
    # Located, not imported: the import loads pandas.
    spec = importlib.util.find_spec("codecarbon")
    if spec is None or spec.origin is None:
        raise SystemExit("codecarbon is not installed")
    return Path(spec.origin).parent / "data" / path


if __name__ == "__main__":
    sys.exit(main())
