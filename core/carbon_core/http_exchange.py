"""One HTTP exchange on one connection, with a total time and a total size.

A timeout of the libraries bounds each read, so that a server that sends a byte now and then is never
too late. Here every operation on the socket gets what is left of the request's time: the TLS
handshake, a proxy's response, the headers and their continuations, and the body. No thread watches them.
Looking up a host name cannot be ended: a thread does it, and is left behind where the resolver hangs.

`requests` prepares the request, finds proxies and certificates, and connects; its `Session` is not used
to send, for it reads ``.netrc``, keeps cookies and reads the whole body of a redirect.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import logging
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from carbon_core.addresses import parsed
from carbon_core.clock import Clock
from carbon_core.threads import Latch, LazyThread
from carbon_core.units import seconds

MAX_BODY_BYTES = 64 * 1024
# With headers, interim responses, and what chunks add when a body comes byte by byte.
_MAX_RECEIVED_BYTES = 1024 * 1024
_LEAST_TIMEOUT_S = 0.001
# The codings that are requested, by zlib's number for their format.
_CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_LOGGERS = tuple(
    f"urllib3.{module}" for module in ("connection", "connectionpool", "poolmanager", "util.retry")
)


class TooLargeError(OSError):
    """A response is larger than any that is expected."""


class Limits:
    """What is left of the time and the size of one exchange.

    Args:
        clock: Source of time.
        timeout_s: Seconds from now until the end.
    """

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._end_ns = clock.monotonic_ns() + round(timeout_s * 1e9)
        self._received = 0

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self._clock.monotonic_ns() >= self._end_ns

    @property
    def exceeded(self) -> bool:
        """Whether more was received than any response may have."""
        return self._received > _MAX_RECEIVED_BYTES

    def left_s(self) -> float:
        """Return the rest of the time in seconds.

        Raises:
            TimeoutError: There is none.
        """
        if self.over:
            raise TimeoutError("the total time is over")
        return max(_LEAST_TIMEOUT_S, seconds(self._end_ns - self._clock.monotonic_ns()))

    def count(self, size: int) -> None:
        """Count received bytes.

        Raises:
            TooLargeError: They are too many.
        """
        self._received += size
        if self.exceeded:
            raise TooLargeError("the response is too large")


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
    adapter = _Adapter(limits, authorities)
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


# --- connections that end in time ---------------------------------------------------------------------


class _Adapter(HTTPAdapter):
    """Connects with the limits of one exchange."""

    def __init__(self, limits: Limits, authorities: str | bool) -> None:
        self._limits = limits
        self._authorities = authorities if isinstance(authorities, str) else DEFAULT_CA_BUNDLE_PATH
        # The classes are those of this exchange: the libraries make objects of them, with arguments of
        # their own.
        plain = type("TimedConnection", (_TimedConnection, HTTPConnection), {"limits": limits})
        secure = type("TimedTlsConnection", (_TimedTlsConnection,), {"limits": limits})
        self._pools = {
            "http": type("TimedPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TimedTlsPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pool of connections through a proxy."""
        if proxy.lower().startswith("socks"):
            return super().proxy_manager_for(proxy, **kwargs)  # connects in its own way
        context = _timed_context(self._limits)
        with contextlib.suppress(OSError):  # then no proxy is trusted
            is_directory = Path(self._authorities).is_dir()
            place = {"capath" if is_directory else "cafile": self._authorities}
            context.load_verify_locations(**place)
        manager = super().proxy_manager_for(proxy, proxy_ssl_context=context, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return the status, headers and the open body; cookies are not read."""
        response = requests.Response()
        response.status_code = resp.status
        response.headers.update(resp.headers)
        response.raw = resp
        response.url = req.url or ""
        return response


class _Timed:
    """Mixed into a socket: each operation has what is left of the time."""

    limits: Limits

    def _due(self) -> None:
        self.settimeout(self.limits.left_s())  # type: ignore[attr-defined]

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Receive into a buffer."""
        self._due()
        size: int = super().recv_into(*args, **kwargs)  # type: ignore[misc]
        self.limits.count(size)
        return size

    def recv(self, *args: Any, **kwargs: Any) -> bytes:
        """Receive bytes."""
        self._due()
        data: bytes = super().recv(*args, **kwargs)  # type: ignore[misc]
        self.limits.count(len(data))
        return data

    def send(self, *args: Any, **kwargs: Any) -> int:
        """Send some of the data."""
        self._due()
        size: int = super().send(*args, **kwargs)  # type: ignore[misc]
        return size

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """Send all data."""
        self._due()
        super().sendall(*args, **kwargs)  # type: ignore[misc]


class _TimedSocket(_Timed, socket.socket):
    """A socket of one exchange."""


class _TimedTlsSocket(_Timed, ssl.SSLSocket):
    """An encrypted socket of one exchange."""

    def do_handshake(self, block: bool = False) -> None:
        """Agree on keys, in the time that is left."""
        self._due()
        super().do_handshake(block)


def _timed_context(limits: Limits) -> ssl.SSLContext:
    context: ssl.SSLContext = create_urllib3_context()
    # The documented way to another class of sockets; a socket that is wrapped is left behind.
    context.sslsocket_class = type("TimedTlsSocket", (_TimedTlsSocket,), {"limits": limits})
    return context


class _TimedConnection:
    """Mixed into a connection of urllib3: connects in the time that is left."""

    limits: Limits

    def _new_conn(self) -> socket.socket:
        connection: Any = self
        host = connection._dns_host.strip("[]")
        try:
            places = _looked_up(host, connection.port, self.limits)
        except OSError as error:
            raise NewConnectionError(connection, f"no such host: {type(error).__name__}") from error
        last: OSError | None = None
        for family, kind, protocol, _, place in places:
            try:
                return self._connected(family, kind, protocol, place)
            except OSError as error:
                last = error
        if isinstance(last, TimeoutError):
            raise ConnectTimeoutError(connection, "no connection in time") from last
        raise NewConnectionError(connection, "no connection") from last

    def _connected(self, family: int, kind: int, protocol: int, place: Any) -> socket.socket:
        made = _TimedSocket(family, kind, protocol)
        made.limits = self.limits
        try:
            for option in getattr(self, "socket_options", None) or ():
                made.setsockopt(*option)
            made.settimeout(self.limits.left_s())
            made.connect(place)
        except BaseException:
            made.close()
            raise
        return made


class _TimedTlsConnection(_TimedConnection, HTTPSConnection):
    """An encrypted connection of one exchange."""

    def connect(self) -> None:
        """Connect, through a proxy if there is one, and agree on keys."""
        self.ssl_context = _timed_context(self.limits)
        if not (self.ca_certs or self.ca_cert_dir):
            self.ca_certs = DEFAULT_CA_BUNDLE_PATH
        super().connect()


def _looked_up(host: str, port: int, limits: Limits) -> list[Any]:
    """Return the addresses of a host, in the time that is left.

    Raises:
        OSError: It has none, or they were not found in time.
    """

    def look_up() -> list[Any]:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _in_time(look_up, limits)
    return look_up()


def _in_time(call: Callable[[], list[Any]], limits: Limits) -> list[Any]:
    found: list[Any] = []
    failed: list[Exception] = []
    ended = Latch()

    def run() -> None:
        try:
            found.extend(call())
        except Exception as error:  # noqa: BLE001 - raised on the thread that waits
            failed.append(error)
        finally:
            ended.set()

    thread = LazyThread(run, "carbon-lookup")
    if not thread.start():
        run()
    if not ended.wait(limits.left_s()):
        raise TimeoutError("the host was not found in time")
    thread.join(limits.left_s())
    if failed:
        raise OSError(str(failed[0])) from failed[0]
    return found


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
