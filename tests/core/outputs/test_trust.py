"""Every sender obeys one rule: who may be sent what. Derived from the tables of outputs and sources."""

from __future__ import annotations

import ast
import base64
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.server import Server

from carbon_core import EmissionsTracker
from carbon_core.assemble import grid, outputs
from carbon_core.clock import SystemClock
from carbon_core.config.output_table import OUTPUTS, OutputArguments
from carbon_core.config.resolve import resolve
from carbon_core.config.schema import KEYS
from carbon_core.config.secret_values import Secret
from carbon_core.errors import IntensityError, OutputError
from carbon_core.fetch import fetcher, sender
from carbon_core.intensity.location import Place
from carbon_core.intensity.source_table import MARGINAL_SOURCES, SOURCES
from carbon_core.outputs.codecarbon_api import CodeCarbonApi
from carbon_core.outputs.open_telemetry import OpenTelemetry, endpoint_of, headers_of
from carbon_core.outputs.prometheus import Pushgateway, basic_authorization
from carbon_core.records import Amounts
from carbon_core.report import Report

MakeReport = Callable[..., Report]
CORE = Path(outputs.__file__).parents[1]
SERVICES = [name for name, spec in OUTPUTS.items() if spec.kind == "service"]
URL_KEYS = [name for name, key in KEYS.items() if key.kind.name == "url"]
SECRET = "hunter2"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.answer = (200, {}, b'{"id": "7"}')
    yield server
    server.close()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- the tables are complete ---


def test_every_secret_belongs_to_one_service_and_its_address() -> None:
    secrets = [s for spec in OUTPUTS.values() for s in (spec.secret, spec.headers) if s]
    sources = [*SOURCES.values(), *MARGINAL_SOURCES.values()]
    secrets += [Secret(one.secret, one.url_key) for one in sources if one.secret]
    held = [secret.key for secret in secrets if secret.key]
    assert sorted(held) == sorted(name for name, key in KEYS.items() if key.secret)
    assert {secret.address for secret in secrets} <= set(URL_KEYS)


def test_every_address_is_checked_by_a_row() -> None:
    checked = {spec.address for spec in OUTPUTS.values() if spec.address}
    checked |= {one.url_key for one in [*SOURCES.values(), *MARGINAL_SOURCES.values()]}
    # The service that finds the place gets no secret; the sender checks its address.
    assert checked | {"geolocation_url"} == set(URL_KEYS)
    assert all(OUTPUTS[name].address for name in SERVICES)
    for spec in OUTPUTS.values():
        for secret in (spec.secret, spec.headers):
            assert secret is None or secret.address == spec.address


def test_nothing_but_the_client_opens_a_connection() -> None:
    clients = {"requests", "urllib3", "http", "socket", "httpx", "aiohttp", "ssl"}
    allowed = {"fetch.py", "http_exchange.py", "timed_connections.py", "hardware/abstract_names.py"}
    allowed.add("outputs/metrics_server.py")  # which only answers
    found = {
        f"{path.relative_to(CORE)}: {name}"
        for path in CORE.rglob("*.py")
        if str(path.relative_to(CORE)) not in allowed
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in _imported(node)
        if name.partition(".")[0] in clients or name == "urllib.request"
    }
    assert found <= {"rank_environment.py: socket"}, found


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names]


# --- no address gets what is trusted more ---


def selecting(name: str) -> dict[str, Any]:
    spec = OUTPUTS[name]
    more = {"experiment_id": "235b1da5-aaaa-aaaa-aaaa-893681599d2c"} if name == "api" else {}
    return {**more, **({"output_methods": name} if spec.method else {})}


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_file_beside_the_run_redirects_no_secret(name: str, scheme: str) -> None:
    spec = OUTPUTS[name]
    secret = spec.headers or spec.secret
    if secret is None:
        pytest.skip("it has no secret")
    variables = {v: f"x-key={SECRET}" for v in (secret.variable, *secret.more_variables) if v}
    Path(".codecarbon.config").write_text(f"[codecarbon]\n{spec.address}={scheme}://evil.example\n")
    arguments = {**selecting(name), **({secret.key: SECRET} if secret.key else {})}
    settings = resolve(arguments, environ={}).settings
    problems = outputs.problems(settings, variables)
    assert any(f"is not sent to the address in {spec.address}" in text for text in problems)
    assert SECRET not in str(problems)
    given = OutputArguments(settings, variables, Path(), SystemClock())
    assert list(outputs.services_of(given)) == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_user_and_password_go_in_clear_text_to_this_machine_only(name: str) -> None:
    spec = OUTPUTS[name]
    more = {spec.secret.key: "x"} if spec.needs_secret and spec.secret else {}

    def problems(url: str) -> list[str]:
        arguments = {**selecting(name), **more, spec.address: url}
        return outputs.problems(resolve(arguments, environ={}).settings, {})

    (problem,) = problems(f"http://me:{SECRET}@elsewhere.example")
    assert problem == f"{spec.address} must be https: the user and password in it are sent"
    assert problems(f"https://me:{SECRET}@elsewhere.example") == []
    assert problems(f"http://me:{SECRET}@127.0.0.1") == []


@pytest.mark.parametrize("name", [*SOURCES, *MARGINAL_SOURCES])
def test_a_source_gets_no_password_in_clear_text(name: str) -> None:
    source: Any = {**SOURCES, **MARGINAL_SOURCES}[name]
    url = f"http://me:{SECRET}@elsewhere.example"
    selected = {"intensity_source": name} if name in SOURCES else {}
    arguments = {**selected, **dict.fromkeys(source.needs, "x"), source.url_key: url}
    settings = resolve(arguments, environ={}).settings
    (problem,) = grid.source_problems(settings)
    assert "must be https" in problem
    assert SECRET not in problem
    assert grid.live_source(settings, SystemClock(), Place()) is None
    assert grid.marginal_source(settings, SystemClock(), Place()) is None


@pytest.mark.parametrize("key", URL_KEYS)
@pytest.mark.parametrize(
    "host", ["evil.example\\@localhost", "127.1", "localhost#@evil", "[::1%1]"]
)
def test_an_ambiguous_address_is_no_setting(key: str, host: str) -> None:
    with pytest.raises(ValueError, match=f"{key} must be an HTTP address"):
        resolve({key: f"http://{host}"}, environ={})


# --- the client itself refuses ---

HEADERS = ["Authorization", "x-api-token", "auth-token", "x-honeycomb-team", "Cookie"]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize(
    "url", ["http://evil.example/", "http://me@evil.example", "http://0.0.0.0"]
)
def test_the_client_sends_no_secret_in_clear_text(
    server: Server, monkeypatch: pytest.MonkeyPatch, header: str, url: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    with pytest.raises(IntensityError, match="must be https") as caught:
        fetcher(SystemClock())(url, {}, {header: SECRET})
    assert SECRET not in str(caught.value)
    with pytest.raises(OutputError, match="must be https"):
        sender(SystemClock())("POST", url, b"", {header: SECRET})
    assert (server.asked, server.sent) == ([], [])


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def test_the_user_and_password_of_an_address_are_sent(server: Server) -> None:
    server.answer = (201, {}, b"")
    with_user = server.url.replace("//", "//m%3Ae:hun%40ter2@")
    with EmissionsTracker(emissions_endpoint=f"{with_user}/take?x=1", log_level="error"):
        pass
    ((_, path, headers, _),) = server.sent
    assert path == "/take?x=1"
    assert headers["Authorization"] == basic("m:e", "hun@ter2")


def test_a_key_of_its_own_counts_before_the_user_of_the_address(
    server: Server, make_report: MakeReport
) -> None:
    with_user = server.url.replace("//", "//me:other@")
    send = sender(SystemClock())
    Pushgateway(with_user, "base", send, {"Authorization": "Basic own"}).update(
        make_report(), Amounts()
    )
    assert server.sent[0][2]["Authorization"] == "Basic own"


@pytest.mark.parametrize(
    ("password", "sent"), [("p\udcff", b"me:p\xff"), ("p\ud800", b"me:p?"), ("pä", b"me:p\xc3\xa4")]
)
def test_a_password_may_have_any_bytes(password: str, sent: bytes) -> None:
    (header,) = basic_authorization("me", password).values()
    assert base64.b64decode(header.removeprefix("Basic ")) == sent


def test_no_secret_that_is_not_utf_8_is_in_a_message_and_none_costs_a_delivery(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = (200, {}, b"")
    monkeypatch.setenv("PROMETHEUS_PASSWORD", f"{SECRET}\udcff")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key=1,\udcfe={SECRET}")
    with EmissionsTracker(
        project_name="p\udcff",
        save_to_prometheus=True,
        prometheus_url=server.url,
        prometheus_username="me",
        otlp_endpoint=f"{server.url}/v1/metrics",
        watttime_username="me",
        watttime_password=f"{SECRET}\udcff",
        watttime_region="CAISO_NORTH",
        watttime_url=server.url,
    ):
        pass
    assert SECRET not in caplog.text
    assert "Traceback" not in caplog.text
    paths = [path for _, path, _, _ in server.sent]
    assert any(path.startswith("/metrics/job/") for path in paths)


def test_paths_are_joined_before_the_query(server: Server, make_report: MakeReport) -> None:
    send = sender(SystemClock())
    Pushgateway(f"{server.url}/base?key=1", "base", send).update(make_report(), Amounts())
    api = CodeCarbonApi(f"{server.url}/base/?key=1", None, "x", send)
    api.open(make_report())
    assert [path for _, path, _, _ in server.sent] == [
        "/base/metrics/job/digits_base?key=1",
        "/base/runs?key=1",
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": {"a": "b"}}',
        b'{"id": ["x"]}',
        b'{"id": true}',
        b'{"id": "a b"}',
        b'{"id": "../../x"}',
        b'{"id": "' + b"x" * 101 + b'"}',
        b'{"id": "\\u001b[31m"}',
        b'{"id": "\\ud800"}',
        b'{"id": ' + b"[" * 5000,
        b'{"id": 1e400}',
        b"[]",
    ],
    ids=lambda body: body[:16].decode(),
)
def test_an_id_that_is_none_is_refused(
    server: Server, make_report: MakeReport, body: bytes
) -> None:
    server.answer = (201, {}, body)
    api = CodeCarbonApi(server.url, None, "x", sender(SystemClock()))
    with pytest.raises(OutputError, match="no id of a run"):
        api.open(make_report())
    assert api.remote_id is None


# --- OpenTelemetry ---


def otel(url: str, headers: dict[str, str] | None = None) -> OpenTelemetry:
    return OpenTelemetry(url, headers or {}, clock=SystemClock(), timeout_s=1.0)


def exported(service: OpenTelemetry, report: Report) -> None:
    service.open(report)
    service.update(report, Amounts())


def test_headers_of_the_variables_go_to_the_collector_of_the_variables(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = (200, {}, b"")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{server.url}/base?x=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Key=a%20b, x-team = c ")
    with EmissionsTracker(output_methods="otel", log_level="error"):
        pass
    (_, path, headers, _) = server.sent[-1]
    assert path == "/base/v1/metrics?x=1"
    lower = {name.lower(): value for name, value in headers.items()}
    assert (lower["x-key"], lower["x-team"]) == ("a b", "c")


def test_headers_of_the_variables_do_not_go_to_logfire(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = (200, {}, b"")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key={SECRET}")
    with EmissionsTracker(
        save_to_logfire=True, logfire_token="sesame", logfire_url=server.url, log_level="error"
    ):
        pass
    assert server.sent
    assert SECRET not in str([headers for _, _, headers, _ in server.sent])


def test_no_exporter_reads_a_netrc(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_report: MakeReport
) -> None:
    server.answer = (200, {}, b"")
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    exported(otel(f"{server.url}/v1/metrics"), make_report())
    server.answer = (201, {}, b'{"id": "7"}')
    send = sender(SystemClock())
    CodeCarbonApi(server.url, None, "x", send).open(make_report())
    Pushgateway(server.url, "base", send).update(make_report(), Amounts())
    assert len(server.sent) == 3
    assert [headers.get("Authorization") for _, _, headers, _ in server.sent] == [None] * 3


def test_the_exporter_follows_no_redirect_and_names_no_secret(
    server: Server, make_report: MakeReport
) -> None:
    server.answer = (307, {"Location": f"{server.url}/elsewhere"}, b"")
    url = server.url.replace("//", f"//me:{SECRET}@") + f"/{SECRET}?key={SECRET}"
    with pytest.raises(OutputError, match="HTTP status 307") as caught:
        exported(otel(url), make_report())
    assert SECRET not in str(caught.value)
    assert {path for _, path, _, _ in server.sent} == {f"/{SECRET}?key={SECRET}"}
    assert server.sent[0][2]["Authorization"] == basic("me", SECRET)


def test_the_exporter_passes_no_proxy_to_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch, make_report: MakeReport
) -> None:
    server.answer = (200, {}, b"")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    exported(otel(f"{server.url}/v1/metrics", {"x-key": SECRET}), make_report())
    assert server.sent[0][2]["x-key"] == SECRET


def test_the_exporter_sends_no_secret_in_clear_text(make_report: MakeReport) -> None:
    threads = set(threading.enumerate())
    with pytest.raises(OutputError, match="must be https"):
        exported(otel("http://evil.example/v1/metrics", {"x-key": SECRET}), make_report())
    assert set(threading.enumerate()) == threads


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("", {}),
        (",=,", {}),
        ("a=1,B=2", {"a": "1", "b": "2"}),
        ("a=b=c", {"a": "b=c"}),
        ("Authorization=Basic%20abc%3D", {"authorization": "Basic abc="}),
    ],
)
def test_headers_are_pairs(text: str, headers: dict[str, str]) -> None:
    assert headers_of(text) == headers


def test_the_endpoint_of_metrics_is_used_as_it_is() -> None:
    own = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://a/x"}
    assert endpoint_of({**own, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://b"}) == "http://a/x"
    assert endpoint_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b/"}) == "http://b/v1/metrics"
    assert endpoint_of({}) == "http://localhost:4318/v1/metrics"


def test_an_address_from_a_pickle_that_lacks_its_path_is_not_used() -> None:
    url = f"https://hooks.example/services/{SECRET}"
    settings = resolve({"emissions_endpoint": url}, environ={}).settings
    loaded = pickle.loads(pickle.dumps(settings))
    (problem,) = outputs.problems(loaded, {})
    assert problem.startswith("emissions_endpoint is not known")


@pytest.mark.parametrize(
    "echo", [b'"sesame-open"', b'"\\u0073esame-open"', b'"x sesame-open y"', b'{"sesame-open": 1}']
)
def test_a_response_that_repeats_a_secret_is_refused(
    server: Server, make_report: MakeReport, echo: bytes
) -> None:
    body = b'{"id": ' + echo + b', "zone": ' + echo + b"}"
    server.answer = (200, {}, body)
    clock = SystemClock()
    pair = base64.b64encode(b"me:sesame-open").decode()
    for headers in ({"auth-token": "sesame-open"}, {"Authorization": f"Basic {pair}"}):
        with pytest.raises(IntensityError, match="repeats a secret") as caught:
            fetcher(clock)(server.url, {}, headers)
        assert "sesame" not in str(caught.value)
    with pytest.raises(IntensityError, match="repeats a secret"):
        fetcher(clock)(server.url.replace("//", "//me:sesame%2Dopen@"), {}, {})
    api = CodeCarbonApi(server.url, "sesame-open", "x", sender(clock))
    with pytest.raises(OutputError, match="no id of a run"):
        api.open(make_report())


@pytest.mark.parametrize(
    "header", ["9" * 400, "Fri, 99999999999999999999999 Jan 2100 00:00:00 GMT", "nan", "-1"]
)
def test_the_exporter_survives_any_delay(
    server: Server, make_report: MakeReport, header: str
) -> None:
    server.answer = (503, {"Retry-After": header}, b"")
    with pytest.raises(OutputError, match="HTTP status 503"):
        exported(otel(f"{server.url}/v1/metrics"), make_report())
