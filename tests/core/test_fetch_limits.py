"""One request has a total time and a total size, whatever the server sends, and leaves no thread."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterator

import pytest

from carbon_core.clock import SystemClock
from carbon_core.errors import IntensityError, OutputError
from carbon_core.fetch import fetcher, sender

TIMEOUT_S = 0.3
# Far less than what the slow answers take, far more than what a busy machine adds.
PATIENCE_S = 2.0
MEGABYTE = 2**20
Script = Callable[["RawServer", socket.socket], None]


class RawServer:
    """A server on this machine that answers each connection with bytes of a script's choice."""

    def __init__(self, script: Script) -> None:
        self.ending = threading.Event()
        self.sent = 0
        self._script = script
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while not self.ending.is_set():
                connection, _ = self._listening.accept()
                with connection, contextlib.suppress(OSError):
                    self._script(self, connection)

    def drip(self, connection: socket.socket, data: bytes, repeated: bytes) -> None:
        """Send data, then a few bytes now and then, until the end."""
        connection.sendall(data)
        while not self.ending.wait(0.05):
            connection.sendall(repeated)

    def flood(self, connection: socket.socket, data: bytes, repeated: bytes) -> None:
        """Send data, then more without end."""
        connection.sendall(data)
        while not self.ending.is_set():
            connection.sendall(repeated)
            self.sent += len(repeated)

    def close(self) -> None:
        self.ending.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextlib.contextmanager
def serving(script: Script) -> Iterator[RawServer]:
    server = RawServer(script)
    try:
        yield server
    finally:
        server.close()


def failure(url: str, timeout_s: float = TIMEOUT_S) -> IntensityError:
    """Return the error of a request that fails in time and leaves no thread."""
    clock = SystemClock()
    threads = set(threading.enumerate())
    began_ns = clock.monotonic_ns()
    with pytest.raises(IntensityError) as caught:
        fetcher(clock, timeout_s)(url, {}, {})
    assert (clock.monotonic_ns() - began_ns) / 1e9 < timeout_s + PATIENCE_S
    assert set(threading.enumerate()) == threads
    return caught.value


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "status": (b"", b"H"),
    "header names": (OK, b"X"),
    "headers": (OK, b"X: 1\r\n"),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (OK + b"Content-Length: 60000\r\n\r\n", b" "),
    "body without length": (OK + b"\r\n", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "chunk extensions": (CHUNKED + b"2;", b"x=y;"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"T: 1\r\n"),
    "compressed": (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}")[:10], b"\0"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("begin", "repeated"), DRIPS.values(), ids=DRIPS.keys())
def test_an_answer_that_drips_ends_with_the_total_time(begin: bytes, repeated: bytes) -> None:
    with serving(lambda server, to: server.drip(to, begin, repeated)) as server:
        assert failure(f"http://127.0.0.1:{server.port}").retry_after_s is None


@pytest.mark.slow
@pytest.mark.parametrize("repeated", [b"\x16", b""], ids=["drips", "silent"])
def test_a_tls_handshake_ends_with_the_total_time(repeated: bytes) -> None:
    # A record of a handshake that announces 16 kilobytes.
    with serving(lambda server, to: server.drip(to, b"\x16\x03\x03\x40\x00", repeated)) as server:
        assert "time" in str(failure(f"https://127.0.0.1:{server.port}"))


@pytest.mark.slow
@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\n"], ids=["status", "headers"])
def test_the_answer_of_a_proxy_ends_with_the_total_time(
    begin: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda server, to: server.drip(to, begin, b"X: 1\r\n")) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.port}")
        failure("https://intensity.example")


def socks_replies(server: RawServer, to: socket.socket, data: bytes, repeated: bytes) -> None:
    """Accept any connection as a SOCKS proxy does, and answer in the place of its host."""
    to.recv(100)
    to.sendall(b"\x05\x00")
    to.recv(300)
    to.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01")
    server.drip(to, data, repeated)


SOCKS_DRIPS = {"http": (OK, b"X: 1\r\n"), "https": (b"\x16\x03\x03\x40\x00", b"\x16")}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SOCKS_DRIPS)
def test_an_answer_through_a_socks_proxy_ends_with_the_total_time(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("socks", reason="PySocks is not installed here")
    begin, repeated = SOCKS_DRIPS[scheme]
    with serving(lambda server, to: socks_replies(server, to, begin, repeated)) as server:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{server.port}")
        assert str(failure(f"{scheme}://intensity.example")).endswith("no response in time")


def test_an_answer_through_a_socks_proxy_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("socks", reason="PySocks is not installed here")
    good = OK + b"Content-Length: 2\r\n\r\n{}"
    with serving(lambda server, to: socks_replies(server, to, good, b"")) as server:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{server.port}")
        assert fetcher(SystemClock())("http://intensity.example", {}, {}) == {}


@pytest.mark.parametrize(
    "proxy", ["ftp://x:1", "http://[bad", "http://a b:1", "://", "http://me:hunter2@host:99999"]
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    assert str(failure("http://intensity.example")) == (
        "http://intensity.example: the proxy in HTTP_PROXY or ALL_PROXY cannot be used"
    )


@pytest.mark.slow
def test_a_slow_resolver_ends_with_the_total_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def slow(*arguments: object, **more: object) -> list[object]:
        over.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    clock = SystemClock()
    began_ns = clock.monotonic_ns()
    with pytest.raises(IntensityError, match=r"no response in time|no connection"):
        fetcher(clock, TIMEOUT_S)("http://intensity.example", {}, {})
    assert (clock.monotonic_ns() - began_ns) / 1e9 < TIMEOUT_S + PATIENCE_S
    over.set()
    for thread in threading.enumerate():
        if thread.name == "carbon-lookup":
            thread.join()


def test_addresses_of_a_host_share_the_total_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # A full backlog: connecting takes for ever.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        place = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(place)
        found = (socket.AF_INET, socket.SOCK_STREAM, 6, "", place)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [found] * 50)
        assert "time" in str(failure(f"http://intensity.example:{place[1]}"))
        for one in waiting:
            one.close()


FLOODS = {
    "header line": (OK + b"X: ", b"y" * 65_536),
    "headers": (OK, b"X: " + b"y" * 60_000 + b"\r\n"),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "body": (OK + b"\r\n", b" " * 65_536),
    "chunk extension": (CHUNKED + b"2;", b"x" * 65_536),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"T: 1\r\n" * 10_000),
    "body of a redirect": (
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        b" " * 65_536,
    ),
    "body of an error": (b"HTTP/1.1 500 Error\r\n\r\n", b" " * 65_536),
}


@pytest.mark.parametrize(("begin", "repeated"), FLOODS.values(), ids=FLOODS.keys())
def test_an_answer_without_end_is_refused_early(begin: bytes, repeated: bytes) -> None:
    with serving(lambda server, to: server.flood(to, begin, repeated)) as server:
        text = str(failure(f"http://127.0.0.1:{server.port}", timeout_s=5.0))
        assert server.sent < 16 * MEGABYTE
    assert "time" not in text


def answering(data: bytes) -> Script:
    def script(server: RawServer, to: socket.socket) -> None:
        to.recv(65_536)
        to.sendall(data)

    return script


def response(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"deflate", raw_deflate)],
)
def test_a_compressed_body_is_read_up_to_its_limit(
    coding: bytes, pack: Callable[[bytes], bytes]
) -> None:
    good = response(pack(b'{"a": 1}'), b"Content-Encoding: " + coding)
    with serving(answering(good)) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert fetcher(SystemClock())(url, {}, {}) == {"a": 1}
    bomb = response(pack(b" " * 40 * MEGABYTE), b"Content-Encoding: " + coding)
    with serving(answering(bomb)) as server:
        assert str(failure(f"http://127.0.0.1:{server.port}", 5.0)).endswith("too large")


def test_a_compressed_body_that_is_cut_is_not_called_large() -> None:
    with serving(
        answering(response(gzip.compress(b"{}")[:-3], b"Content-Encoding: gzip"))
    ) as server:
        assert "encoding" in str(failure(f"http://127.0.0.1:{server.port}"))


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip", b"gzip", b"\xff"])
def test_a_coding_that_was_not_requested_or_is_broken_is_refused(coding: bytes) -> None:
    with serving(answering(response(b"{}", b"Content-Encoding: " + coding))) as server:
        assert "encoding" in str(failure(f"http://127.0.0.1:{server.port}"))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 40 + b"]" * 40,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b"NaN",
        b'{"a": Infinity}',
        b'{"a": 1e400}',
        b'{"a": "\\ud800"}',
        b'{"\\udc00": 1}',
        b"1" * 5000,
        b"\xff",
        b"\xff\xfe\x00",
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_json_that_would_harm_its_reader_is_refused(body: bytes) -> None:
    with serving(answering(response(body))) as server:
        assert str(failure(f"http://127.0.0.1:{server.port}")).endswith("is not JSON")


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("9" * 400, 86_400.0),
        ("0" * 400 + "7", 7.0),
        ("1" + "0" * 60_000, 86_400.0),
        ("-" + "1" * 400, None),
        ("1e400", None),
        ("nan", None),
        ("\xb2", None),
        ("Fri, 01 Jan 99999 00:00:00 GMT", None),
        ("Fri, 99999999999999999999999 Jan 2100 00:00:00 GMT", None),
        ("Fri, 01 Jan 2100 00:00:00 +99999999999999999999", None),
        ("Fri, 01 Jan 2100 00:00:00 +9959", None),
        ("Fri, 01 Jan 2100 00:00:00 -0000", 86_400.0),
        ("Fri, 01 Jan 2100 00:00:00", 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 86_400.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        (",", None),
        ("x" * 60_000, None),
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "replace").decode(),
)
def test_a_delay_of_any_size_is_bounded_or_ignored(header: str, wait_s: float | None) -> None:
    data = b"HTTP/1.1 429 Slow\r\nRetry-After: " + header.encode("latin-1") + b"\r\n\r\n"
    with serving(answering(data)) as server:
        error = failure(f"http://127.0.0.1:{server.port}")
    assert str(error).endswith("HTTP status 429")
    assert error.retry_after_s == wait_s


def test_what_was_accepted_is_accepted_however_long_the_answer_is() -> None:
    def script(server: RawServer, to: socket.socket) -> None:
        server.drip(to, b"HTTP/1.1 201 Created\r\n\r\n" + json.dumps({"id": "7"}).encode(), b"")

    with serving(script) as server:
        send = sender(SystemClock(), TIMEOUT_S)
        body = send("POST", f"http://127.0.0.1:{server.port}", b"{}", {})
    assert json.loads(body) == {"id": "7"}


def test_a_status_that_does_not_come_is_no_success() -> None:
    with (
        serving(lambda server, to: server.drip(to, b"HTTP/1.1 201 Cre", b"a")) as server,
        pytest.raises(OutputError, match="no response in time"),
    ):
        sender(SystemClock(), TIMEOUT_S)("POST", f"http://127.0.0.1:{server.port}", b"{}", {})
