"""What holds for every row of the table of outputs."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faults.server import Server

from carbon_core import ConfigError, EmissionsTracker
from carbon_core.assemble import outputs
from carbon_core.clock import SystemClock
from carbon_core.config.output_table import OUTPUTS, OutputArguments, output_named
from carbon_core.config.resolve import resolve
from carbon_core.config.schema import KEYS, OutputMethod, Settings
from carbon_core.records import Amounts
from carbon_core.report import Report

MakeReport = Callable[..., Report]
EXPERIMENT = "235b1da5-aaaa-aaaa-aaaa-893681599d2c"
SELECTED_BY_DEFAULT = "csv"


class Broken:
    """A logger of CodeCarbon's kind that fails."""

    def out(self, total: Any, delta: Any) -> None:
        raise RuntimeError("surprise")

    live_out = out


# Settings that select the output; a new row of output_table.py gets a case here, for which
# tests/packaging/test_part_tables.py looks. {url} is a server, {path} a directory, {port} a free port.
CASES: dict[str, dict[str, Any]] = {
    "csv": {"output_methods": "csv", "output_dir": "{path}"},
    "boamps": {"output_methods": "boamps", "output_dir": "{path}", "metadata": {"task": {}}},
    "emissions_endpoint": {"emissions_endpoint": "{url}/take"},
    "api": {
        "save_to_api": True,
        "api_endpoint": "{url}",
        "api_key": "sesame",
        "experiment_id": EXPERIMENT,
    },
    "prometheus": {
        "save_to_prometheus": True,
        "prometheus_url": "{url}",
        "prometheus_username": "ada",
        "prometheus_password": "sesame",
    },
    "otel": {"otlp_endpoint": "{url}/v1/metrics"},
    "logfire": {"save_to_logfire": True, "logfire_url": "{url}", "logfire_token": "sesame"},
    "prometheus_textfile": {"prometheus_textfile_dir": "{path}"},
    "prometheus_endpoint": {"prometheus_port": "{port}"},
    "logger": {"save_to_logger": True},
}
# Replaces of a case's settings what makes it fail, where a server that refuses or a path that is a
# file does not.
BREAKS: dict[str, dict[str, Any]] = {
    "logger": {"logging_logger": Broken()},
    "prometheus_endpoint": {"prometheus_address": "203.0.113.1"},  # no machine has this address
}

every_row = pytest.mark.parametrize("name", OUTPUTS)
with_secret = pytest.mark.parametrize("name", [n for n, s in OUTPUTS.items() if s.secret])
with_library = pytest.mark.parametrize("name", [n for n, s in OUTPUTS.items() if s.library])


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.answer = (200, {}, b"")
    yield server
    server.close()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without anybody's settings."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    return tmp_path


def arguments_of(name: str, url: str, path: Path) -> dict[str, Any]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        filled = {"url": url, "path": path, "port": one.getsockname()[1]}
    return {
        key: value.format(**filled) if isinstance(value, str) else value
        for key, value in CASES[name].items()
    }


def settings_of(name: str, url: str, path: Path, **more: Any) -> Settings:
    return resolve({**arguments_of(name, url, path), **more}, environ={}).settings


def given(settings: Settings, path: Path) -> OutputArguments:
    return OutputArguments(settings, {}, path, SystemClock())


# --- made from settings --------------------------------------------------------------------------


@every_row
def test_it_is_selected_by_its_settings_and_has_no_problem(name: str, place: Path) -> None:
    settings = settings_of(name, "https://service.example", place)
    assert OUTPUTS[name].selected(settings)
    assert outputs.problems(settings, {}) == []
    assert OUTPUTS[name].selected(Settings()) == (name == SELECTED_BY_DEFAULT)


@every_row
def test_the_outputs_of_a_run_are_those_that_are_selected(name: str, place: Path) -> None:
    arguments = given(
        settings_of(name, "https://service.example", place, save_to_file=False), place
    )
    files = outputs.files(arguments)
    services = [service for service, _ in outputs.services_of(arguments)]
    made = outputs.deliveries(arguments, outputs.Messages(), print)
    expected = [] if OUTPUTS[name].kind == "file" else [name]
    assert len(files) == (OUTPUTS[name].kind == "file")
    assert services == (expected if OUTPUTS[name].kind == "service" else [])
    assert [delivery.name for delivery in made] == expected


@every_row
def test_it_takes_a_run_from_open_to_close(
    name: str, server: Server, place: Path, make_report: MakeReport
) -> None:
    if name == "api":
        server.next_answers = [(201, {}, b'{"id": "their-id"}')]
    out, report = place / "out", make_report()
    output: Any = OUTPUTS[name].make(given(settings_of(name, server.url, out), out))
    output.open(report)
    if OUTPUTS[name].kind == "file":
        output.update(report)
        output.flush(report)
        output.close(report)
    else:
        accepted = output.update(report, report.amounts) or report.amounts
        output.close(report, report.amounts.minus(accepted))
    if OUTPUTS[name].kind == "service":
        assert server.sent, "nothing was sent"
    elif name not in ("logger", "prometheus_endpoint"):
        assert list(out.iterdir()), "nothing was written"


@every_row
def test_one_that_fails_is_warned_of_and_harms_no_run(
    name: str, server: Server, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = (400, {}, b"no")
    (place / "occupied").write_text("a file where a directory should be")
    arguments = {**arguments_of(name, server.url, place / "occupied"), **BREAKS.get(name, {})}
    with EmissionsTracker(**arguments) as tracker:
        total = sum(range(1000))
    assert total == 499_500
    assert tracker.final_emissions is not None
    assert tracker.final_report is not None
    assert tracker.final_report.status == "completed"
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert (
        sum(
            f"delivery to {name} failed" in text or "occupied" in text or "cannot serve" in text
            for text in warnings
        )
        == 1
    ), warnings


@every_row
def test_one_that_fails_stops_no_other(name: str, server: Server, place: Path) -> None:
    server.answer = (400, {}, b"no")
    if name == SELECTED_BY_DEFAULT:
        pytest.skip("this is the other")
    (place / "occupied").write_text("a file where a directory should be")
    broken = {**arguments_of(name, server.url, place / "occupied"), **BREAKS.get(name, {})}
    methods = {"csv", *([name] if OUTPUTS[name].method else [])}
    arguments = {**broken, "output_methods": sorted(methods), "output_dir": str(place / "out")}
    for switch in {spec.switch for spec in OUTPUTS.values()} & arguments.keys():
        del arguments[switch]
    with EmissionsTracker(**arguments, log_level="error") as tracker:
        pass
    assert tracker.run_id in (place / "out" / "emissions.csv").read_text()


# --- what it needs -------------------------------------------------------------------------------


@with_secret
def test_a_secret_goes_to_no_other_machine_in_the_clear(name: str, place: Path) -> None:
    spec = OUTPUTS[name]
    assert spec.secret is not None
    settings = settings_of(name, "http://elsewhere.example", place)
    (problem,) = outputs.problems(settings, {})
    assert problem == f"{spec.secret.address} must be https: a secret is sent to it"
    assert list(outputs.services_of(given(settings, place))) == []
    assert outputs.resendable(settings, {}) == ()


@with_secret
def test_a_secret_goes_to_no_address_from_a_source_that_is_trusted_less(
    name: str, place: Path
) -> None:
    spec = OUTPUTS[name]
    assert spec.secret is not None
    Path(".codecarbon.config").write_text(
        f"[codecarbon]\n{spec.secret.address}=https://else.where\n"
    )
    arguments = arguments_of(name, "", place)
    del arguments[spec.secret.address]
    settings = resolve(arguments, environ={}).settings
    (problem,) = outputs.problems(settings, {})
    assert f"{spec.secret.key} is not sent to the address in {spec.secret.address}" in problem
    assert "sesame" not in problem
    assert list(outputs.services_of(given(settings, place))) == []


@with_secret
def test_without_its_secret_it_is_made_or_says_that_it_needs_it(name: str, place: Path) -> None:
    spec = OUTPUTS[name]
    assert spec.secret is not None
    settings = settings_of(name, "http://service.example", place, **{spec.secret.key: None})
    problems = outputs.problems(settings, {})
    made = [service for service, _ in outputs.services_of(given(settings, place))]
    if spec.needs_secret:
        (problem,) = problems
        assert f"needs {spec.secret.key}" in problem
        assert made == []
    else:
        assert (problems, made) == ([], [name])
    if spec.secret.variable:
        environ = {spec.secret.variable: "sesame"}
        assert spec.secret.value(settings, environ) == "sesame"


@with_library
def test_a_missing_library_is_a_problem_that_names_the_extra(
    name: str, server: Server, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = OUTPUTS[name]
    monkeypatch.setitem(sys.modules, spec.library, None)
    settings = settings_of(name, server.url, place / "out")
    (problem,) = outputs.problems(settings, {})
    assert f"pip install 'carbon-callbacks[{spec.extra}]'" in problem
    assert outputs.deliveries(given(settings, place), outputs.Messages(), print) == []


def test_a_library_whose_parent_package_is_missing_is_missing(place: Path) -> None:
    spec = replace(OUTPUTS["otel"], library="no_such_package.module")
    settings = settings_of("otel", "https://service.example", place)
    (problem,) = spec.problems(settings, {})
    assert "carbon-callbacks[otel]" in problem


def test_a_file_of_metadata_is_checked_even_where_it_is_not_used(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"metadata: absent\.json is no JSON file"):
        EmissionsTracker(metadata="absent.json", output_methods="csv")


# --- names ---------------------------------------------------------------------------------------


def test_the_public_names_are_those_of_the_table() -> None:
    assert {method.value for method in OutputMethod} == {
        s.name for s in OUTPUTS.values() if s.method
    }


def test_the_choices_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = replace(OUTPUTS["logger"], name="toy", switch="")
    monkeypatch.setitem(OUTPUTS, "toy", toy)
    assert KEYS["output_methods"].kind.parse("csv, TOY") == ["csv", "toy"]
    assert KEYS["output_methods"].kind.allowed.endswith(", logger, toy")


def test_an_unknown_output_raises_and_the_known_ones_are_named(place: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        EmissionsTracker(output_methods="oracle")
    assert all(name in str(caught.value) for name in OUTPUTS if OUTPUTS[name].method)
    with pytest.raises(ConfigError, match="known are csv, boamps"):
        output_named("oracle")
    with pytest.raises(ConfigError, match="known are csv, boamps"):
        outputs.problems(Settings(output_methods=["oracle"]), {})


def test_a_flush_of_an_object_of_the_user_s_is_no_delivery(place: Path) -> None:
    class Flushes:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def open(self, report: Report) -> None:
            self.calls.append("open")

        def update(self, report: Report, delta: Amounts) -> None:
            self.calls.append("update")

        def flush(self) -> None:
            self.calls.append("flush")

        def close(self, report: Report, delta: Amounts) -> None:
            self.calls.append("close")

    mine = Flushes()
    with EmissionsTracker(output_handlers=[mine], log_level="error") as tracker:
        tracker.flush()
    assert "flush" not in mine.calls
    assert mine.calls[-1] == "close"


def test_the_receipt_names_the_outputs_that_were_set(place: Path) -> None:
    with EmissionsTracker(output_methods="csv,boamps", log_level="error") as tracker:
        pass
    (path,) = (place / "carbon_runs").glob(f"{tracker.run_id}.receipt.json")
    assert "boamps" in str(json.loads(path.read_text())["run"]["settings"]["output_methods"])
