"""Regions of cloud providers: their location, and the figures that the provider publishes."""

from __future__ import annotations

from carbon_core.data import rows
from carbon_core.intensity import zones
from carbon_core.record import record
from carbon_core.records import Intensity

_GOOGLE = "Google, carbon data across GCP regions"
_OTHER_NAMES = {"google": "gcp", "googlecloud": "gcp", "amazon": "aws", "microsoft": "azure"}


@record(frozen=True)
class CloudRegion:
    """A provider's region.

    Attributes:
        provider: ``aws``, ``azure`` or ``gcp``.
        name: The provider's name for it, such as ``eu-west-3``.
        location: Its location as text.
        iso2: Country (ISO 3166-1 alpha-2).
        subdivision: State or province (ISO 3166-2), or an empty string.
        egrid_subregion: eGRID subregion, or an empty string.
        zone: Zone key of Electricity Maps.
        own: The provider's own figure of its grid, direct emissions, or None.
        pue: Power usage effectiveness that the provider publishes for it, or None.
    """

    provider: str
    name: str
    location: str
    iso2: str
    subdivision: str
    egrid_subregion: str
    zone: str
    own: Intensity | None
    pue: float | None


def cloud_region(provider: str, name: str) -> CloudRegion | None:
    """Return a provider's region, or None when it is in no table.

    Args:
        provider: ``aws``, ``azure`` or ``gcp``, in any case, or the company's name.
        name: The region, such as ``us-east-1`` or ``West Europe``, in any case.
    """
    wanted = _fold(name)
    for row in rows("cloud_region"):
        if row["provider"] == provider_of(provider) and _fold(row["region"]) == wanted:
            return CloudRegion(
                row["provider"],
                row["region"],
                row["location"],
                row["iso2"],
                row["iso3166_2"],
                row["egrid_subregion"],
                row["em_zone"],
                _own(row),
                float(row["pue"]) if row["pue"] else None,
            )
    return None


def near_regions(provider: str, name: str) -> tuple[str, ...]:
    """Return up to three regions of a provider that a misspelt name may mean, best first."""
    from difflib import get_close_matches  # for messages about mistakes only

    names = [
        row["region"] for row in rows("cloud_region") if row["provider"] == provider_of(provider)
    ]
    return tuple(get_close_matches(name.strip().lower(), names, n=3))


def provider_of(text: str) -> str:
    """Return a provider's short name."""
    folded = _fold(text)
    return _OTHER_NAMES.get(folded, folded)


def _own(row: dict[str, str]) -> Intensity | None:
    if not row["g_per_kwh"]:
        return None
    return Intensity(
        float(row["g_per_kwh"]),
        place=f"{row['location']} ({row['provider']} {row['region']})",
        source=_GOOGLE,
        kind="annual",
        scope="direct",
        sigma_ln=zones.ANNUAL_SIGMA_LN,
        year=int(row["year"]),
        accounting="consumption",
        licence="Apache-2.0",
        low_carbon_share=zones.low_carbon_share(row["em_zone"]),
    )


def _fold(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())
