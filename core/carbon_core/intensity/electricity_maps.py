"""Live grid intensity from Electricity Maps (API v3, https://docs.electricitymaps.com)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from carbon_core.addresses import joined
from carbon_core.errors import IntensityError
from carbon_core.fetch import Fetch
from carbon_core.intensity.live import (
    SIGMA_ESTIMATED,
    SIGMA_MEASURED,
    checked_g_per_kwh,
    listed,
    secure,
)
from carbon_core.records import Intensity

_REMEDIES = {
    "HTTP status 401": "check electricitymaps_api_token",
    "HTTP status 403": "check that the plan of electricitymaps_api_token covers this zone",
    "HTTP status 404": "check electricitymaps_zone",
    "HTTP status 429": "request less often with a larger api_call_interval",
}


class ElectricityMaps:
    """Requests the values of one zone.

    Attributes:
        name: The service's name.

    Args:
        fetch: The HTTP client.
        url: Base address, with or without scheme.
        token: Sent in the header ``auth-token``, over HTTPS or to this machine only.
        zone: Zone key such as ``FR``; None when no place is known.
        coordinates: Latitude and longitude in degrees, for where no zone is known.
    """

    name = "Electricity Maps"

    def __init__(
        self,
        fetch: Fetch,
        url: str,
        token: str,
        zone: str | None,
        coordinates: tuple[float, float] | None = None,
    ) -> None:
        self._fetch = fetch
        self._url = url
        self._token = token
        self._zone = zone
        self._where = {"zone": zone} if zone else {}
        if coordinates and not zone:
            self._where = {"lat": f"{coordinates[0]:.1f}", "lon": f"{coordinates[1]:.1f}"}

    def latest(self) -> Intensity:
        """Return the zone's latest value, as `IntensitySource.latest`."""
        return self._intensity(self._request("latest"))

    def between(self, start: datetime, end: datetime) -> Sequence[Intensity]:
        """Return the hourly values of the last 24 hours, as `IntensitySource.between`."""
        return [
            self._intensity(item) for item in listed(self._request("history"), "history", self.name)
        ]

    def _request(self, what: str) -> Any:
        if not self._where:
            raise IntensityError(
                f"{self.name} needs a location: set country_iso_code or electricitymaps_zone"
            )
        base = secure(self._url, "electricitymaps_url")
        address = joined(base, "carbon-intensity", what)
        try:
            return self._fetch(address, self._where, {"auth-token": self._token})
        except IntensityError as error:
            raise IntensityError(_with_remedy(str(error)), error.retry_after_s) from error

    def _intensity(self, response: Any) -> Intensity:
        if not isinstance(response, Mapping):
            raise IntensityError(f"{self.name}: no object but {type(response).__name__}")
        zone = self._zone or str(response.get("zone", "at the coordinates"))[:40]
        if response.get("zone", zone) != zone:
            raise IntensityError(f"{self.name}: requested {zone}, got {response['zone']!r:.100}")
        estimated = bool(response.get("isEstimated"))
        what = f"{self.name}: carbonIntensity of {zone}"
        return Intensity(
            checked_g_per_kwh(response.get("carbonIntensity"), what),
            place=zone,
            source=self.name,
            kind="live",
            scope="direct" if response.get("emissionFactorType") == "direct" else "lifecycle",
            sigma_ln=SIGMA_ESTIMATED if estimated else SIGMA_MEASURED,
            time=str(response.get("datetime", ""))[:40] or None,
            note="estimated by the source" if estimated else "",
        )


def _with_remedy(text: str) -> str:
    remedy = next((words for status, words in _REMEDIES.items() if text.endswith(status)), None)
    return f"{text}; {remedy}" if remedy else text
