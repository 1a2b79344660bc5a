"""From what the user said about the place to the intensity that holds without a network.

The order is: the user's own value, an exact state or province, the country, the world. What was
asked for and not found is said; a place is never invented.
"""

from __future__ import annotations

from dataclasses import dataclass

from carbon_core.intensity import tables
from carbon_core.records import Intensity


@dataclass(frozen=True)
class Place:
    """What the settings say about where the machine is.

    Attributes:
        country: ISO 3166-1 code of two or three letters, or None.
        region: State or province, or None.
        own_g_per_kwh: The user's own intensity, or None.
    """

    country: str | None = None
    region: str | None = None
    own_g_per_kwh: float | None = None

    @property
    def iso3(self) -> str | None:
        """Three-letter code of the country, or None."""
        if self.country is None or len(self.country) == 3:
            return self.country
        return tables.iso3_of(self.country)


@dataclass(frozen=True)
class Located:
    """The intensity found, and what to tell the user.

    Attributes:
        intensity: What holds until a live source says otherwise.
        problem: What was asked for and not found, in words, or an empty string.
    """

    intensity: Intensity
    problem: str = ""


def locate(place: Place) -> Located:
    """Return the static intensity of a place."""
    if place.own_g_per_kwh is not None:
        own = Intensity(place.own_g_per_kwh, "as set", "your own value", "user", None, 0.0)
        return Located(own)
    if place.country is None:
        problem = "region is not used without country_iso_code" if place.region else ""
        return Located(tables.world(), problem)
    country = tables.country(place.iso3 or "")
    if country is None:
        return Located(tables.world(), _unknown_country(place.country))
    if place.region:
        region = tables.region(place.iso3 or "", place.region)
        return Located(region) if region else Located(country, _unknown_region(place))
    return Located(country)


def _unknown_country(country: str) -> str:
    near = ", ".join(tables.near_matches(country, "country"))
    hint = f"; did you mean {near}?" if near else ""
    return f"country_iso_code {country!r} is in no table: the world average is used{hint}"


def _unknown_region(place: Place) -> str:
    near = ", ".join(tables.near_matches(place.region or "", "region"))
    hint = f"; did you mean {near}?" if near else ""
    return (
        f"region {place.region!r} of {place.country} is in no table: "
        f"the country's average is used{hint}"
    )
