"""The address that Prometheus scrapes: with real HTTP clients, slow ones, hostile ones, and forks."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.lab import LabTracker, eventually, said
from hypothesis import given
from hypothesis import strategies as st

from carbon_core import EmissionsTracker
from carbon_core.clock import SystemClock
from carbon_core.errors import OutputError
from carbon_core.outputs import metrics_server, prometheus_endpoint
from carbon_core.outputs.metrics_server import MetricsServer, response_to
from carbon_core.outputs.prometheus_endpoint import PrometheusEndpoint
from carbon_core.report import Report
from carbon_core.testing import FakeClock

MakeReport = Callable[..., Report]
PAGE = b"# a page\n" * 50_000
HERE = "127.0.0.1"

pytest.importorskip("prometheus_client")


@pytest.fixture
def port() -> int:
    with socket.socket() as one:
        one.bind((HERE, 0))
        return int(one.getsockname()[1])


@pytest.fixture
def server(port: int) -> Iterator[MetricsServer]:
    server = MetricsServer(HERE, port, "text/plain", clock=SystemClock(), warn=pytest.fail)
    server.page = PAGE
    server.start()
    yield server
    server.close()
    assert own_threads() == []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without anybody's settings."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "carbon-metrics"]


def get(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection(HERE, port, timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def is_served(port: int) -> bool:
    try:
        return get(port)[0] == 200
    except OSError:
        return False


def connected(port: int, data: bytes = b"") -> socket.socket:
    client = socket.create_connection((HERE, port), timeout=20)
    client.sendall(data)
    return client


def rest_of(client: socket.socket) -> bytes:
    """Return what a server sends until it ends the connection."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            parts.append(data)
    return b"".join(parts)


def series(port: int) -> dict[str, list[tuple[dict[str, str], float]]]:
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(get(port)[1].decode()):
        for one in family.samples:
            found.setdefault(one.name, []).append((one.labels, one.value))
    return found


# --- the protocol ---------------------------------------------------------------------------------


def test_a_client_gets_the_page_and_the_connection_ends(server: MetricsServer, port: int) -> None:
    status, body, headers = get(port, "/metrics?name[]=x")
    assert (status, body) == (200, PAGE)
    assert headers["Connection"] == "close"
    assert headers["Content-Length"] == str(len(PAGE))
    client = connected(port, b"GET /metrics HTTP/1.1\r\nConnection: keep-alive\r\n\r\n" * 2)
    assert rest_of(client).count(b"HTTP/1.1 200 OK") == 1
    client.close()


def test_a_head_has_the_length_and_no_body(server: MetricsServer, port: int) -> None:
    status, body, headers = get(port, method="HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(PAGE)))


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /metrics HTTP/1.1", b"200"),
        (b"GET /metrics HTTP/1.0", b"200"),
        (b"GET / HTTP/1.1", b"404"),
        (b"GET /metrics/../etc HTTP/1.1", b"404"),
        (b"POST /metrics HTTP/1.1", b"405"),
        (b"GET /metrics", b"400"),
        (b"GET  /metrics HTTP/1.1", b"400"),
        (b"GET /metrics SMTP", b"400"),
        (b"\x16\x03\x01\x02", b"400"),
        (b"", b"400"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1", b"431"),
    ],
)
def test_each_request_has_its_answer(head: bytes, status: bytes) -> None:
    answer = response_to(head, b"page", "text/plain")
    assert answer.split(b" ", 2)[1] == status
    assert (b"page" in answer) == (status == b"200")


@given(st.one_of(st.binary(), st.builds(b"%b %b HTTP/1.%b".__mod__, st.tuples(*[st.binary()] * 3))))
def test_no_request_has_another_answer(head: bytes) -> None:
    """Only a request for the page gets it, and each gets one whole response."""
    response = response_to(head, b"the page", "text/plain")
    first, _, body = response.partition(b"\r\n\r\n")
    lines = first.decode("ascii").split("\r\n")
    assert lines[0].split(" ")[0] == "HTTP/1.1"
    assert f"Content-Length: {len(body)}" in lines or head.startswith(b"HEAD ")
    assert b"the page" not in body or head.startswith(b"GET /metrics")


def test_a_request_without_an_end_is_refused(server: MetricsServer, port: int) -> None:
    client = connected(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9000)
    assert rest_of(client).startswith(b"HTTP/1.1 431 ")
    client.close()


def test_data_after_the_request_does_not_reset_the_answer(server: MetricsServer, port: int) -> None:
    body = b"x" * 30_000
    head = f"GET /metrics HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    client = connected(port, head + body)
    assert rest_of(client).endswith(PAGE)
    client.close()


# --- slow and hostile clients ----------------------------------------------------------------------


def test_silent_clients_keep_no_other_waiting(server: MetricsServer, port: int) -> None:
    """More of them than connections are kept: half a request each, and nothing more."""
    silent = [connected(port, b"GET /met") for _ in range(40)]
    assert get(port)[1] == PAGE
    assert own_threads() == ["carbon-metrics"]
    for client in silent:
        client.close()


def test_a_silent_client_is_dropped(
    server: MetricsServer, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "_TIME_S", 0.1)
    client = connected(port)
    assert rest_of(client) == b""
    client.close()


def test_a_client_that_reads_nothing_is_dropped(
    server: MetricsServer, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "_TIME_S", 0.1)
    server.page = b"x" * 50_000_000
    client = connected(port, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert eventually(lambda: server._accepted and not server._clients, 20.0)
    assert len(rest_of(client)) < 50_000_000
    client.close()


def test_a_client_that_sends_for_ever_is_dropped(server: MetricsServer, port: int) -> None:
    client = connected(port, b"GET /metrics HTTP/1.1\r\n\r\n")
    with pytest.raises(OSError):
        while True:
            client.sendall(b"x" * 65536)
    client.close()


def test_no_client_delays_the_end(port: int) -> None:
    server = MetricsServer(HERE, port, "text/plain", clock=SystemClock(), warn=pytest.fail)
    server.start()
    silent = [connected(port, b"GET ") for _ in range(5)]
    server.close()
    assert own_threads() == []
    for client in silent:
        assert rest_of(client) == b""
        client.close()
    with pytest.raises(ConnectionError):
        connected(port)
    server.close()


def test_new_clients_are_bounded_in_time(server: MetricsServer, port: int) -> None:
    """A flood costs a bounded part of a processor; who waits is served later."""
    for _ in range(60):
        assert is_served(port)
    span_s = (server._accepted[-1] - server._accepted[0]) / 1e9
    assert len(server._accepted) == 50
    assert span_s >= 0.0
    assert server._rate_wait_s() <= 1.0


def test_a_port_in_use_is_an_error_that_names_it(server: MetricsServer, port: int) -> None:
    other = MetricsServer(HERE, port, "text/plain", clock=SystemClock(), warn=pytest.fail)
    with pytest.raises(
        OutputError, match=f"cannot serve metrics on {HERE}:{port}: Address already"
    ):
        other.start()
    assert own_threads() == ["carbon-metrics"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_serves_nothing_and_holds_no_socket(port: int) -> None:
    """The child lives on when the parent has ended the server: the port is free nevertheless."""
    server = MetricsServer(HERE, port, "text/plain", clock=SystemClock(), warn=pytest.fail)
    server.page = b"of the parent"
    server.start()
    first, second = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(second[1])
        listener = server._listener
        is_closed = listener is None or listener.fileno() == -1
        os.write(first[1], b"closed" if is_closed and not server._thread.alive else b"open")
        os.read(second[0], 1)  # until the parent ends
        os._exit(0)
    assert os.read(first[0], 10) == b"closed"
    assert get(port)[1] == b"of the parent"
    server.close()
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((HERE, port))
        one.listen()
    os.close(second[1])
    os.waitpid(child, 0)


# --- runs ----------------------------------------------------------------------------------------


def endpoint(port: int, warn: Callable[[str], None] = pytest.fail) -> PrometheusEndpoint:
    return PrometheusEndpoint(HERE, port, "base", (), clock=SystemClock(), warn=warn)


def test_it_serves_from_start_to_stop_and_nothing_is_left(place: Path, port: int) -> None:
    tracker = EmissionsTracker(
        project_name="my project", prometheus_port=port, country_iso_code="FRA", log_level="error"
    )
    for _ in range(2):
        tracker.start()
        assert eventually(lambda: is_served(port), 20.0)
        labels, _ = series(port)["carbon_run_info"][0]
        assert labels["project"] == "my project"
        assert labels["country_iso_code"] == "FRA"
        assert "run_id" not in labels
        tracker.stop()
        assert own_threads() == []
        assert not is_served(port)
    assert prometheus_endpoint._servers()._running == {}


def test_a_port_in_use_is_one_warning(
    server: MetricsServer, port: int, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmissionsTracker(prometheus_port=port, measure_power_secs=0.05) as tracker:
        for _ in range(3):
            tracker.flush()
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert sum("cannot serve metrics" in text for text in warnings) == 1
    assert tracker.final_report is not None
    assert tracker.final_report.status == "completed"


def test_a_port_that_becomes_free_is_used(port: int, make_report: MakeReport) -> None:
    with socket.socket() as other:
        other.bind((HERE, port))
        other.listen()
        output, report = endpoint(port), make_report(status="running")
        with pytest.raises(OutputError):
            output.open(report)
        output.update(report)
    output.update(report)
    assert is_served(port)
    output.close(report)
    assert not is_served(port)


def test_runs_of_a_process_share_the_server_until_the_last_ends(
    port: int, make_report: MakeReport
) -> None:
    first, second = endpoint(port), endpoint(port)
    runs = [make_report(f"shared-{name}", "running", project_name=name) for name in ("one", "two")]
    first.open(runs[0])
    second.open(runs[1])
    assert own_threads() == ["carbon-metrics"]
    projects = [labels["project"] for labels, _ in series(port)["carbon_run_info"]]
    assert projects == ["one", "two"]
    text = get(port)[1].decode()
    assert text.count("# TYPE carbon_energy_joules_total ") == 1
    first.close(runs[0])
    assert [labels["project"] for labels, _ in series(port)["carbon_run_info"]] == ["two"]
    second.close(runs[1])
    assert own_threads() == []


def test_each_rank_of_a_node_has_a_port_of_its_own(
    port: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from carbon_core.config.output_table import OUTPUTS, OutputArguments
    from carbon_core.config.resolve import resolve

    settings = resolve({"prometheus_port": port}, environ={}).settings

    def port_of(**environ: str) -> int:
        given = OutputArguments(settings, environ, place, SystemClock())
        output: Any = OUTPUTS["prometheus_endpoint"].make(given)
        return int(output._where[1])

    assert port_of() == port
    assert port_of(LOCAL_RANK="3", RANK="11") == port + 3
    assert port_of(RANK="2") == port + 2


def test_a_rank_that_measures_nothing_serves_nothing(port: int) -> None:
    tracker = LabTracker(
        FakeClock(), list, only_with_meters=True, make_outputs=lambda: [endpoint(port)]
    )
    tracker.start()
    tracker.stop()
    assert own_threads() == []
    assert [line for line in said(tracker) if "serve" in line] == []


def test_a_run_that_is_forgotten_ends_the_server(place: Path, port: int) -> None:
    program = (
        "from carbon_core import EmissionsTracker\n"
        f"tracker = EmissionsTracker(prometheus_port={port}, log_level='error')\n"
        "tracker.start()\n"
        "import time\n"
        "while not tracker._run._outputs.is_open: time.sleep(0.01)\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, timeout=120)
    assert done.returncode == 0
    assert not is_served(port)


@pytest.mark.parametrize("value", ["0", "65536", "-1", "http", "9400.5", "nan"])
def test_a_port_is_a_number_of_a_port(place: Path, value: str) -> None:
    from carbon_core import ConfigError

    with pytest.raises(ConfigError, match="a port from 1 to 65535"):
        EmissionsTracker(prometheus_port=value)


def test_an_address_is_no_name(place: Path) -> None:
    from carbon_core import ConfigError

    with pytest.raises(ConfigError, match="must be an IP address"):
        EmissionsTracker(prometheus_port=9400, prometheus_address="everybody.example")


def test_the_first_page_is_the_whole_run(port: int, make_report: MakeReport) -> None:
    """A report that comes twice adds nothing, nor does one that comes after the end."""
    output, report = endpoint(port), make_report("only-once", "running", project_name="once")
    output.open(report)
    output.update(report)
    once = dict_of(series(port), "carbon_energy_joules_total", "once")
    assert sum(once.values()) == pytest.approx(report.energy_kwh.value * 3.6e6)
    output.close(make_report("only-once", project_name="once"))
    output.close(make_report("only-once", project_name="once"))
    again = endpoint(port)
    again.open(make_report("another", "running", kwh=1.0, project_name="once"))
    both = dict_of(series(port), "carbon_energy_joules_total", "once")
    assert sum(both.values()) == pytest.approx(1.25 * sum(once.values()))
    again.close(make_report("another", kwh=1.0, project_name="once"))


def dict_of(found: dict[str, Any], name: str, project: str) -> dict[str, float]:
    return {
        labels["device"]: value for labels, value in found[name] if labels["project"] == project
    }
