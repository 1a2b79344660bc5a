"""Selects location and grid-intensity sources from the settings."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from carbon_core.clock import Clock, SystemClock
from carbon_core.config.local_trust import is_lookup_allowed, is_source_allowed
from carbon_core.config.local_trust import warnings as local_warnings
from carbon_core.config.origin import DEFAULT
from carbon_core.config.schema import Settings
from carbon_core.config.secret_values import Secret, address_problem
from carbon_core.errors import ConfigError, IntensityError
from carbon_core.fetch import Fetch, fetcher, link_local
from carbon_core.intensity import cloud_metadata, ip_place
from carbon_core.intensity.live import BackoffSource, IntensitySource, MarginalSource
from carbon_core.intensity.location import Place, locate
from carbon_core.intensity.source_table import (
    MARGINAL_SOURCES,
    SOURCES,
    Made,
    Source,
    SourceArguments,
    source_named,
)
from carbon_core.intensity.tables import country_name
from carbon_core.intensity.time_zone import machine_time_zone
from carbon_core.record import replace
from carbon_core.tracker.parts import LiveIntensity, Parts

# A metadata service is on the same machine, or there is none.
_METADATA_TIMEOUT_S = 1.0


def place_of(settings: Settings, environ: Mapping[str, str], root: Path = Path("/")) -> Place:
    """Return the location from the settings, and from the machine's time zone if they allow it."""
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
    """Return the fields of the results that depend on the place."""
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
    """Return whether the settings leave the place open and allow looking it up over the network."""
    given = (
        settings.country_iso_code,
        settings.country_2letter_iso_code,
        settings.region,
        settings.electricitymaps_zone,
        settings.cloud_provider,
        settings.cloud_region,
        settings.force_carbon_intensity_g_co2e_kwh,
    )
    is_on = settings.geolocation in ("cloud", "ip") and is_lookup_allowed(settings)
    return is_on and all(value is None for value in given)


def learned(settings: Settings, place: Place, parts: Parts) -> Parts:
    """Return the parts of a run with the place found over the network; unchanged where none is found.

    Args:
        settings: The effective settings.
        place: What is known without the network.
        parts: The parts of the run.
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
            parts.messages.warn(f"the location is unknown: {error}")
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
    """Return the cloud region of this machine, looked up once in a process."""
    return cloud_metadata.cloud_place(link_local(SystemClock(), _METADATA_TIMEOUT_S))


# --- over the network: the intensity -----------------------------------------------------------------


def source_problems(settings: Settings) -> list[str]:
    """Return why a source that the settings select is not requested, one sentence each."""
    return [*_average_problems(settings), *_marginal_problems(settings)]


def live_source(settings: Settings, clock: Clock, place: Place) -> LiveIntensity | None:
    """Return the live source that the settings select, with backoff; None where they select none."""
    source = _selected(settings)
    if settings.force_carbon_intensity_g_co2e_kwh is not None or source is None:
        return None
    if not _is_usable(source, settings):
        return None  # `source_problems` or `local_trust.warnings` has reported it
    return BackoffSource(_made(source, settings, fetcher(clock), place), clock)


def source_of(settings: Settings, fetch: Fetch, place: Place) -> IntensitySource:
    """Return the live source that the settings select.

    Args:
        settings: The effective settings.
        fetch: The HTTP client.
        place: The location.

    Raises:
        ConfigError: They select none, or one that lacks what it needs, or whose secret may not be sent.
    """
    source = _selected(settings)
    if source is None:
        raise ConfigError(f"no intensity_source is set; known are {', '.join(SOURCES)}")
    if problems := _average_problems(settings):
        raise ConfigError(problems[0], key="intensity_source")
    if not is_source_allowed(source, settings):
        raise ConfigError(local_warnings(settings)[0], key="intensity_source")
    return _made(source, settings, fetch, place)


def marginal_source(settings: Settings, clock: Clock, place: Place) -> MarginalSource | None:
    """Return the source of marginal intensity that the settings select, or None."""
    for source in MARGINAL_SOURCES.values():
        if _is_usable(source, settings):
            return _made(source, settings, fetcher(clock), place)
    return None


def _selected(settings: Settings) -> Source[IntensitySource] | None:
    """Return the source that is set, else the first automatic one that has all it needs, or None.

    Raises:
        ConfigError: There is no source of that name.
    """
    if settings.intensity_source:
        return source_named(settings.intensity_source)
    automatic = (source for source in SOURCES.values() if source.automatic)
    return next((source for source in automatic if not _missing(source, settings)), None)


def _average_problems(settings: Settings) -> list[str]:
    source = _selected(settings)
    if source is None:
        return []
    if missing := _missing(source, settings):
        return [f"intensity_source={source.name} needs {_listed(missing)}"]
    refusal = _refusal(source, settings)
    return [f"no live grid intensity: {refusal}"] if refusal else []


def _marginal_problems(settings: Settings) -> list[str]:
    problems = []
    for source in MARGINAL_SOURCES.values():
        missing = _missing(source, settings)
        if missing and len(missing) < len(source.needs):
            problems.append(f"{source.title} needs {_listed(source.needs)}")
        elif not missing and (refusal := _refusal(source, settings)):
            problems.append(f"no marginal intensity: {refusal}")
    return problems


def _is_usable(source: Source[Made], settings: Settings) -> bool:
    is_complete = not _missing(source, settings) and not _refusal(source, settings)
    return is_complete and is_source_allowed(source, settings)


def _missing(source: Source[Made], settings: Settings) -> list[str]:
    return [key for key in source.needs if not getattr(settings, key)]


def _refusal(source: Source[Made], settings: Settings) -> str:
    if source.secret is None:
        return address_problem(getattr(settings, source.url_key) or "", source.url_key)
    secret = Secret(source.secret, source.url_key, scheme="https")
    return secret.refusal(settings, {})  # sources read no variable of their own


def _made(source: Source[Made], settings: Settings, fetch: Fetch, place: Place) -> Made:
    return source.make(
        SourceArguments(
            fetch,
            getattr(settings, source.url_key) or source.url,
            source.zone_of(place),
            place.coordinates,
            {key: getattr(settings, key) for key in source.needs},
        )
    )


def _listed(keys: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(keys[:-1]), keys[-1]]))
