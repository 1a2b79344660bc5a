"""Reading what a server answers: raw bytes on the connection, or a JSON body for each live source."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from carbon_core.clock import SystemClock
from carbon_core.errors import IntensityError, OutputError
from carbon_core.fetch import decoded, fetcher, sender
from carbon_core.hours import utc
from carbon_core.intensity.cloud_metadata import cloud_place
from carbon_core.intensity.ip_place import ip_place
from carbon_core.intensity.live import aged, by_hour
from carbon_core.intensity.source_table import MARGINAL_SOURCES, SOURCES, SourceArguments
from carbon_core.records import Intensity

_OK = b"HTTP/1.1 200 OK\r\n"
SEEDS = (
    _OK + b'Content-Length: 8\r\n\r\n{"a": 1}',
    _OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\nT: 1\r\n\r\n",
    _OK + b"Content-Encoding: deflate\r\n\r\nx\x9c\xab\xae\x05\x00\x01\x75\x00\xf9",
    b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + b"\r\n[]",
    b"HTTP/1.0 429 Slow\r\nRetry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://[::1%25x]/\r\nSet-Cookie: a=b; expires=1\r\n\r\n{}",
    b'{"zone": "FR", "carbonIntensity": 42, "datetime": "2026-01-01T10:00Z", "isEstimated": 1}',
    b'{"history": [{"carbonIntensity": 42, "datetime": "0001-01-01T00:00+14:00"}]}',
    b'{"data": [{"from": "2026-01-01T10:00Z", "intensity": {"forecast": 9, "actual": 250}}]}',
    b'{"data": {"data": [{"intensity": {"forecast": 250}}]}}',
    b'{"records": [{"Minutes5UTC": "2026-01-01T10:00", "PriceArea": "DK1", "CO2Emission": 2.5}]}',
    b'{"token": "x", "meta": {"units": "lbs_co2_per_mwh"}, "data": [{"value": 900.5}]}',
    b'{"country_code": "FR", "region": "Paris", "location": "westeurope"}',
    b"projects/1/zones/europe-west1-b",
)
DICTIONARY = (
    b"Content-Length: ", b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Retry-After: ",
    b"\r\n\r\n", b"HTTP/1.1 ", b'"carbonIntensity": ', b'"value": ', b"1e400", b"NaN", b"\\ud800",
    b"9999-12-31T23:59:59-14:00", b"null", b"true", b"[[", b'{"data":',
)  # fmt: skip
_START = datetime(2026, 1, 1, 10, tzinfo=timezone.utc)
_END = _START + timedelta(hours=1)
_ZONES = {"electricitymaps": "FR", "gb_carbon_intensity": "Wales", "energi_data_service": "DK1"}


def run(data: bytes, directory: Path) -> None:
    """Answer with any bytes: errors are the package's own, and values are finite."""
    if data.startswith(b"HTTP"):
        _answered(data)
    else:
        _parsed(data)


def _answered(data: bytes) -> None:
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    with contextlib.suppress(IntensityError), _server(data) as url:
        decoded(json.dumps(fetcher(clock, 1.0)(url, {}, {})))
    with contextlib.suppress(OutputError), _server(data) as url:
        assert len(sender(clock, 1.0)("POST", url, b"{}", {})) <= 65_536
    assert clock.monotonic_ns() - began_ns < 10e9


@contextlib.contextmanager
def _server(data: bytes) -> Any:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.settimeout(5)
                    connection.recv(65_536)
                    connection.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            thread.join()


def _parsed(data: bytes) -> None:
    def fetch(url: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        try:
            return decoded(data)
        except ValueError:
            raise IntensityError("not JSON") from None

    for name, source in {**SOURCES, **MARGINAL_SOURCES}.items():
        needs = dict.fromkeys(source.needs, "x")
        for zone in (_ZONES.get(name), None):
            made: Any = source.make(SourceArguments(fetch, source.url, zone, (1.0, 2.0), needs))
            if name in MARGINAL_SOURCES:
                with contextlib.suppress(IntensityError):
                    assert math.isfinite(made.marginal(_START, _END).g_per_kwh)
                continue
            with contextlib.suppress(IntensityError):
                _check([aged(made.latest(), _END)])
            with contextlib.suppress(IntensityError):
                values = made.between(_START, _END)
                _check([*values, *by_hour(values).values()])
    with contextlib.suppress(IntensityError):
        place = ip_place(fetch, "https://place.example")
        assert len(place.country) == 2
        assert len(place.region) <= 80
        json.dumps(place).encode()
    found = cloud_place(lambda method, url, headers: data.decode("utf-8", "replace"))
    assert found is None or len(found.region) <= 50


def _check(values: Iterable[Intensity]) -> None:
    for value in values:
        assert math.isfinite(value.g_per_kwh)
        assert 0 <= value.g_per_kwh <= 3000
        str(value).encode()
        with contextlib.suppress(ValueError):
            utc(value.time or "").astimezone(timezone.utc)
