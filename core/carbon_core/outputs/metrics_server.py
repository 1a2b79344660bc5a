"""A small HTTP server on one thread, for a page that is ready before it is requested.

It serves ``GET /metrics`` and closes each connection. Clients are served side by side; their number,
sizes and times are bounded: none keeps others waiting, uses the processor for long, or delays the end.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
from collections import deque
from collections.abc import Callable

from carbon_core import forks
from carbon_core.clock import Clock
from carbon_core.errors import OutputError
from carbon_core.threads import Latch, LazyThread
from carbon_core.units import nanoseconds, seconds

PATH = "/metrics"
# Bounds of one client: its request, what it may send after that, and the time for everything.
_LONGEST_REQUEST = 8192
_MOST_IGNORED = 65_536
_TIME_S = 3.0
# Bounds of all: open connections, of which a new one replaces the oldest, and new ones within a second.
_MOST_CLIENTS = 16
_BACKLOG = 128
_MOST_PER_S = 50
_END_S = 2.0
_BLOCK = 4096
# Without a descriptor of its own, which a forked child would inherit.
_Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)


class MetricsServer:
    """Serves one page to HTTP clients.

    Attributes:
        page: The page. Another thread replaces it as a whole.

    Args:
        address: IP address to listen on.
        port: Port to listen on.
        content_type: Type of the page.
        clock: Source of time.
        warn: Called with a message if the server fails.
    """

    def __init__(
        self,
        address: str,
        port: int,
        content_type: str,
        *,
        clock: Clock,
        warn: Callable[[str], None],
    ) -> None:
        self.page = b""
        self._where = address, port
        self._content_type = content_type
        self._clock = clock
        self._warn = warn
        self._listener: socket.socket | None = None
        self._waker: socket.socket | None = None
        self._woken: socket.socket | None = None
        self._clients: dict[socket.socket, _Client] = {}
        self._accepted: deque[int] = deque(maxlen=_MOST_PER_S)
        self._ending = Latch()
        self._thread = LazyThread(self._run, "carbon-metrics")

    def start(self) -> None:
        """Listen, and start the thread.

        Raises:
            OutputError: The port is in use, or the system refuses the socket or the thread.
        """
        address, port = self._where
        forks.close_in_child(self._forget)
        try:
            self._listener = _listening(address, port)
            self._woken, self._waker = socket.socketpair()
            self._woken.setblocking(False)
        except (OSError, OverflowError) as error:
            self.close()
            reason = getattr(error, "strerror", None) or error
            raise OutputError(
                f"cannot serve metrics on {place(address, port)}: {reason}"
            ) from error
        if not self._thread.start():
            self.close()
            raise OutputError("cannot serve metrics: the system refuses another thread")

    def close(self) -> None:
        """End the thread and close all sockets; clients get no further response."""
        self._ending.set()
        if self._waker is not None:
            with contextlib.suppress(OSError):
                self._waker.send(b"x")
        if self._thread.exists:
            self._thread.join(_END_S)
        forks.keep_in_child(self._forget)
        self._close_sockets()

    def _forget(self) -> None:
        """Close the copies that a forked child has of the sockets, without ending the connections."""
        for one in (self._listener, self._waker, self._woken, *self._clients):
            if one is not None:
                one.close()

    def _close_sockets(self) -> None:
        for client in list(self._clients):
            _end(client)
        self._clients.clear()
        if self._listener is not None:
            _end(self._listener)
        for one in (self._waker, self._woken):
            if one is not None:
                one.close()
        self._listener = self._waker = self._woken = None

    # --- on the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with _Selector() as selector:
                self._serve(selector)
        except Exception as error:  # noqa: BLE001 - the end of a thread; training is not concerned
            self._close_sockets()  # else clients would wait
            self._warn(f"metrics are not served any longer: {error!r}")

    def _serve(self, selector: selectors.BaseSelector) -> None:
        listener, woken = self._listener, self._woken
        if listener is None or woken is None:  # it was closed while the thread began
            return
        selector.register(woken, selectors.EVENT_READ)
        is_listening = False
        while not self._ending.is_set():
            wait_s = self._rate_wait_s()
            if is_listening != (wait_s == 0.0):
                is_listening = not is_listening
                if is_listening:
                    selector.register(listener, selectors.EVENT_READ)
                else:
                    selector.unregister(listener)
            for key, _ in selector.select(self._timeout_s(wait_s)):
                if key.fileobj is listener:
                    self._accept(selector, listener)
                elif isinstance(key.data, _Client):
                    self._advance(selector, key.data)
            now_ns = self._clock.monotonic_ns()
            for client in [one for one in self._clients.values() if one.deadline_ns <= now_ns]:
                self._drop(selector, client)

    def _rate_wait_s(self) -> float:
        """Return for how long no further client is accepted."""
        if len(self._accepted) < _MOST_PER_S:
            return 0.0
        past_s = seconds(self._clock.monotonic_ns() - self._accepted[0])
        return max(0.0, 1.0 - past_s)

    def _timeout_s(self, wait_s: float) -> float | None:
        ends = [one.deadline_ns for one in self._clients.values()]
        left = [max(0.0, seconds(min(ends) - self._clock.monotonic_ns()))] if ends else []
        return min([*left, *([wait_s] if wait_s else [])], default=None)

    def _accept(self, selector: selectors.BaseSelector, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except OSError:  # the client is gone, or the process has too many open files
            self._accepted.append(self._clock.monotonic_ns())
            return
        accepted.setblocking(False)
        if len(self._clients) >= _MOST_CLIENTS:
            self._drop(selector, next(iter(self._clients.values())))
        deadline_ns = self._clock.monotonic_ns() + nanoseconds(_TIME_S)
        client = self._clients[accepted] = _Client(accepted, deadline_ns)
        selector.register(accepted, selectors.EVENT_READ, client)
        self._accepted.append(self._clock.monotonic_ns())

    def _advance(self, selector: selectors.BaseSelector, client: _Client) -> None:
        try:
            if client.unsent is None:
                self._receive(selector, client)
            elif client.unsent:
                self._send(selector, client, client.unsent)
            elif client.ignore() == 0:
                self._drop(selector, client)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(selector, client)

    def _receive(self, selector: selectors.BaseSelector, client: _Client) -> None:
        head = client.request()
        if head is None:
            return
        client.unsent = memoryview(response_to(head, self.page, self._content_type))
        selector.modify(client.socket, selectors.EVENT_WRITE, client)

    def _send(self, selector: selectors.BaseSelector, client: _Client, unsent: memoryview) -> None:
        client.unsent = unsent[client.socket.send(unsent) :]
        if not client.unsent:
            # Closed at once, data that the client has yet to send would reset its connection.
            client.socket.shutdown(socket.SHUT_WR)
            selector.modify(client.socket, selectors.EVENT_READ, client)

    def _drop(self, selector: selectors.BaseSelector, client: _Client) -> None:
        self._clients.pop(client.socket, None)
        with contextlib.suppress(KeyError, ValueError):
            selector.unregister(client.socket)
        _end(client.socket)


class _Client:
    """A connection.

    Attributes:
        socket: Its socket, which does not block.
        deadline_ns: Monotonic time of its end at the latest.
        unsent: What is still to be sent; None while the request is received.
    """

    __slots__ = ("_ignored", "_received", "deadline_ns", "socket", "unsent")

    def __init__(self, socket: socket.socket, deadline_ns: int) -> None:
        self.socket = socket
        self.deadline_ns = deadline_ns
        self.unsent: memoryview | None = None
        self._received = b""
        self._ignored = 0

    def request(self) -> bytes | None:
        """Receive a part of the request; return its head once that is complete or too long."""
        data = self.socket.recv(_BLOCK)
        if not data:
            raise ConnectionError
        self._received += data
        head, end, _ = self._received.replace(b"\r\n", b"\n").partition(b"\n\n")
        if end or len(self._received) > _LONGEST_REQUEST:
            return head
        return None

    def ignore(self) -> int:
        """Receive what follows the request; return 0 at its end, or if it is too much."""
        data = self.socket.recv(_BLOCK)
        self._ignored += len(data)
        return len(data) if self._ignored <= _MOST_IGNORED else 0


def response_to(head: bytes, page: bytes, content_type: str) -> bytes:
    """Return the response to a request.

    Args:
        head: The request's line and headers.
        page: The page that is served.
        content_type: Its type.
    """
    words = head.partition(b"\n")[0].split(b" ")
    if len(head) > _LONGEST_REQUEST:
        return _response("431 Too Large")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return _response("400 Bad Request")
    method, target, _ = words
    if method not in (b"GET", b"HEAD"):
        return _response("405 Not Allowed", headers="Allow: GET, HEAD\r\n")
    if target.partition(b"?")[0] != PATH.encode():
        return _response("404 Not Found", f"Metrics are at {PATH}\n".encode())
    return _response("200 OK", page, content_type, has_body=method == b"GET")


def place(address: str, port: int) -> str:
    """Return an address with its port as text."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _response(
    status: str,
    body: bytes = b"",
    content_type: str = "text/plain; charset=utf-8",
    headers: str = "",
    *,
    has_body: bool = True,
) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"{headers}X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + (body if has_body else b"")


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two programs have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _end(one: socket.socket) -> None:
    """Close a socket, also where a forked child has a copy of it."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
