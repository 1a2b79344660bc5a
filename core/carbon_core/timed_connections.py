"""Connections whose every operation has what is left of one exchange's time, and of its size.

Looking up a host name cannot be ended: a thread does it, and is left behind where the resolver hangs.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from carbon_core.clock import Clock
from carbon_core.threads import Latch, LazyThread
from carbon_core.units import seconds

# With headers, interim responses, and what chunks add when a body comes byte by byte.
_MAX_RECEIVED_BYTES = 1024 * 1024
_LEAST_TIMEOUT_S = 0.001


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


class TimedAdapter(HTTPAdapter):
    """Connects with the limits of one exchange."""

    def __init__(self, limits: Limits, authorities: str | bool) -> None:
        self._limits = limits
        self._authorities = authorities if isinstance(authorities, str) else DEFAULT_CA_BUNDLE_PATH
        # The classes are those of this exchange: the libraries make objects of them, with arguments of
        # their own.
        plain = type("TimedConnection", (_TimedConnection, HTTPConnection), {"limits": limits})
        secure = type(
            "TimedTlsConnection",
            (_TimedConnection, _TimedTls, HTTPSConnection),
            {"limits": limits},
        )
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
            manager = super().proxy_manager_for(proxy, **kwargs)
            manager.pool_classes_by_scheme = self._through_socks(manager.pool_classes_by_scheme)
            return manager
        context = _timed_context(self._limits)
        with contextlib.suppress(OSError):  # then no proxy is trusted
            is_directory = Path(self._authorities).is_dir()
            place = {"capath" if is_directory else "cafile": self._authorities}
            context.load_verify_locations(**place)
        manager = super().proxy_manager_for(proxy, proxy_ssl_context=context, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def _through_socks(self, pools: Mapping[str, Any]) -> dict[str, Any]:
        """Return the pools of urllib3 for a SOCKS proxy, with connections of this exchange."""
        timed = {}
        for scheme, pool in pools.items():
            bases = (_TimedThroughSocks, *((_TimedTls,) if scheme == "https" else ()))
            connection = type(
                "TimedConnection", (*bases, pool.ConnectionCls), {"limits": self._limits}
            )
            timed[scheme] = type("TimedPool", (pool,), {"ConnectionCls": connection})
        return timed

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


class _TimedThroughSocks:
    """Mixed into a connection that the library of SOCKS proxies makes: timed as soon as it is made."""

    limits: Limits

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()  # type: ignore[misc]
        timed = _TimedSocket(made.family, made.type, made.proto, fileno=made.detach())
        timed.limits = self.limits
        return timed


class _TimedTls:
    """Mixed into an encrypted connection of urllib3."""

    limits: Limits

    def connect(self) -> None:
        """Connect, through a proxy if there is one, and agree on keys."""
        connection: Any = self
        connection.ssl_context = _timed_context(self.limits)
        if not (connection.ca_certs or connection.ca_cert_dir):
            connection.ca_certs = DEFAULT_CA_BUNDLE_PATH
        super().connect()  # type: ignore[misc]


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
