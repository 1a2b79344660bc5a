"""Marginal grid intensity from WattTime (API v3, https://docs.watttime.org).

The emissions of one additional kilowatt-hour: they help to choose when and where to run; they are not
those of a run, and never part of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from carbon_core.addresses import joined
from carbon_core.errors import IntensityError
from carbon_core.fetch import Fetch, basic
from carbon_core.intensity.live import in_steps, listed, secure
from carbon_core.records import Marginal

_UNIT = "lbs_co2_per_mwh"
_G_PER_KWH_OF_UNIT = 0.45359237
_MOST = 1e5
# Of five minutes each; two days stay well below the largest response that is read.
_SPAN = timedelta(days=2)
_TIME = "%Y-%m-%dT%H:%M+00:00"
# In the first minutes of a run there may be no value yet.
_LEAST_SPAN = timedelta(minutes=15)


class WattTime:
    """Requests the marginal intensity of one region.

    Attributes:
        name: The service's name.

    Args:
        fetch: The HTTP client.
        url: Base address.
        username: Name of the account.
        password: Sent over HTTPS or to this machine only.
        region: WattTime's name of the region, such as ``CAISO_NORTH``.
    """

    name = "WattTime"

    def __init__(self, fetch: Fetch, url: str, username: str, password: str, region: str) -> None:
        self._fetch = fetch
        self._url = url
        self._account = username, password
        self._region = region

    def marginal(self, start: datetime, end: datetime) -> Marginal:
        """Return the mean over a span.

        Raises:
            IntensityError: The request failed, or its response is invalid.
        """
        address = secure(self._url, "watttime_url")
        account = {"Authorization": basic(*self._account)}
        session = self._fetch(joined(address, "login"), {}, account)
        token = session.get("token") if isinstance(session, Mapping) else None
        if not isinstance(token, str):
            raise IntensityError(f"{self.name}: no token in the response to the login")
        values: list[float] = []
        for since, until in in_steps(min(start, end - _LEAST_SPAN), end, _SPAN):
            span = {"start": since.strftime(_TIME), "end": until.strftime(_TIME)}
            query = {"region": self._region, "signal_type": "co2_moer", **span}
            headers = {"Authorization": f"Bearer {token}"}
            values += self._values(self._fetch(joined(address, "v3", "historical"), query, headers))
        if not values:
            raise IntensityError(f"{self.name}: no value for {self._region} in the span of the run")
        return Marginal(sum(values) / len(values), self._region, self.name)

    def _values(self, response: Any) -> list[float]:
        """Return the values of a response in gCO2/kWh; marginal ones may be below zero."""
        items = listed(response, "data", self.name)
        meta = response.get("meta")
        unit = meta.get("units") if isinstance(meta, Mapping) else None
        if unit != _UNIT:
            raise IntensityError(f"{self.name}: units are {unit!r:.40}, not {_UNIT}")
        values: list[float] = []
        for item in items:
            value = item.get("value")
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is None or not is_number or not abs(value) < _MOST:
                raise IntensityError(f"{self.name}: a value of {self._region} is {value!r:.40}")
            values.append(value * _G_PER_KWH_OF_UNIT)
        return values
