"""A custom HTTP endpoint: one POST with the results at the end of each run."""

from __future__ import annotations

import json

from carbon_core.addresses import with_scheme
from carbon_core.fetch import Send
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.records import Amounts
from carbon_core.report import Report

NOTHING = Amounts()


class Endpoint:
    """An output (see `carbon_core.outputs.base.Output`): the 38 fields of the CSV file as JSON.

    The name of the user, which CodeCarbon adds, is not sent.

    Args:
        url: The address; without a scheme, HTTP.
        send: Sends a request.
    """

    def __init__(self, url: str, send: Send) -> None:
        self._url = with_scheme(url)
        self._send = send

    def open(self, report: Report) -> None:
        """Nothing is sent at the beginning."""

    def update(self, report: Report, delta: Amounts) -> Amounts | None:
        """No-op: consumers that add up totals would count them twice."""
        return NOTHING

    def close(self, report: Report, delta: Amounts) -> Amounts | None:
        """Send the totals."""
        post_json(self._send, self._url, emissions_data(report).values)
        return None


def post_json(send: Send, url: str, data: object, headers: dict[str, str] | None = None) -> bytes:
    """Send data as JSON; return the body of the response.

    Raises:
        OutputError: It was not accepted.
    """
    body = json.dumps(data, allow_nan=False, default=str).encode()
    return send("POST", url, body, {"Content-Type": "application/json", **(headers or {})})
