"""Which cloud region this machine runs in, from the clouds' own metadata services.

All three have the same link-local address, which does not exist outside a cloud. Account numbers and
the like, which some of them return as well, are not kept.

Sources: AWS, Instance Metadata Service v2; Azure Instance Metadata Service, 2021-02-01; Google Compute
Engine, metadata server v1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from carbon_core.errors import IntensityError
from carbon_core.fetch import Ask, decoded
from carbon_core.threads import in_parallel

BASE = "http://169.254.169.254"
_REGION = re.compile(r"[a-z][a-z0-9-]{2,40}")
_ZONE_LETTER = re.compile(r"-[a-z]$")
_TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - the name of a header


class CloudPlace(NamedTuple):
    """A provider (``aws``, ``azure``, ``gcp``) and its name of a region."""

    provider: str
    region: str


def cloud_place(ask: Ask) -> CloudPlace | None:
    """Request all three services at once; return the result of one, or None outside these clouds.

    Args:
        ask: Makes a request and returns the response's text, as `carbon_core.fetch.link_local` does.
    """
    found: dict[str, str] = {}

    def asking(provider: str, region_of: Callable[[Ask], str]) -> Callable[[], None]:
        def call() -> None:
            try:
                region = region_of(ask).lower()
            except (IntensityError, ValueError, KeyError, TypeError, AttributeError):
                return  # not this cloud, or nothing that can be understood
            if _REGION.fullmatch(region):
                found[provider] = region

        return call

    calls = [asking(provider, region_of) for provider, region_of in _REGION_OF.items()]
    in_parallel(calls, "carbon-cloud")
    return next((CloudPlace(name, found[name]) for name in _REGION_OF if name in found), None)


def _aws(ask: Ask) -> str:
    token = ask("PUT", f"{BASE}/latest/api/token", {f"{_TOKEN_HEADER}-ttl-seconds": "60"})
    told = ask("GET", f"{BASE}/latest/dynamic/instance-identity/document", {_TOKEN_HEADER: token})
    return str(decoded(told)["region"])


def _azure(ask: Ask) -> str:
    told = ask(
        "GET", f"{BASE}/metadata/instance/compute?api-version=2021-02-01", {"Metadata": "true"}
    )
    return str(decoded(told)["location"])


def _gcp(ask: Ask) -> str:
    told = ask("GET", f"{BASE}/computeMetadata/v1/instance/zone", {"Metadata-Flavor": "Google"})
    _, _, zone = told.strip().rpartition("/zones/")
    return _ZONE_LETTER.sub("", zone)


_REGION_OF: dict[str, Callable[[Ask], str]] = {"aws": _aws, "azure": _azure, "gcp": _gcp}
