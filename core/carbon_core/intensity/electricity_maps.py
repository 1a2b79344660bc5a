"""Live grid intensity from Electricity Maps (API v3, https://docs.electricitymaps.com)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.errors import IntensityError
from carbon_core.fetch import Fetch
from carbon_core.records import Intensity

SOURCE = "Electricity Maps"
# Standard uncertainties of lifecycle factors: 5 % where the zone reports, more where it is modelled.
_SIGMA_MEASURED = 0.05
_SIGMA_ESTIMATED = 0.12
_MAX_G_PER_KWH = 3000.0
# Values come every hour, and up to two late; one of another day says nothing about this one.
_OLD = timedelta(hours=3)
_TOO_OLD = timedelta(hours=24)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_REMEDIES = {
    "HTTP status 401": "check electricitymaps_api_token",
    "HTTP status 403": "check that the plan of electricitymaps_api_token covers this zone",
    "HTTP status 404": "check electricitymaps_zone",
    "HTTP status 429": "ask less often with a larger api_call_interval",
}


class ElectricityMaps:
    """Asks for the latest value of one zone.

    Args:
        fetch: The door to the network.
        url: Base address, with or without scheme.
        token: Sent in the header ``auth-token``, over HTTPS or to this machine only.
        zone: Zone key such as ``FR``; None when no place is known.
        clock: Tells how old a value is, and when the service may be asked again.
    """

    def __init__(self, fetch: Fetch, url: str, token: str, zone: str | None, clock: Clock) -> None:
        self._fetch = fetch
        self._url = url if "://" in url else f"https://{url}"
        self._token = token
        self._zone = zone
        self._clock = clock
        self._not_before_ns = clock.monotonic_ns()

    def latest(self) -> Intensity:
        """Return the zone's latest value.

        Raises:
            IntensityError: The service cannot be asked, or its answer cannot be used.
        """
        if self._zone is None:
            raise IntensityError(
                "Electricity Maps cannot be asked without a place: set country_iso_code or "
                "electricitymaps_zone"
            )
        try:
            parts = urlsplit(self._url)
        except ValueError as error:
            raise IntensityError("electricitymaps_url is no address") from error
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise IntensityError("electricitymaps_url must be https: a token is sent to it")
        if self._clock.monotonic_ns() < self._not_before_ns:
            raise IntensityError("Electricity Maps asked to be left alone for a while")
        address = f"{self._url.rstrip('/')}/carbon-intensity/latest"
        try:
            answer = self._fetch(address, {"zone": self._zone}, {"auth-token": self._token})
        except IntensityError as error:
            wait_ns = units.nanoseconds(error.retry_after_s or 0.0)
            self._not_before_ns = self._clock.monotonic_ns() + wait_ns
            raise IntensityError(_with_remedy(str(error)), error.retry_after_s) from error
        return _fresh(_intensity(answer, self._zone), self._clock.now())


def _fresh(intensity: Intensity, now: datetime) -> Intensity:
    """Return a value with its age where that matters.

    Raises:
        IntensityError: It is of another day.
    """
    try:
        # Python 3.10 knows no `Z`.
        told = datetime.fromisoformat((intensity.time or "").replace("Z", "+00:00"))
        age = now - (told if told.tzinfo else told.replace(tzinfo=timezone.utc))
    except ValueError:
        return intensity  # of an hour that nobody tells
    hours = round(age.total_seconds() / 3600)
    if age > _TOO_OLD:
        raise IntensityError(f"Electricity Maps: the latest value of {intensity.place} is too old")
    if age < _OLD:
        return intensity
    note = "; ".join(filter(None, [intensity.note, f"{hours} h old when it was asked"]))
    return replace(intensity, note=note, sigma_ln=max(intensity.sigma_ln, _SIGMA_ESTIMATED))


def _with_remedy(text: str) -> str:
    remedy = next((words for status, words in _REMEDIES.items() if text.endswith(status)), None)
    return f"{text}; {remedy}" if remedy else text


def _intensity(answer: Any, zone: str) -> Intensity:
    if not isinstance(answer, Mapping):
        raise IntensityError(f"Electricity Maps: no object but {type(answer).__name__}")
    value = answer.get("carbonIntensity")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise IntensityError(f"Electricity Maps: carbonIntensity of {zone} is {value!r:.100}")
    if not 0 <= value <= _MAX_G_PER_KWH:
        raise IntensityError(
            f"Electricity Maps: carbonIntensity of {zone} is out of range: {value}"
        )
    if answer.get("zone", zone) != zone:
        raise IntensityError(f"Electricity Maps: asked for {zone}, got {answer['zone']!r:.100}")
    estimated = bool(answer.get("isEstimated"))
    return Intensity(
        float(value),
        place=zone,
        source=SOURCE,
        kind="live",
        scope="direct" if answer.get("emissionFactorType") == "direct" else "lifecycle",
        sigma_ln=_SIGMA_ESTIMATED if estimated else _SIGMA_MEASURED,
        time=str(answer.get("datetime", ""))[:40] or None,
        note="estimated by the source" if estimated else "",
    )
