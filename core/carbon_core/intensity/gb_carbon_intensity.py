"""Live grid intensity of Great Britain from its system operator (Carbon Intensity API, no key).

https://carbonintensity.org.uk: direct CO2 of what is consumed, every half hour; regional values are
forecasts. Data under CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from carbon_core.addresses import joined
from carbon_core.errors import IntensityError
from carbon_core.fetch import Fetch
from carbon_core.intensity.live import (
    SIGMA_ESTIMATED,
    SIGMA_MEASURED,
    checked_g_per_kwh,
    in_steps,
    listed,
)
from carbon_core.records import Intensity

_REGION_IDS = {"england": "15", "scotland": "16", "wales": "17"}
_REGIONS = frozenset(map(str, range(1, 18)))
_TIME = "%Y-%m-%dT%H:%MZ"
# The service gives 14 days at once; a week stays well below the largest response that is read.
_SPAN = timedelta(days=7)


class GbCarbonIntensity:
    """Requests the values of Great Britain or one of its regions.

    Attributes:
        name: The service's name.

    Args:
        fetch: The HTTP client.
        url: Base address.
        region: ``England``, ``Scotland``, ``Wales`` or a number of the service's regions (1 to 17);
            anything else means all of Great Britain.
    """

    name = "GB Carbon Intensity"

    def __init__(self, fetch: Fetch, url: str, region: str | None) -> None:
        self._fetch = fetch
        self._url = url
        name = (region or "").strip()
        number = _REGION_IDS.get(name.lower(), name)
        self._region_id = number if number in _REGIONS else None
        self._place = f"Great Britain, {name}" if self._region_id else "Great Britain"

    def latest(self) -> Intensity:
        """Return the value of this half hour, as `IntensitySource.latest`."""
        regional = ("regional", "regionid", self._region_id) if self._region_id else None
        response = self._fetch(joined(self._url, *(regional or ("intensity",))), {}, {})
        values = self._values(response)
        if not values:
            raise IntensityError(f"{self.name}: no value in the response")
        return values[-1]

    def between(self, start: datetime, end: datetime) -> Sequence[Intensity]:
        """Return the half-hourly values of a span, as `IntensitySource.between`."""
        values: list[Intensity] = []
        for since, until in in_steps(start, end, _SPAN):
            span: tuple[str, ...] = ("intensity", since.strftime(_TIME), until.strftime(_TIME))
            if self._region_id:
                span = ("regional", *span, "regionid", self._region_id)
            response = self._fetch(joined(self._url, *span), {}, {})
            values += self._values(response)
        return values

    def _values(self, response: Any) -> list[Intensity]:
        """Return the values of half hours, which a region has one or two levels deeper."""
        data = response.get("data") if isinstance(response, Mapping) else None
        if isinstance(data, Mapping):
            return self._values(data)
        items = listed(response, "data", self.name)
        if items and "data" in items[0]:
            return self._values(items[0])
        return [self._intensity(item) for item in items]

    def _intensity(self, half: Mapping[str, Any]) -> Intensity:
        found = half.get("intensity")
        values = found if isinstance(found, Mapping) else {}
        measured = values.get("actual")
        value = values.get("forecast") if measured is None else measured
        return Intensity(
            checked_g_per_kwh(value, f"{self.name}: intensity of {self._place}"),
            place=self._place,
            source=self.name,
            kind="live",
            scope="direct",
            sigma_ln=SIGMA_ESTIMATED if measured is None else SIGMA_MEASURED,
            time=str(half.get("from", ""))[:40] or None,
            note="CO2 only" if measured is not None else "CO2 only, forecast",
            accounting="consumption",
            licence="CC BY 4.0",
        )
