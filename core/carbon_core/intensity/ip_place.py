"""The country of the address that this machine has on the internet, from a third party.

Only where the user enables it. Of the response, country and region are kept; coordinates, address and
provider are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from carbon_core.addresses import redacted
from carbon_core.errors import IntensityError
from carbon_core.fetch import Fetch

_COUNTRY = re.compile("[A-Za-z]{2}")


class IpPlace(NamedTuple):
    """Two-letter code of a country, and the name of a region or an empty string."""

    country: str
    region: str


def ip_place(fetch: Fetch, url: str) -> IpPlace:
    """Return where the service sees this machine.

    Args:
        fetch: The HTTP client.
        url: Address of a service like GeoJS.

    Raises:
        IntensityError: The request failed, or the response has no country.
    """
    told = fetch(url, {}, {})
    country = told.get("country_code") if isinstance(told, Mapping) else None
    if not isinstance(country, str) or not _COUNTRY.fullmatch(country):
        raise IntensityError(f"{redacted(url)}: no country in the response")
    region = told.get("region")
    return IpPlace(country.upper(), region[:80] if isinstance(region, str) else "")
