"""Electricity Maps' zones: annual averages of what is consumed."""

from __future__ import annotations

import pytest

from carbon_core.data import rows
from carbon_core.intensity import zones


@pytest.mark.parametrize(
    ("key", "year", "g_per_kwh", "place"),
    [
        ("FR", None, 31.0, "France (FR)"),
        ("ca-qc", None, 41.0, "Québec (CA-QC)"),
        ("US-CAL-CISO", None, 208.0, "CAISO (US-CAL-CISO)"),
        ("AE", 2021, 447.0, "United Arab Emirates (AE)"),
    ],
)
def test_zone(key: str, year: int | None, g_per_kwh: float, place: str) -> None:
    found = zones.zone(key, year)
    assert found is not None
    assert (found.g_per_kwh, found.place, found.year) == (g_per_kwh, place, year or 2025)
    assert (found.scope, found.accounting, found.licence) == (
        "lifecycle",
        "consumption",
        "ODbL 1.0",
    )


@pytest.mark.parametrize(("key", "year"), [("XX", None), ("", None), ("FR", 1999)])
def test_what_is_no_zone_or_year(key: str, year: int | None) -> None:
    assert zones.zone(key, year) is None


def test_provinces_are_zones_and_states_of_the_usa_mostly_not() -> None:
    assert zones.zone_of("CA-QC") == "CA-QC"
    assert zones.zone_of("AU-NSW") == "AU-NSW"
    assert zones.zone_of("US-CA") is None
    assert zones.zone_of("") is None


def test_every_zone_has_a_plausible_figure() -> None:
    assert len(zones.known_zones()) == 352
    with_figure = {row["zone_key"] for row in rows("odbl/em_zone_yearly")}
    assert zones.known_zones() == with_figure
    assert all(0 <= float(row["g_per_kwh"]) < 1700 for row in rows("odbl/em_zone_yearly"))
