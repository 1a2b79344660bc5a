"""From the location in the settings to the intensity that applies without a network.

The order is: the user's own value, an exact zone, a state or province, the cloud region, the country,
the country that the machine's time zone suggests, the world. What is set and not found is reported;
a place is never invented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from carbon_core.intensity import cloud, tables, time_zone, zones
from carbon_core.intensity.cloud import CloudRegion
from carbon_core.lazy_property import lazy_property
from carbon_core.record import record, replace
from carbon_core.records import GUESSED, Intensity

Scope = Literal["lifecycle", "direct"]


@record(frozen=True)
class Place:
    """The location of the machine, from the settings.

    Attributes:
        country: ISO 3166-1 code of two or three letters, or None.
        region: State or province, or None.
        own_g_per_kwh: The user's own intensity, or None.
        zone: Zone key of Electricity Maps, or None.
        cloud_provider: Name of a cloud provider, or None.
        cloud_region: Its region, or None.
        scope: Whether life-cycle or direct emissions are requested.
        year: Year of the annual averages; None for the newest.
        time_zone: Name of the machine's time zone, from which the country may be guessed, or None.
        coordinates: Latitude and longitude in degrees, or None; for live sources only.
    """

    country: str | None = None
    region: str | None = None
    own_g_per_kwh: float | None = None
    zone: str | None = None
    cloud_provider: str | None = None
    cloud_region: str | None = None
    scope: Scope = "lifecycle"
    year: int | None = None
    time_zone: str | None = None
    coordinates: tuple[float, float] | None = None

    @lazy_property
    def cloud(self) -> cloud.CloudRegion | None:
        """The cloud region, where the tables have it."""
        if not self.cloud_provider or not self.cloud_region:
            return None
        return cloud.cloud_region(self.cloud_provider, self.cloud_region)

    @lazy_property
    def guessed_country(self) -> str | None:
        """Two-letter code of the country that the time zone suggests where nothing else is set."""
        if self.iso3 is not None or self.country is not None or self.time_zone is None:
            return None
        return time_zone.country_of(self.time_zone)

    @lazy_property
    def iso3(self) -> str | None:
        """Three-letter code of the country, by the cloud region where none is set, or None."""
        country = self.country
        if country is None:
            found = self.cloud
            country = found.iso2 if found else None
        if country is None or len(country) == 3:
            return country
        return tables.iso3_of(country)

    @property
    def likely_iso3(self) -> str:
        """Three-letter code of the country, even if only guessed; an empty string if unknown.

        A known cloud region overrides the country setting, as it does for the intensity, unless a
        region of that country is set.
        """
        if self._locating_cloud is not None:
            return tables.iso3_of(self._locating_cloud.iso2) or ""
        if self.country is not None:
            return self.iso3 or ""
        by_zone = zones.iso3_of(self.zone) if self.zone else None
        return by_zone or tables.iso3_of(self.guessed_country or "") or ""

    @property
    def region_name(self) -> str:
        """State or province as CodeCarbon writes it; an empty string if unknown.

        The setting in lower case, or the name of the state or province of the cloud region.
        """
        if self._locating_cloud is None:
            return (self.region or "").lower()
        subdivision = self._locating_cloud.subdivision
        return tables.region_name(self.likely_iso3, subdivision) if subdivision else ""

    @property
    def _locating_cloud(self) -> CloudRegion | None:
        """The cloud region, where it is known and no known region of a country is set."""
        known = self.region and tables.region_code(self.iso3 or "", self.region)
        return None if known else self.cloud

    @property
    def cloud_names(self) -> tuple[str, str]:
        """Cloud provider and region: by the tables' names where known, else as set."""
        if self.cloud is not None:
            return self.cloud.provider, self.cloud.name
        return self.cloud_provider or "", self.cloud_region or ""

    @lazy_property
    def live_zone(self) -> str | None:
        """The zone to request from a live source: as set, of the state, of the cloud, or the country.

        A country that is only guessed gives way to coordinates.
        """
        if self.zone:
            return self.zone
        code = tables.region_code(self.iso3 or "", self.region) if self.region else None
        found = zones.zone_of(code) if code else None
        guess = None if self.coordinates else self.guessed_country
        if found is None and not self.region and (region := self.cloud):
            found = region.zone
        return found or tables.iso2_of(self.iso3 or "") or self.country or guess


@record(frozen=True)
class Located:
    """The intensity that was found, and a message for the user.

    Attributes:
        intensity: The intensity until a live source has one.
        problem: Message about what is set and not found, or an empty string.
    """

    intensity: Intensity
    problem: str = ""


def locate(place: Place) -> Located:
    """Return the static intensity of a place."""
    if place.own_g_per_kwh is not None:
        own = Intensity(place.own_g_per_kwh, "as set", "your own value", "user", None, 0.0)
        return Located(own)
    problems: list[str] = []
    for find in (_by_zone, _by_region, _by_cloud, _by_country, _by_time_zone):
        found = find(place, problems.append)
        if found is not None:
            break
    else:
        found = tables.world()
    if place.scope == "direct" and found.scope == "lifecycle":
        problems.append(
            f"no figure of direct emissions for {found.place}: life-cycle ones are used"
        )
    if place.year is not None and found.year is not None and found.year != place.year:
        problems.append(
            f"no figure of {place.year} for {found.place}: that of {found.year} is used"
        )
    return Located(found, "; ".join(problems))


_Tell = Callable[[str], None]


def _by_zone(place: Place, tell: _Tell) -> Intensity | None:
    if not place.zone or place.scope == "direct":
        return None
    found = _of_zone(place.zone, place.year)
    if found is None:
        tell(f"electricitymaps_zone {place.zone!r} has no annual average")
    return found


def _by_region(place: Place, tell: _Tell) -> Intensity | None:
    if not place.region:
        return None
    if place.iso3 is None:
        tell("region is not used without country_iso_code")
        return None
    code = tables.region_code(place.iso3, place.region)
    if code is None:
        if tables.country(place.iso3) is not None:
            tell(_unknown_region(place))
        return None
    if place.scope == "lifecycle":
        key = zones.zone_of(code)
        found = _of_zone(key, place.year) if key else None
        if found is not None:
            return found
    return tables.region(place.iso3, place.region)


def _by_cloud(place: Place, tell: _Tell) -> Intensity | None:
    if not place.cloud_provider and not place.cloud_region:
        return None
    region = place.cloud
    if region is None:
        tell(_unknown_cloud(place))
        return None
    if place.country is not None and place.iso3 != tables.iso3_of(region.iso2):
        tell(f"{region.provider} {region.name} is not in {place.country}: the cloud region counts")
    return next(_of_cloud(region, place), None)


def _of_cloud(region: cloud.CloudRegion, place: Place) -> Iterator[Intensity]:
    """Yield the intensities of a cloud region, best first."""
    note = f"{region.provider} {region.name}, {region.location}"
    iso3 = tables.iso3_of(region.iso2) or ""
    if place.scope == "lifecycle":
        found = _of_zone(region.zone, place.year)
        if found is not None:
            yield replace(found, note=note)
    else:
        subregion = f"EGRID-{region.egrid_subregion}" if region.egrid_subregion else ""
        figures = [tables.region(iso3, code) for code in (region.subdivision, subregion) if code]
        yield from filter(None, (region.own, *figures))
    country = tables.country(iso3, place.year)
    if country is not None:
        yield replace(country, note=note)


def _by_country(place: Place, tell: _Tell) -> Intensity | None:
    if place.country is None:
        return None
    found = tables.country(place.iso3 or "", place.year)
    if found is None:
        tell(_unknown_country(place.country))
    return found


def _by_time_zone(place: Place, _: _Tell) -> Intensity | None:
    found = tables.country(tables.iso3_of(place.guessed_country or "") or "", place.year)
    if found is None:
        return None
    # A machine may be set to its owner's time: as uncertain as a neighbour's grid.
    sigma_ln = max(found.sigma_ln, tables.PROXY_SIGMA_LN)
    note = "; ".join(filter(None, [f"a guess from the time zone {place.time_zone}", found.note]))
    return replace(found, place=f"{found.place}{GUESSED}", sigma_ln=sigma_ln, note=note)


def _of_zone(key: str, year: int | None) -> Intensity | None:
    """Return a zone's figure of a year, or its newest where the tables lack that year."""
    return zones.zone(key, year) or zones.zone(key)


def _unknown_country(country: str) -> str:
    from carbon_core.intensity.country_names import near_countries  # for this mistake only

    near = ", ".join(near_countries(country))
    hint = f"; did you mean {near}?" if near else ""
    return f"country_iso_code {country!r} is in no table: the world average is used{hint}"


def _unknown_region(place: Place) -> str:
    near = ", ".join(tables.near_regions(place.region or ""))
    hint = f"; did you mean {near}?" if near else ""
    return (
        f"region {place.region!r} of {place.country} is in no table: "
        f"the country's average is used{hint}"
    )


def _unknown_cloud(place: Place) -> str:
    if not place.cloud_provider or not place.cloud_region:
        return "cloud_provider and cloud_region must be set together"
    near = ", ".join(cloud.near_regions(place.cloud_provider, place.cloud_region))
    hint = f"; did you mean {near}?" if near else ""
    return f"{place.cloud_provider} {place.cloud_region} is no cloud region in the tables{hint}"
