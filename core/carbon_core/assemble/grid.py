"""From settings to whose grid counts, and who is asked about it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from carbon_core.clock import Clock, SystemClock
from carbon_core.config.origin import DEFAULT
from carbon_core.config.schema import Settings
from carbon_core.errors import IntensityError
from carbon_core.fetch import Fetch, fetcher, link_local
from carbon_core.intensity import cloud_metadata, ip_place
from carbon_core.intensity.live import BackoffSource, IntensitySource
from carbon_core.intensity.location import Place, locate
from carbon_core.intensity.tables import country_name
from carbon_core.intensity.time_zone import machine_time_zone
from carbon_core.tracker.parts import LiveIntensity, MarginalIntensity, Parts

ELECTRICITY_MAPS, GB, DENMARK = "electricitymaps", "gb_carbon_intensity", "energi_data_service"
_TOKEN_AND_ADDRESS = ("electricitymaps_api_token", "electricitymaps_url")
_PASSWORD_AND_ADDRESS = ("watttime_password", "watttime_url")
# A metadata service is on the same machine, or there is none.
_METADATA_TIMEOUT_S = 1.0


def place_of(settings: Settings, environ: Mapping[str, str], root: Path = Path("/")) -> Place:
    """Return what the settings, and the machine where they allow it, say about where it is."""
    known = settings.geolocation != "off"
    latitude, longitude = settings.latitude, settings.longitude
    return Place(
        country=settings.country_iso_code or settings.country_2letter_iso_code,
        region=settings.region,
        own_g_per_kwh=settings.force_carbon_intensity_g_co2e_kwh,
        zone=settings.electricitymaps_zone,
        cloud_provider=settings.cloud_provider,
        cloud_region=settings.cloud_region,
        scope="direct" if settings.intensity_scope == "direct" else "lifecycle",
        year=settings.intensity_year,
        time_zone=machine_time_zone(root, environ.get("TZ")) if known else None,
        coordinates=(latitude, longitude)
        if latitude is not None and longitude is not None
        else None,
    )


class PlaceFacts(TypedDict):
    """The fields of `RunFacts` that depend on the place."""

    country_name: str
    country_iso_code: str
    region: str
    cloud_provider: str
    cloud_region: str
    pue: float


def place_facts(settings: Settings, place: Place) -> PlaceFacts:
    """Return what the results say about the place."""
    iso3 = place.likely_iso3
    cloud_provider, cloud_region = place.cloud_names
    return PlaceFacts(
        country_name=country_name(iso3),
        country_iso_code=iso3,
        region=place.region_name,
        cloud_provider=cloud_provider,
        cloud_region=cloud_region,
        pue=pue_of(settings, place),
    )


def pue_of(settings: Settings, place: Place) -> float:
    """Return the power usage effectiveness: as set, else the cloud's own where the settings allow it."""
    published = place.cloud.pue if settings.cloud_pue and place.cloud else None
    return published if published and settings.origin("pue") == DEFAULT else settings.pue


# --- over the network: the place ----------------------------------------------------------------------


def may_learn(settings: Settings) -> bool:
    """Tell whether the settings leave the place open and allow to ask the network for it."""
    said = (
        settings.country_iso_code,
        settings.country_2letter_iso_code,
        settings.region,
        settings.electricitymaps_zone,
        settings.cloud_provider,
        settings.cloud_region,
        settings.force_carbon_intensity_g_co2e_kwh,
    )
    return settings.geolocation in ("cloud", "ip") and all(value is None for value in said)


def learned(settings: Settings, place: Place, parts: Parts) -> Parts:
    """Return the parts of a run with the place that the network tells; the same where it tells none.

    Args:
        settings: The effective settings.
        place: What is known without the network.
        parts: The parts, with what holds at that place.
    """
    cloud = _cloud_place()
    if cloud is not None:
        place = replace(place, cloud_provider=cloud.provider, cloud_region=cloud.region)
        how = f"the metadata service of {cloud.provider}"
    elif settings.geolocation == "ip":
        how = "this machine's public address"
        try:
            found = ip_place.ip_place(fetcher(parts.clock), settings.geolocation_url)
        except IntensityError as error:
            parts.messages.warn(f"the place is not learned: {error}")
            return parts
        place = replace(place, country=found.country, region=found.region or None)
    else:
        return parts
    located = locate(place)
    note = "; ".join(filter(None, [located.intensity.note, f"place by {how}", located.problem]))
    assumed = replace(located.intensity, note=note)
    return replace(
        parts,
        facts=replace(parts.facts, **place_facts(settings, place)),
        assumed=assumed,
        live=live_source(settings, parts.clock, place),
    )


@functools.cache
def _cloud_place() -> cloud_metadata.CloudPlace | None:
    """Return the cloud region of this machine, asked for once in a process."""
    return cloud_metadata.cloud_place(link_local(SystemClock(), _METADATA_TIMEOUT_S))


# --- over the network: the intensity -----------------------------------------------------------------


def token_problems(settings: Settings) -> list[str]:
    """Say why Electricity Maps, which the settings ask for, gets no token."""
    token = settings.electricitymaps_api_token
    if settings.intensity_source == ELECTRICITY_MAPS and not token:
        return ["intensity_source=electricitymaps needs electricitymaps_api_token"]
    if not token or settings.may_send(*_TOKEN_AND_ADDRESS):
        return []
    return [f"no live grid intensity: {_not_sent(settings, *_TOKEN_AND_ADDRESS)}"]


def account_problems(settings: Settings) -> list[str]:
    """Say why WattTime, which the settings ask for, is not asked."""
    account = _account(settings)
    if any(account) and not all(account):
        return ["WattTime needs watttime_username, watttime_password and watttime_region"]
    if not any(account) or settings.may_send(*_PASSWORD_AND_ADDRESS):
        return []
    return [f"no marginal intensity: {_not_sent(settings, *_PASSWORD_AND_ADDRESS)}"]


def _account(settings: Settings) -> tuple[str | None, str | None, str | None]:
    return settings.watttime_username, settings.watttime_password, settings.watttime_region


def _not_sent(settings: Settings, secret: str, address: str) -> str:
    what = secret.rpartition("_")[2]
    return (
        f"the {what} is not sent where {address} says ({settings.origin(address)}), "
        f"for the {what} comes from a source that is trusted more ({settings.origin(secret)})"
    )


def live_source(settings: Settings, clock: Clock, place: Place) -> LiveIntensity | None:
    """Return the live source that the settings ask for, made patient; None where they ask for none."""
    name = settings.intensity_source
    token = settings.electricitymaps_api_token
    if settings.force_carbon_intensity_g_co2e_kwh is not None:
        return None
    needs_token = name in (None, ELECTRICITY_MAPS)
    if needs_token and not (token and settings.may_send(*_TOKEN_AND_ADDRESS)):
        return None
    return BackoffSource(source_of(settings, fetcher(clock), place), clock)


def source_of(settings: Settings, fetch: Fetch, place: Place) -> IntensitySource:
    """Return the live source that the settings name, by default Electricity Maps.

    Args:
        settings: The effective settings.
        fetch: The door to the network.
        place: What is known of the place.
    """
    if settings.intensity_source == GB:
        from carbon_core.intensity.gb_carbon_intensity import URL, GbCarbonIntensity

        return GbCarbonIntensity(fetch, settings.intensity_url or URL, place.region)
    if settings.intensity_source == DENMARK:
        from carbon_core.intensity.energi_data_service import URL, EnergiDataService

        return EnergiDataService(fetch, settings.intensity_url or URL, place.region or place.zone)
    from carbon_core.intensity.electricity_maps import ElectricityMaps

    token = settings.electricitymaps_api_token or ""
    return ElectricityMaps(
        fetch, settings.electricitymaps_url, token, place.live_zone, place.coordinates
    )


def marginal_source(settings: Settings, clock: Clock) -> MarginalIntensity | None:
    """Return the source of marginal intensity that the settings ask for, or None."""
    username, password, region = _account(settings)
    if not (username and password and region and settings.may_send(*_PASSWORD_AND_ADDRESS)):
        return None
    from carbon_core.intensity.watttime import WattTime

    return WattTime(fetcher(clock), settings.watttime_url, username, password, region)
