"""Annual grid intensity of Electricity Maps' zones: life-cycle, of what is consumed there.

From its yearly data under the ODbL, which is why these tables have a folder of their own and no value of
theirs is merged into another table. Consumption counts imports, so that the figures differ
from a country's production in `tables`, by more than a quarter for many; `Intensity.accounting`
distinguishes them.
"""

from __future__ import annotations

from carbon_core.data import rows
from carbon_core.records import Intensity

# Editions of one year's figure differ by rms 0.04; `intensity_spread` adds the run's hours and year.
ANNUAL_SIGMA_LN = 0.04
_PERCENT = 100.0
_SOURCE = "Electricity Maps yearly data"
_LICENCE = "ODbL 1.0"


def zone(key: str, year: int | None = None) -> Intensity | None:
    """Return a zone's annual average.

    Args:
        key: Zone key such as ``FR`` or ``US-CAL-CISO``, in any case.
        year: A year from 2021 on; None for the newest.

    Returns:
        The intensity, or None when the tables have no such zone or year.
    """
    wanted = key.strip().upper()
    found = [
        row
        for row in rows("odbl/em_zone_yearly")
        if row["zone_key"] == wanted and (year is None or int(row["year"]) == year)
    ]
    if not found:
        return None
    newest = max(found, key=lambda row: int(row["year"]))
    facts = _facts(wanted)
    return Intensity(
        float(newest["g_per_kwh"]),
        place=f"{facts['name']} ({wanted})" if facts else wanted,
        source=_SOURCE,
        kind="annual",
        scope="lifecycle",
        sigma_ln=ANNUAL_SIGMA_LN,
        year=int(newest["year"]),
        accounting="consumption",
        licence=_LICENCE,
        low_carbon_share=_share(facts),
    )


def low_carbon_share(key: str) -> float | None:
    """Return the low-carbon share (0 to 1) of a zone's consumption in its newest year, or None."""
    return _share(_facts(key))


def zone_of(subdivision: str) -> str | None:
    """Return the key of the zone that is a state or province (ISO 3166-2), or None."""
    if not subdivision:
        return None
    for row in rows("odbl/em_zone"):
        if row["iso3166_2"] == subdivision:
            return row["zone_key"]
    return None


def iso3_of(key: str) -> str | None:
    """Return the alpha-3 code of the country of a zone, by its key in any case, or None."""
    wanted = key.strip().upper()
    found = (row["iso3"] for row in rows("odbl/em_zone") if row["zone_key"] == wanted)
    return next(found, None) or None


def known_zones() -> set[str]:
    """Return the keys of all zones that have a figure."""
    return {row["zone_key"] for row in rows("odbl/em_zone")}


def _facts(key: str) -> dict[str, str]:
    return next((row for row in rows("odbl/em_zone") if row["zone_key"] == key), {})


def _share(facts: dict[str, str]) -> float | None:
    return float(facts["low_carbon_pct"]) / _PERCENT if facts else None
