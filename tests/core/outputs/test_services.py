"""Services that get the results: each against a real counterpart, or what reads its format."""

from __future__ import annotations

import http.client
import json
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.lab import eventually
from faults.server import Server

from carbon_core import ConfigError, EmissionsTracker, OfflineEmissionsTracker
from carbon_core.clock import SystemClock
from carbon_core.fetch import sender
from carbon_core.outputs.boamps import boamps_report
from carbon_core.outputs.codecarbon_api import CodeCarbonApi
from carbon_core.outputs.emissions_data import COLUMNS
from carbon_core.outputs.endpoint import Endpoint
from carbon_core.outputs.prometheus import Pushgateway, TextFile, text_of
from carbon_core.records import Amounts
from carbon_core.report import Report

MakeReport = Callable[..., Report]
EXPERIMENT = "235b1da5-aaaa-aaaa-aaaa-893681599d2c"
SEND = sender(SystemClock())


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.answer = (201, {}, b"{}")
    yield server
    server.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without anybody's settings."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bodies(server: Server, path: str) -> list[dict[str, Any]]:
    return [json.loads(body) for _, where, _, body in server.sent if where == path]


# --- an address of the user's own ---


def test_the_endpoint_gets_the_38_fields_once_and_no_user_name(server: Server, place: Path) -> None:
    address = server.url.removeprefix("http://") + "/results"
    with EmissionsTracker(emissions_endpoint=address, log_level="error") as tracker:
        tracker.flush()
    (sent,) = bodies(server, "/results")
    assert tuple(sent) == COLUMNS
    assert sent["energy_consumed"] == tracker.final_emissions_data.energy_consumed
    assert sent["run_id"] == tracker.run_id
    assert "user" not in sent


def test_no_figure_that_json_does_not_know_is_sent(make_report: MakeReport) -> None:
    sent: list[bytes] = []
    endpoint = Endpoint("localhost:1", lambda *request: sent.append(request[2]) or b"")
    endpoint.close(make_report(), make_report().amounts)
    assert json.loads(sent[0], parse_constant=pytest.fail)["longitude"] is None


# --- the CodeCarbon API ---


def api(server: Server, **more: Any) -> CodeCarbonApi:
    return CodeCarbonApi(server.url, "sesame", EXPERIMENT, SEND, **more)


def test_the_api_gets_a_run_once_and_what_came_in_whole_seconds(
    server: Server, make_report: MakeReport
) -> None:
    server.next_answers = [(201, {}, b'{"id": "their-id"}')]
    service, report = api(server), make_report()
    service.open(report)
    service.open(report)
    accepted = service.update(report, Amounts(2.75, 0.5, 0.1))
    rest = service.update(report, Amounts(0.75, 0.25, 0.05))
    service.close(report, Amounts(0.75, 0.25, 0.05))
    (run,) = bodies(server, "/runs")
    assert (run["experiment_id"], run["timestamp"]) == (EXPERIMENT, "2026-01-01T10:00:00+00:00")
    first, last = bodies(server, "/emissions")
    assert (first["run_id"], first["duration"], first["energy_consumed"]) == ("their-id", 2, 0.5)
    assert (accepted.duration_s, accepted.energy_kwh) == (2.0, 0.5)
    assert rest == Amounts()
    assert (last["duration"], last["energy_consumed"], last["emissions_sum"]) == (1, 0.25, 0.05)
    assert all(headers["x-api-token"] == "sesame" for _, _, headers, _ in server.sent)


def test_the_api_never_gets_a_negative_figure(server: Server, make_report: MakeReport) -> None:
    service = api(server, remote_id="known")
    accepted = service.update(make_report(), Amounts(5.0, 0.1, -0.2))
    (sent,) = bodies(server, "/emissions")
    assert sent["emissions_sum"] == 0.0
    assert accepted.emissions_kg == 0.0


@pytest.mark.slow
def test_deltas_at_the_api_add_up_to_the_run(server: Server, place: Path) -> None:
    server.answer = (201, {}, b'{"id": "their-id"}')
    refused = iter([True, False, True, True, False, False, True] * 50)
    server.accept = lambda: not next(refused)
    with EmissionsTracker(
        save_to_api=True,
        api_endpoint=server.url,
        experiment_id=EXPERIMENT,
        measure_power_secs=0.2,
        api_call_interval=2,
        force_ram_power=5000,
        log_level="error",
    ) as tracker:
        time.sleep(3.0)
    server.accept = lambda: True
    assert resend(place, server) == 0
    sent = bodies(server, "/emissions")
    total = tracker.final_emissions_data
    assert len(bodies(server, "/runs")) == 1
    assert sum(one["energy_consumed"] for one in sent) == pytest.approx(total.energy_consumed)
    assert sum(one["emissions_sum"] for one in sent) == pytest.approx(total.emissions)


def resend(directory: Path, server: Server) -> int:
    """Run `carbon-callbacks resend` as the next process would; return its exit code."""
    config = f"save_to_api=true\napi_endpoint={server.url}\nexperiment_id={EXPERIMENT}\n"
    (directory / ".codecarbon.config").write_text(f"[codecarbon]\n{config}")
    from typer.testing import CliRunner

    from carbon_callbacks.cli.app import app

    trusted = {"CODECARBON_TRUST_LOCAL_CONFIG": "true"}
    return CliRunner().invoke(app, ["resend", str(directory)], env=trusted).exit_code


def test_without_an_experiment_nothing_is_sent_and_the_argument_is_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match="needs experiment_id"):
        EmissionsTracker(save_to_api=True)


def test_an_experiment_that_is_no_uuid_is_kept_in_the_row(place: Path) -> None:
    with EmissionsTracker(experiment_id="test", log_level="error") as tracker:
        pass
    assert tracker.final_emissions_data.experiment_id == "test"
    assert ",test," in Path("emissions.csv").read_text()


def test_the_api_cannot_have_an_experiment_that_is_no_uuid(
    place: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match="needs a UUID as experiment_id, got 'test'"):
        EmissionsTracker(save_to_api=True, experiment_id="test")
    config = f"save_to_api=true\napi_endpoint={server.url}\nexperiment_id=test\n"
    Path(".codecarbon.config").write_text(f"[codecarbon]\n{config}")
    with EmissionsTracker() as tracker:
        pass
    assert tracker.final_emissions is not None
    assert server.asked == []
    assert "needs a UUID as experiment_id" in caplog.text


def test_without_an_experiment_a_file_only_warns(
    place: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    config = f"save_to_api=true\napi_endpoint={server.url}\n"
    Path(".codecarbon.config").write_text(f"[codecarbon]\n{config}")
    with EmissionsTracker() as tracker:
        pass
    assert tracker.final_emissions is not None
    assert server.asked == []
    assert "needs experiment_id" in caplog.text


def test_a_key_from_home_is_not_sent_where_a_file_here_says(
    place: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "home").mkdir()
    home_file = place / "home" / ".codecarbon.config"
    home_file.write_text(f"[codecarbon]\napi_key=planted\nexperiment_id={EXPERIMENT}\n")
    home_file.chmod(0o600)
    here = f"save_to_api=true\napi_endpoint={server.url}\n"
    Path(".codecarbon.config").write_text(f"[codecarbon]\n{here}")
    with EmissionsTracker():
        pass
    assert server.asked == []
    assert "api_key is not sent to the address in api_endpoint" in caplog.text


@pytest.mark.parametrize(
    ("variable", "asks", "address"),
    [
        ("PROMETHEUS_PASSWORD", "save_to_prometheus", "prometheus_url"),
        ("LOGFIRE_TOKEN", "save_to_logfire", "logfire_url"),
    ],
)
def test_a_variable_s_secret_is_not_sent_where_a_file_here_says(
    variable: str,
    asks: str,
    address: str,
    place: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(variable, "planted")
    monkeypatch.setenv("PROMETHEUS_USERNAME", "somebody")
    Path(".codecarbon.config").write_text(f"[codecarbon]\n{asks}=true\n{address}={server.url}\n")
    with EmissionsTracker():
        pass
    assert server.asked == []
    assert f"is not sent to the address in {address}" in caplog.text
    assert "planted" not in caplog.text


def test_the_pushgateway_gets_the_variables_of_codecarbon(
    place: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_USERNAME", "me")
    monkeypatch.setenv("PROMETHEUS_PASSWORD", "sesame")
    settings = {"save_to_prometheus": True, "prometheus_url": server.url, "log_level": "error"}
    with EmissionsTracker(**settings):
        pass
    assert server.sent[-1][2]["Authorization"] == "Basic bWU6c2VzYW1l"


def test_an_offline_tracker_tells_nobody(
    place: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with OfflineEmissionsTracker(country_iso_code="FRA", emissions_endpoint=server.url):
        pass
    assert server.asked == []
    assert "sends nothing over the network: not to emissions_endpoint" in caplog.text


# --- Prometheus ---


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("prometheus-pushgateway") or shutil.which("pushgateway")
    if program is None:
        pytest.skip("prometheus-pushgateway is not installed")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    # Debian's default file has the groups of every earlier gateway.
    own = f"--persistence.file={tmp_path / 'gateway.data'}"
    process = subprocess.Popen(
        [program, f"--web.listen-address={address}", own],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert eventually(lambda: "ok" in page(address, "/-/healthy").lower(), 20.0)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def page(address: str, path: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


def metrics_of(text: str) -> dict[str, tuple[float, dict[str, str]]]:
    from prometheus_client.parser import text_string_to_metric_families

    families = text_string_to_metric_families(text)
    return {one.name: (one.value, one.labels) for family in families for one in family.samples}


def test_a_real_pushgateway_has_the_totals(gateway: str, place: Path) -> None:
    with EmissionsTracker(
        project_name="my project",
        save_to_prometheus=True,
        prometheus_url=gateway,
        force_ram_power=500,
        log_level="error",
    ) as tracker:
        time.sleep(0.3)
    found = metrics_of(page(gateway, "/metrics"))
    total = tracker.final_emissions_data
    assert found["codecarbon_energy_total"][0] == pytest.approx(total.energy_consumed)
    assert found["codecarbon_emissions"][0] == pytest.approx(total.emissions)
    labels = found["codecarbon_ram_power"][1]
    assert labels["job"] == "my_project_base"
    assert labels["project_name"] == "my project"
    assert labels["cpu_model"] == (total.cpu_model or "")


def test_the_pushgateway_is_told_who_asks(server: Server, make_report: MakeReport) -> None:
    service = Pushgateway(server.url, "base", SEND, {"Authorization": "Basic abc"})
    service.update(make_report(), Amounts())
    ((method, path, headers, body),) = server.sent
    assert (method, path) == ("PUT", "/metrics/job/digits_base")
    assert headers["Authorization"] == "Basic abc"
    assert metrics_of(body.decode())["codecarbon_gpu_energy"][0] == pytest.approx(4.2)


def test_a_label_is_one_line_of_text(make_report: MakeReport) -> None:
    """A variable that is not UTF-8 has surrogates, which no text format can hold."""
    text = text_of(make_report(project_name='a"\\b\n\udcff\x1b[31m\u202ec}')).decode()
    labels = metrics_of(text)["codecarbon_energy_total"][1]
    assert labels["project_name"] == 'a"\\b   [31m c}'


def test_each_rank_has_a_group_of_its_own(server: Server, make_report: MakeReport) -> None:
    Pushgateway(server.url, "base", SEND).update(make_report(rank=3), Amounts())
    assert server.sent[0][1] == "/metrics/job/digits_base/rank/3"


def test_the_text_file_is_replaced_as_a_whole(tmp_path: Path, make_report: MakeReport) -> None:
    service = TextFile(tmp_path, "base")
    service.open(make_report())
    for kwh in (1.0, 2.0):
        service.update(make_report(kwh=kwh), Amounts())
    (path,) = tmp_path.iterdir()
    assert path.name == "carbon_digits_base.prom"
    assert metrics_of(path.read_text())["codecarbon_energy_total"][0] == pytest.approx(3.0)


def test_a_project_of_any_length_has_a_file_and_a_group(
    server: Server, tmp_path: Path, make_report: MakeReport
) -> None:
    for end in ("a", "b"):
        report = make_report(project_name="é" * 100_000 + end, rank=12)
        TextFile(tmp_path, "base").update(report, Amounts())
        Pushgateway(server.url, "base", SEND).update(report, Amounts())
    assert len(list(tmp_path.glob("carbon_*_12.prom"))) == 2
    paths = {path for _, path, _, _ in server.sent}
    assert len(paths) == 2
    assert max(map(len, paths)) < 300


# --- OpenTelemetry ---


def exported(server: Server, path: str) -> list[Any]:
    """Return the metrics that came by OTLP, decoded by the official package."""
    import gzip

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    requests = []
    for _, where, headers, body in server.sent:
        if where == path:
            plain = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
            requests.append(ExportMetricsServiceRequest.FromString(plain))
    return requests


def test_open_telemetry_has_each_device_by_its_conventions(server: Server, place: Path) -> None:
    server.answer = (200, {}, b"")
    with EmissionsTracker(
        project_name="otel-test",
        otlp_endpoint=f"{server.url}/v1/metrics",
        force_ram_power=500,
        log_level="error",
    ) as tracker:
        time.sleep(0.3)
    (resource,) = exported(server, "/v1/metrics")[-1].resource_metrics
    about = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (about["service.name"], about["service.instance.id"]) == ("otel-test", tracker.run_id)
    metrics = {one.name: one for scope in resource.scope_metrics for one in scope.metrics}
    energy = metrics["hw.energy"]
    assert (energy.unit, energy.sum.is_monotonic) == ("J", True)
    joules = sum(point.as_double for point in energy.sum.data_points)
    assert joules == pytest.approx(tracker.final_report.window.joules)
    types = {
        one.value.string_value
        for point in energy.sum.data_points
        for one in point.attributes
        if one.key == "hw.type"
    }
    assert types == {"cpu", "memory"}
    assert {"hw.power", "carbon.emissions"} <= metrics.keys()


def test_logfire_is_open_telemetry_with_its_token(server: Server, place: Path) -> None:
    server.answer = (200, {}, b"")
    with EmissionsTracker(
        save_to_logfire=True, logfire_token="sesame", logfire_url=server.url, log_level="error"
    ):
        pass
    assert exported(server, "/v1/metrics")
    sent = {name.lower(): value for name, value in server.sent[-1][2].items()}
    assert sent["authorization"] == "sesame"


# --- Python's logging, and objects of the user's ---


def test_a_logger_gets_the_totals_as_json(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("mine")
    settings = {"save_to_logger": True, "logging_logger": logger}
    with caplog.at_level(logging.INFO, "mine"), EmissionsTracker(**settings) as tracker:
        pass
    (record,) = [record for record in caplog.records if record.name == "mine"]
    assert json.loads(record.message)["energy_consumed"] == (
        tracker.final_emissions_data.energy_consumed
    )


class Theirs:
    """An output against CodeCarbon's interface."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.deltas: list[float] = []
        self.tasks: list[Any] = []

    def out(self, total: Any, delta: Any) -> None:
        self.calls.append("out")
        self.total = total
        self.deltas.append(delta.energy_consumed)

    def live_out(self, total: Any, delta: Any) -> None:
        self.calls.append("live_out")
        self.deltas.append(delta.energy_consumed)

    def task_out(self, tasks: list[Any], experiment_name: str) -> None:
        self.calls.append("task_out")
        self.tasks = tasks

    def exit(self) -> None:
        self.calls.append("exit")


def test_an_object_of_codecarbon_s_kind_gets_deltas_that_add_up(place: Path) -> None:
    theirs = Theirs()
    handlers = [theirs]
    with EmissionsTracker(
        output_handlers=handlers, measure_power_secs=0.1, api_call_interval=1, log_level="error"
    ) as tracker:
        tracker.start_task("load")
        time.sleep(0.4)
        tracker.stop_task("load")
    assert handlers == [theirs]
    assert theirs.calls[-3:] == ["out", "task_out", "exit"]
    assert "live_out" in theirs.calls
    assert sum(theirs.deltas) == pytest.approx(theirs.total.energy_consumed)
    assert theirs.total.energy_consumed == tracker.final_emissions_data.energy_consumed
    assert [(task.task_name, task.duration > 0.3) for task in theirs.tasks] == [("load", True)]


class Recording:
    """An object of CodeCarbon's kind that notes each call with its length and that of the delta."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float, float]] = []

    def out(self, total: Any, delta: Any) -> None:
        self.calls.append(("out", total.duration, delta.duration))

    def live_out(self, total: Any, delta: Any) -> None:
        self.calls.append(("live_out", total.duration, delta.duration))

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]


def test_a_flush_calls_out_with_what_came_since_the_last(place: Path) -> None:
    theirs = Recording()
    with EmissionsTracker(output_handlers=[theirs], log_level="error") as tracker:
        for count in (1, 2):
            tracker.flush()
            assert eventually(lambda: len(theirs.calls) == count)  # noqa: B023
    assert theirs.names == ["out", "out", "out"]
    totals = [total for _, total, _ in theirs.calls]
    deltas = [delta for _, _, delta in theirs.calls]
    assert sum(deltas) == pytest.approx(totals[-1])
    assert totals == sorted(totals)
    assert totals[-1] == tracker.final_emissions_data.duration


def test_a_flush_hands_over_the_tasks_that_have_ended(place: Path) -> None:
    theirs = Theirs()
    with EmissionsTracker(output_handlers=[theirs], log_level="error") as tracker:
        tracker.start_task("load")
        tracker.stop_task("load")
        tracker.start_task("fit")
        tracker.flush()
        assert eventually(lambda: "task_out" in theirs.calls)
        assert [task.task_name for task in theirs.tasks] == ["load"]
        tracker.stop_task("fit")
    assert theirs.calls == ["out", "task_out", "out", "task_out", "exit"]
    assert [task.task_name for task in theirs.tasks] == ["load", "fit"]


@pytest.mark.parametrize(
    ("interval", "names"), [(2, ["live_out", "out"]), (8, ["out"]), (-1, ["out"])]
)
def test_the_readings_at_start_and_stop_count_for_live_out(
    place: Path, interval: int, names: list[str]
) -> None:
    theirs = Recording()
    with EmissionsTracker(
        output_handlers=[theirs],
        measure_power_secs=999,
        api_call_interval=interval,
        log_level="error",
    ) as tracker:
        pass
    assert theirs.names == names
    durations = [total for _, total, _ in theirs.calls]
    assert durations == [tracker.final_emissions_data.duration] * len(names)
    assert [delta for _, _, delta in theirs.calls] == [durations[0], *[0.0] * (len(names) - 1)]


# --- BoAmps ---


def test_a_boamps_report_lies_beside_the_rows(place: Path) -> None:
    Path("task.json").write_text('{"boamps": {"task": {"taskStage": "training"}}}')
    with EmissionsTracker(
        output_methods="csv,boamps", metadata="task.json", log_level="error"
    ) as tracker:
        pass
    report = json.loads(Path(f"boamps_report_{tracker.run_id}.json").read_text())
    assert report["task"]["taskStage"] == "training"
    (measure,) = report["measures"]
    assert measure["powerConsumption"] == tracker.final_emissions_data.energy_consumed
    assert {part["componentType"] for part in report["infrastructure"]["components"]} >= {
        "cpu",
        "ram",
    }


def test_a_file_of_metadata_that_a_variable_names_wrongly_is_only_warned_of(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CODECARBON_METADATA", "absent.json")
    with EmissionsTracker(output_methods="csv,boamps") as tracker:
        pass
    assert tracker.final_report.window.joules > 0
    assert Path(f"boamps_report_{tracker.run_id}.json").exists()
    assert "metadata: absent.json is no JSON file" in caplog.text


def test_a_boamps_report_alone_is_the_only_file(place: Path) -> None:
    with EmissionsTracker(output_methods="boamps", output_dir="new", log_level="error") as tracker:
        pass
    assert [path.name for path in Path("new").iterdir()] == [f"boamps_report_{tracker.run_id}.json"]


def test_what_the_user_says_counts_before_what_is_filled_in(make_report: MakeReport) -> None:
    said = {"system": {"os": "mine"}, "measures": [{"measurementMethod": "wall meter"}]}
    report = boamps_report(make_report(), said)
    assert report["system"]["os"] == "mine"
    assert report["measures"][0]["measurementMethod"] == "wall meter"
    assert report["measures"][0]["powerConsumption"] == pytest.approx(6.0)
    assert "averageUtilizationGpu" not in report["measures"][0]


def test_a_boamps_report_names_the_cloud_and_leaves_out_an_unknown_country(
    make_report: MakeReport,
) -> None:
    on_cloud = boamps_report(make_report(cloud_provider="gcp", cloud_region="us-east1"), {})
    assert on_cloud["infrastructure"]["infraType"] == "publicCloud"
    assert on_cloud["infrastructure"]["cloudProvider"] == "gcp"
    alone = boamps_report(make_report(country_name=""), {})
    assert alone["infrastructure"]["infraType"] == "onPremise"
    assert "cloudProvider" not in alone["infrastructure"]
    assert "environment" not in alone


def test_a_file_of_metadata_that_is_none_is_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"metadata: absent\.json is no JSON file"):
        EmissionsTracker(output_methods="boamps", metadata="absent.json")
