"""One HTTP exchange on one connection, with a total time and a total size.

A timeout of the libraries bounds each read, so that a server that sends a byte now and then is never
too late. Here every operation on the socket gets what is left of the request's time: the TLS
handshake, a proxy's response, the headers and their continuations, and the body. No thread watches them.

`requests` prepares the request, finds proxies and certificates, and connects; its `Session` is not used
to send, for it reads ``.netrc``, keeps cookies and reads the whole body of a redirect.
"""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, NamedTuple

import requests
from requests.structures import CaseInsensitiveDict

from carbon_core.addresses import parsed
from carbon_core.timed_connections import Limits, TimedAdapter, TooLargeError

MAX_BODY_BYTES = 64 * 1024
# The codings that are requested, by zlib's number for their format.
_CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_LOGGERS = tuple(
    f"urllib3.{module}" for module in ("connection", "connectionpool", "poolmanager", "util.retry")
)


class Exchange(NamedTuple):
    """The response to one request.

    Attributes:
        status: The HTTP status.
        headers: Its headers, by names of any case.
        body: Its body, decoded; empty where it was not expected.
        complete: Whether the body is whole: in time, not too large, decodable.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool


def exchange(
    prepared: requests.PreparedRequest,
    limits: Limits,
    *,
    expected: Container[int],
    past_proxies: bool = False,
    verify: bool | str | None = None,
    certificate: Any = None,
) -> Exchange:
    """Send a request and return the response.

    Args:
        prepared: The request. This machine is never requested through a proxy.
        limits: Time and size; shared by the requests that belong to one.
        expected: The statuses whose body is read.
        past_proxies: Whether to use no proxy.
        verify: File or directory of certificate authorities; None for the usual ones.
        certificate: File of a client certificate, or a pair of files.

    Raises:
        Exception: Of many types of the libraries, which parse what the server sends; the message may
            contain secrets.
    """
    url = prepared.url or ""
    with requests.Session() as environment:
        options = environment.merge_environment_settings(url, {}, True, verify, certificate)
    direct = past_proxies or parsed(url).is_loopback
    authorities = options["verify"] if isinstance(options["verify"], str) else True
    adapter = TimedAdapter(limits, authorities)
    with _without_records(), contextlib.closing(adapter):
        response = adapter.send(
            prepared,
            timeout=limits.left_s(),
            stream=True,
            verify=authorities,
            cert=options["cert"],
            proxies={} if direct else options["proxies"],
        )
        with contextlib.closing(response):
            status, headers = response.status_code, response.headers
            if status not in expected:
                return Exchange(status, headers, b"", complete=True)
            body, complete = _body(response.raw, limits)
    return Exchange(status, headers, *_decoded(body, complete, headers.get("Content-Encoding", "")))


def _body(raw: Any, limits: Limits) -> tuple[bytes, bool]:
    """Return the body as it was sent, as far as it came, and whether that is all."""
    body = bytearray()
    try:
        # Byte by byte: a body whose end is late is read as far as it was sent.
        for chunk in raw.stream(1, decode_content=False):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise TooLargeError("the body is too large")
    except Exception:
        if not (limits.over or len(body) > MAX_BODY_BYTES):
            raise
        return bytes(body), False
    return bytes(body), True


def _decoded(body: bytes, complete: bool, coding: str) -> tuple[bytes, bool]:
    """Return a body without its content coding, at most one byte larger than it may be."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body, complete
    if coding not in _CODINGS:
        return b"", False
    # Some servers send "deflate" without its header.
    for format_number in (_CODINGS[coding], *((-15,) if coding == "deflate" else ())):
        try:
            decoder = zlib.decompressobj(format_number)
            plain = decoder.decompress(body, MAX_BODY_BYTES + 1)
        except zlib.error:
            continue
        return plain, complete and decoder.eof
    return b"", False


# --- the libraries' records ---------------------------------------------------------------------------

_own = threading.local()


@contextlib.contextmanager
def _without_records() -> Iterator[None]:
    """Drop the log records of this thread's exchange: they contain paths and queries."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_outside_exchanges)
    _own.depth = getattr(_own, "depth", 0) + 1
    try:
        yield
    finally:
        _own.depth -= 1


def _outside_exchanges(record: object) -> bool:
    return not getattr(_own, "depth", 0)


# --- for libraries that bring their own client --------------------------------------------------------


class LimitedSession(requests.Session):
    """A session of `requests` whose requests are exchanges, for a library that sends by itself.

    They have the headers that were given, and of the library's those that describe the body.

    Args:
        given: The headers.
        send: Makes an exchange from a request and the time and certificates that the library gives it.
    """

    _OF_BODY = ("content-type", "content-encoding", "content-length", "user-agent")

    def __init__(self, given: Mapping[str, str], send: Callable[..., Exchange]) -> None:
        super().__init__()
        self.trust_env = False  # no .netrc
        self._given = dict(given)
        self._send = send

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request and return the response without its body."""
        sent = request.copy()
        of_body = {
            name: value for name, value in request.headers.items() if name.lower() in self._OF_BODY
        }
        sent.headers = CaseInsensitiveDict({**of_body, **self._given})
        got = self._send(
            sent,
            options.get("timeout"),
            verify=options.get("verify"),
            certificate=options.get("cert"),
        )
        response = requests.Response()
        response.url, response.request = sent.url or "", sent
        response.status_code = got.status
        response.headers.update(got.headers)
        response.raw = io.BytesIO()
        return response
