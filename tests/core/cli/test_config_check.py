"""`config check` lists what a run with the same settings warns about, for each row of the tables."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from carbon_callbacks.cli.app import app
from carbon_core import EmissionsTracker

EXPERIMENT = "235b1da5-aaaa-aaaa-aaaa-893681599d2c"


@dataclass(frozen=True)
class Fault:
    """Settings with one fault.

    Attributes:
        row: The row of a table that has the fault.
        file: Lines of the local file.
        text: A part of the warning.
        environ: Environment variables.
        without: A module that is not installed.
    """

    row: str
    file: str
    text: str
    environ: dict[str, str] = field(default_factory=dict)
    without: str = ""


API = f"save_to_api=true\nexperiment_id={EXPERIMENT}\n"
OTEL_LIBRARY = "opentelemetry.exporter.otlp.proto.http"
WATTTIME = {"CODECARBON_WATTTIME_USERNAME": "ada", "CODECARBON_WATTTIME_REGION": "CAISO_NORTH"}
# A new row with a requirement gets a fault here; tests/packaging/test_part_tables.py looks for it.
FAULTS = [
    Fault("api", "save_to_api=true", "the CodeCarbon API needs experiment_id"),
    Fault(
        "api", "save_to_api=true\nexperiment_id=test", "needs a UUID as experiment_id, got 'test'"
    ),
    Fault(
        "api",
        f"{API}api_endpoint=https://elsewhere.example",
        "api_key is not sent to the address in api_endpoint",
        {"CODECARBON_API_KEY": "planted"},
    ),
    Fault(
        "api",
        API,
        "api_endpoint must be https: a secret is sent to it",
        {"CODECARBON_API_KEY": "planted", "CODECARBON_API_ENDPOINT": "http://elsewhere.example"},
    ),
    Fault(
        "prometheus",
        "save_to_prometheus=true\nprometheus_url=https://elsewhere.example",
        "prometheus_password is not sent to the address in prometheus_url",
        {"PROMETHEUS_PASSWORD": "planted"},
    ),
    Fault(
        "prometheus",
        "save_to_prometheus=true",
        "prometheus_url must be https",
        {"PROMETHEUS_PASSWORD": "planted", "CODECARBON_PROMETHEUS_URL": "elsewhere.example:9091"},
    ),
    Fault(
        "prometheus",
        "save_to_prometheus=true",
        "Prometheus needs the module prometheus_client: pip install 'carbon-callbacks[prometheus]'",
        without="prometheus_client",
    ),
    Fault(
        "prometheus_textfile",
        "prometheus_textfile_dir=.",
        "node_exporter needs the module prometheus_client: pip install 'carbon-callbacks[prometheus]'",
        without="prometheus_client",
    ),
    Fault(
        "prometheus_endpoint",
        "prometheus_port=9400\nprometheus_address=all.example",
        "prometheus_address must be an IP address such as 127.0.0.1, got 'all.example'",
        {"CODECARBON_TRUST_LOCAL_CONFIG": "true"},
    ),
    Fault(
        "prometheus_endpoint",
        "prometheus_port=9400",
        "Prometheus endpoint needs the module prometheus_client",
        {"CODECARBON_TRUST_LOCAL_CONFIG": "true"},
        without="prometheus_client",
    ),
    Fault(
        "otel",
        "output_methods=otel",
        f"OpenTelemetry needs the module {OTEL_LIBRARY}: pip install 'carbon-callbacks[otel]'",
        without=OTEL_LIBRARY,
    ),
    Fault(
        "logfire",
        "save_to_logfire=true",
        "Logfire needs logfire_token, or the variable LOGFIRE_TOKEN",
    ),
    Fault(
        "logfire",
        "save_to_logfire=true\nlogfire_url=https://elsewhere.example",
        "logfire_token is not sent to the address in logfire_url",
        {"LOGFIRE_TOKEN": "planted"},
    ),
    Fault(
        "logfire",
        "save_to_logfire=true",
        f"Logfire needs the module {OTEL_LIBRARY}: pip install 'carbon-callbacks[otel]'",
        {"LOGFIRE_TOKEN": "planted"},
        without=OTEL_LIBRARY,
    ),
    Fault(
        "boamps",
        "output_methods=csv,boamps\nmetadata=absent.json",
        "metadata: absent.json is no JSON file",
    ),
    Fault(
        "electricitymaps",
        "intensity_source=electricitymaps",
        "intensity_source=electricitymaps needs electricitymaps_api_token",
    ),
    Fault(
        "electricitymaps",
        "electricitymaps_url=https://elsewhere.example",
        "electricitymaps_api_token is not sent to the address in electricitymaps_url",
        {"CODECARBON_ELECTRICITYMAPS_API_TOKEN": "planted"},
    ),
    Fault(
        "electricitymaps",
        "",
        "electricitymaps_url must be https",
        {
            "CODECARBON_ELECTRICITYMAPS_API_TOKEN": "planted",
            "CODECARBON_ELECTRICITYMAPS_URL": "http://elsewhere.example",
        },
    ),
    Fault(
        "watttime",
        "",
        "WattTime needs watttime_username, watttime_password and watttime_region",
        WATTTIME,
    ),
    Fault(
        "watttime",
        "watttime_url=https://elsewhere.example",
        "watttime_password is not sent to the address in watttime_url",
        {**WATTTIME, "CODECARBON_WATTTIME_PASSWORD": "planted"},
    ),
]


def lines_of_check() -> tuple[int, list[str]]:
    done = CliRunner().invoke(app, ["config", "check"])
    *problems, last = done.stdout.splitlines()
    assert last == (f"mistakes found: {len(problems)}" if problems else "no mistakes found")
    return done.exit_code, problems


def warnings_of_run(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what a run warns about before anything is measured."""
    caplog.clear()
    tracker = EmissionsTracker()
    parts = tracker.make_parts("235b1da5-bbbb-4bbb-8bbb-893681599d2c")
    parts.messages.deliver()
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without anybody's settings."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.row}: {fault.text[:40]}")
def test_it_lists_what_a_run_warns_about(
    fault: Fault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Path(".codecarbon.config").write_text(f"[codecarbon]\n{fault.file}\n")
    for name, value in fault.environ.items():
        monkeypatch.setenv(name, value)
    if fault.without:
        monkeypatch.setitem(sys.modules, fault.without, None)
    status, problems = lines_of_check()
    assert problems == warnings_of_run(caplog)
    (problem,) = problems
    assert fault.text in problem
    assert "planted" not in problem
    assert status == 2


def test_faults_of_several_rows_are_all_listed(caplog: pytest.LogCaptureFixture) -> None:
    Path(".codecarbon.config").write_text(
        "[codecarbon]\noutput_methods=api,logfire\nintensity_source=electricitymaps\n"
        "country_iso_code=USA\nregion=Nowhere\n"
    )
    _, problems = lines_of_check()
    assert problems == warnings_of_run(caplog)
    for text in ("experiment_id", "logfire_token", "electricitymaps_api_token", "Nowhere"):
        assert any(text in problem for problem in problems), text


def test_without_a_fault_neither_says_anything(caplog: pytest.LogCaptureFixture) -> None:
    Path(".codecarbon.config").write_text("[codecarbon]\noutput_methods=csv,logger\n")
    assert lines_of_check() == (0, [])
    assert warnings_of_run(caplog) == []


@pytest.mark.parametrize(
    "line",
    ["output_dir=a-file", "output_dir=a-file/below", "prometheus_textfile_dir=absent"],
)
def test_a_directory_that_cannot_be_written_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("a-file").touch()
    Path(".codecarbon.config").write_text(f"[codecarbon]\n{line}\n")
    done = CliRunner().invoke(app, ["config", "check"])
    assert done.exit_code == 2
    key, _, directory = line.partition("=")
    assert f"{key}: cannot write in {directory}" in done.stdout
    Path(".codecarbon.config").write_text("[codecarbon]\noutput_dir=new/directory\n")
    assert CliRunner().invoke(app, ["config", "check"]).exit_code == 0
    assert not Path("new").exists()
