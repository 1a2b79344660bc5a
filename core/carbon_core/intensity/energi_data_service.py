"""Live grid intensity of Denmark from its system operator (Energi Data Service, no key).

https://www.energidataservice.dk, data set ``CO2Emis``: CO2 of what is consumed, every five minutes, by
price area.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from carbon_core.addresses import joined
from carbon_core.errors import IntensityError
from carbon_core.fetch import Fetch
from carbon_core.intensity.live import SIGMA_MEASURED, checked_g_per_kwh, in_steps, listed
from carbon_core.records import Intensity

_AREAS = ("DK1", "DK2")
_TIME = "%Y-%m-%dT%H:%M"
# Of five minutes each; a day stays well below the largest response that is read.
_SPAN = timedelta(days=1)


class EnergiDataService:
    """Requests the values of one of Denmark's two price areas.

    Attributes:
        name: The service's name.

    Args:
        fetch: The HTTP client.
        url: Base address.
        area: ``DK1`` (west) or ``DK2`` (east), also as the zone ``DK-DK1``; None when not set.
    """

    name = "Energi Data Service"

    def __init__(self, fetch: Fetch, url: str, area: str | None) -> None:
        self._fetch = fetch
        self._url = url
        self._area = (area or "").strip().upper().removeprefix("DK-")

    def latest(self) -> Intensity:
        """Return the value of the last five minutes, as `IntensitySource.latest`."""
        values = self._request({"limit": "1", "sort": "Minutes5UTC desc"})
        if not values:
            raise IntensityError(f"{self.name}: no value in the response")
        return values[0]

    def between(self, start: datetime, end: datetime) -> Sequence[Intensity]:
        """Return the values of a span, as `IntensitySource.between`."""
        return [
            value
            for since, until in in_steps(start, end, _SPAN)
            for value in self._request(
                {
                    "start": since.strftime(_TIME),
                    "end": until.strftime(_TIME),
                    "timezone": "UTC",
                    "limit": "0",
                }
            )
        ]

    def _request(self, params: Mapping[str, str]) -> list[Intensity]:
        if self._area not in _AREAS:
            raise IntensityError(
                f"{self.name} has two areas: set region to DK1 (west) or DK2 (east)"
            )
        query = {**params, "filter": json.dumps({"PriceArea": [self._area]})}
        response = self._fetch(joined(self._url, "dataset", "CO2Emis"), query, {})
        return [self._intensity(record) for record in listed(response, "records", self.name)]

    def _intensity(self, record: Mapping[str, Any]) -> Intensity:
        area = record.get("PriceArea", self._area)
        if area != self._area:
            raise IntensityError(f"{self.name}: requested {self._area}, got {area!r:.100}")
        what = f"{self.name}: CO2Emission of {area}"
        return Intensity(
            checked_g_per_kwh(record.get("CO2Emission"), what),
            place=self._area,
            source=self.name,
            kind="live",
            scope="direct",
            sigma_ln=SIGMA_MEASURED,
            time=str(record.get("Minutes5UTC", ""))[:40] or None,
            note="CO2 only",
            accounting="consumption",
        )
