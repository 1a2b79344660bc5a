"""The door to the network, against a real server on this machine."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from carbon_core.clock import SystemClock
from carbon_core.errors import IntensityError
from carbon_core.fetch import fetcher, redacted

PASSWORD = "hunter2"
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers every GET as told, and remembers what it was asked.

    Handler threads are waited for at the end, so an answer must come to an end by itself or look at
    `ending`.
    """

    def __init__(self) -> None:
        self.answer: Answer = plainly(200, b"{}")
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.ending = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.requests.append((self.path, dict(self.headers)))
        self.server.answer(self)

    def log_message(self, *args: object) -> None:
        pass


def plainly(status: int, body: bytes, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.ending.set()
            running.shutdown()
            thread.join()


def ask(url: str, *, timeout_s: float = 5.0, **headers: str) -> object:
    return fetcher(SystemClock(), timeout_s)(url, {"zone": "FR"}, headers)


def failure(url: str, *, timeout_s: float = 5.0, **headers: str) -> str:
    with pytest.raises(IntensityError) as caught:
        ask(url, timeout_s=timeout_s, **headers)
    return str(caught.value)


def test_a_good_answer_is_decoded(server: Server) -> None:
    server.answer = plainly(200, json.dumps({"carbonIntensity": 42}).encode())
    assert ask(f"{server.url}/v3/latest", auth_token="secret") == {"carbonIntensity": 42}
    [(path, headers)] = server.requests
    assert path == "/v3/latest?zone=FR"
    assert headers["auth_token"] == "secret"


@pytest.mark.parametrize("status", [201, 204, 400, 401, 403, 404, 429, 500, 503])
def test_any_other_status_is_refused_with_its_number(server: Server, status: int) -> None:
    server.answer = plainly(status, b"" if status == 204 else b'{"carbonIntensity": 42}')
    assert failure(f"{server.url}/api?key=1") == f"{server.url}/api: HTTP status {status}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: Server, status: int) -> None:
    server.answer = plainly(status, b"{}", Location="/elsewhere")
    assert failure(server.url, auth_token="secret").endswith(f"HTTP status {status}")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<!DOCTYPE html><html>log in</html>", b"\xff\xfe\x00", b'{"a": 1', b"[" * 60_000],
    ids=["empty", "html", "binary", "cut", "deep"],
)
def test_what_is_not_json_is_refused(server: Server, body: bytes) -> None:
    server.answer = plainly(200, body)
    assert failure(f"{server.url}/api") == f"{server.url}/api: the response is not JSON"


def test_an_answer_too_large_is_refused_long_before_its_end(server: Server) -> None:
    sent = []

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while not isinstance(request.server, Server) or not request.server.ending.is_set():
                request.wfile.write(b" " * 65_536)
                sent.append(65_536)
        except OSError:
            pass

    server.answer = endless
    assert failure(server.url).endswith("response too large")
    assert sum(sent) < 64 * 2**20


def test_a_small_answer_that_unpacks_to_a_large_one_is_refused(server: Server) -> None:
    packed = gzip.compress(b" " * 2**22)
    server.answer = plainly(200, packed, Content_Encoding="gzip")
    assert failure(server.url).endswith("response too large")


def dripping(*, headers: bool) -> Answer:
    """Return an answer that takes one and a half seconds, a byte every twentieth of one."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        assert isinstance(request.server, Server)
        if not headers:
            request.send_response(200)
            request.send_header("Content-Length", "30")
            request.end_headers()
        try:
            for _ in range(30):
                if request.server.ending.wait(0.05):
                    return
                request.wfile.write(b"H" if headers else b" ")
                request.wfile.flush()
        except OSError:
            pass

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("headers", [False, True], ids=["body", "headers"])
def test_a_slow_drip_does_not_outlast_the_total_time(server: Server, headers: bool) -> None:
    server.answer = dripping(headers=headers)
    clock = SystemClock()
    before_ns = clock.monotonic_ns()
    failure(server.url, timeout_s=0.25)
    assert (clock.monotonic_ns() - before_ns) / 1e9 < 1.0


def test_silence_ends_with_the_total_time(server: Server) -> None:
    server.answer = lambda _: server.ending.wait(5.0) and None
    assert failure(f"{server.url}/api", timeout_s=0.2) == f"{server.url}/api: no response in time"


def test_nobody_there(server: Server) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/api") == f"http://127.0.0.1:{port}/api: no connection"


def test_the_password_of_a_proxy_is_in_no_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{port}")
    with pytest.raises(IntensityError) as caught:
        ask("http://intensity.example/v3")
    assert str(caught.value) == (
        "http://intensity.example/v3: no connection to the proxy; check HTTP_PROXY"
    )
    assert PASSWORD not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_proxies_are_those_of_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = plainly(200, b'{"by": "proxy"}')
    monkeypatch.setenv("HTTP_PROXY", server.url)
    assert ask("http://intensity.example/v3") == {"by": "proxy"}
    assert server.requests[0][0] == "http://intensity.example/v3?zone=FR"
    monkeypatch.setenv("NO_PROXY", "0.0.0.0")
    assert ask(server.url.replace("127.0.0.1", "0.0.0.0")) == {"by": "proxy"}
    assert server.requests[1][0] == "/?zone=FR"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost"])
def test_this_machine_is_requested_without_a_proxy(
    server: Server, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ask(server.url.replace("127.0.0.1", host), auth_token="sesame") == {}
    assert server.requests[0][1]["auth_token"] == "sesame"


def test_a_netrc_is_not_read(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {PASSWORD}\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    ask(server.url)
    assert "Authorization" not in server.requests[0][1]


@pytest.mark.parametrize("token", ["hunter2\nX-Evil: 1", "hunter2-Ж", " hunter2"], ids=ascii)
def test_a_token_that_no_header_can_carry_is_an_error_without_it(
    server: Server, token: str
) -> None:
    with pytest.raises(IntensityError) as caught:
        ask(server.url, auth_token=token)
    assert PASSWORD not in repr(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("url", ["http://", "http://[x/", "http://a..b/", "nonsense", "http://*"])
def test_an_address_that_is_none_is_an_error_of_ours(server: Server, url: str) -> None:
    assert failure(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hunter2@host:1/v3/latest?key=1#part", "https://host:1/v3/latest"),
        ("https://host/services/T000/B000/XXXX", "https://host/(hidden)"),
        ("http://me@[::1]:80/api/hunter2", "http://[::1]:80/api/(hidden)"),
        ("http://me:hun ter2@host", "(an invalid address)"),
    ],
)
def test_an_address_is_shown_without_user_password_query_and_fragment(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("999999999", 86_400.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 86_400.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_the_wait_that_a_server_asks_for(
    server: Server, header: str, seconds: float | None
) -> None:
    server.answer = plainly(429, b"", **{"Retry-After": header})
    with pytest.raises(IntensityError) as caught:
        fetcher(SystemClock())(f"{server.url}/api", {}, {})
    assert caught.value.retry_after_s == seconds


def test_no_record_and_no_context_of_an_error_has_the_address_or_the_token(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.url.replace("//", f"//me:{PASSWORD}@") + f"/{PASSWORD}?key={PASSWORD}"
    server.answer = plainly(401, PASSWORD.encode(), Location=f"/{PASSWORD}")
    with caplog.at_level("DEBUG"), pytest.raises(IntensityError) as caught:
        ask(url, auth_token=PASSWORD)
    texts = [caplog.text]
    error: BaseException | None = caught.value
    while error is not None:
        texts += [repr(error), str(vars(error))]
        error = error.__cause__ or error.__context__
    assert PASSWORD not in "".join(texts)
    assert len(server.requests) == 1


@pytest.mark.parametrize("token", [f"{PASSWORD}\n", f"{PASSWORD}-\u0416"], ids=ascii)
def test_an_error_of_the_library_is_no_context(server: Server, token: str) -> None:
    for url in (server.url, "http://127.0.0.1:1"):
        with pytest.raises(IntensityError) as caught:
            fetcher(SystemClock())(f"{url}/{PASSWORD}", {"key": PASSWORD}, {"auth": token})
        context = caught.value.__context__
        assert context is None or context.__context__ is None
        assert PASSWORD not in repr(context)
