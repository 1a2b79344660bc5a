"""The table of live intensity sources: one row each.

The choices and the help of `intensity_source`, the settings that a source needs, the address that it
is requested from, the warnings about missing settings and the table in docs/intensity.md are derived
from these rows. A row's ``make`` imports the source's module where it is used, so that this table
costs nothing to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from carbon_core.errors import ConfigError
from carbon_core.record import record

if TYPE_CHECKING:
    from carbon_core.fetch import Fetch
    from carbon_core.intensity.electricity_maps import ElectricityMaps
    from carbon_core.intensity.energi_data_service import EnergiDataService
    from carbon_core.intensity.gb_carbon_intensity import GbCarbonIntensity
    from carbon_core.intensity.live import IntensitySource, MarginalSource
    from carbon_core.intensity.location import Place
    from carbon_core.intensity.watttime import WattTime

Made = TypeVar("Made")


@record(frozen=True)
class SourceArguments:
    """What a source is made from.

    Attributes:
        fetch: The HTTP client.
        url: Base address of the service.
        zone: The zone or region to request, as the row's ``zone_of`` returns it; None when unknown.
        coordinates: Latitude and longitude in degrees, or None.
        values: The values of the settings that the row needs, by name.
    """

    fetch: Fetch
    url: str
    zone: str | None
    coordinates: tuple[float, float] | None
    values: Mapping[str, str]


@record(frozen=True)
class Source(Generic[Made]):
    """One service that publishes grid intensity.

    Attributes:
        name: The value of `intensity_source`.
        title: The service's name.
        make: Returns the source; imports its module.
        zone_of: Returns the zone or region to request for a place.
        url: Default base address.
        coverage: Where it has values and how to name the place, for the documentation.
        terms: Licence, or terms of use.
        url_key: The setting that replaces `url`.
        needs: Settings without which the service cannot be requested.
        secret: The one of them that is a secret; it is sent to that address only if `url_key` comes from
            a source that is trusted as much, over HTTPS or within this machine.
        automatic: Used without `intensity_source`, as soon as all that it needs is set.
    """

    name: str
    title: str
    make: Callable[[SourceArguments], Made]
    zone_of: Callable[[Place], str | None]
    url: str
    coverage: str
    terms: str
    url_key: str = "intensity_url"
    needs: tuple[str, ...] = ()
    secret: str | None = None
    automatic: bool = False


def _electricity_maps(given: SourceArguments) -> ElectricityMaps:
    from carbon_core.intensity.electricity_maps import ElectricityMaps

    token = given.values["electricitymaps_api_token"]
    return ElectricityMaps(given.fetch, given.url, token, given.zone, given.coordinates)


def _gb_carbon_intensity(given: SourceArguments) -> GbCarbonIntensity:
    from carbon_core.intensity.gb_carbon_intensity import GbCarbonIntensity

    return GbCarbonIntensity(given.fetch, given.url, given.zone)


def _energi_data_service(given: SourceArguments) -> EnergiDataService:
    from carbon_core.intensity.energi_data_service import EnergiDataService

    return EnergiDataService(given.fetch, given.url, given.zone)


def _watttime(given: SourceArguments) -> WattTime:
    from carbon_core.intensity.watttime import WattTime

    return WattTime(
        given.fetch,
        given.url,
        given.values["watttime_username"],
        given.values["watttime_password"],
        given.values["watttime_region"],
    )


# Average intensity: what emissions are computed from, one source in a run.
_AVERAGE: tuple[Source[IntensitySource], ...] = (
    Source(
        "electricitymaps",
        "Electricity Maps",
        _electricity_maps,
        zone_of=lambda place: place.live_zone,
        url="https://api.electricitymaps.com/v3",
        coverage="most countries; `electricitymaps_zone`, else the country or the coordinates",
        terms="those of the token's plan",
        url_key="electricitymaps_url",
        needs=("electricitymaps_api_token",),
        secret="electricitymaps_api_token",  # noqa: S106 - the name of a setting
        automatic=True,
    ),
    Source(
        "gb_carbon_intensity",
        "GB Carbon Intensity",
        _gb_carbon_intensity,
        zone_of=lambda place: place.region,
        url="https://api.carbonintensity.org.uk",
        coverage="Great Britain; `region` England, Scotland, Wales or 1 to 17",
        terms="CC BY 4.0",
    ),
    Source(
        "energi_data_service",
        "Energi Data Service",
        _energi_data_service,
        zone_of=lambda place: place.region or place.zone,
        url="https://api.energidataservice.dk",
        coverage="Denmark; `region` DK1 or DK2",
        terms="CC BY 4.0",
    ),
)
# Marginal intensity: reported beside the emissions, never part of them.
_MARGINAL: tuple[Source[MarginalSource], ...] = (
    Source(
        "watttime",
        "WattTime",
        _watttime,
        zone_of=lambda place: None,  # its regions have names of their own: `watttime_region`
        url="https://api.watttime.org",
        coverage="`watttime_region`",
        terms="those of the account",
        url_key="watttime_url",
        needs=("watttime_username", "watttime_password", "watttime_region"),
        secret="watttime_password",  # noqa: S106 - the name of a setting
        automatic=True,
    ),
)

SOURCES: dict[str, Source[IntensitySource]] = {source.name: source for source in _AVERAGE}
MARGINAL_SOURCES: dict[str, Source[MarginalSource]] = {source.name: source for source in _MARGINAL}


def source_named(name: str) -> Source[IntensitySource]:
    """Return the row of a source.

    Raises:
        ConfigError: There is no such source.
    """
    if name not in SOURCES:
        known = ", ".join(SOURCES)
        raise ConfigError(
            f"there is no intensity source {name!r}; known are {known}", key="intensity_source"
        )
    return SOURCES[name]


def source_choices() -> str:
    """Return the sources as a sentence, for the help of `intensity_source`."""
    texts = []
    for source in SOURCES.values():
        needs = f"; needs {', '.join(f'`{key}`' for key in source.needs)}" if source.needs else ""
        when = ", with which it is also the default" if source.automatic else ""
        texts.append(f"`{source.name}` ({source.coverage}{needs}{when})")
    return f"Live source of grid intensity: {', '.join(texts[:-1])} or {texts[-1]}."
