"""The working directory's file alone switches on nothing that sends data; all else in it counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from core.intensity.test_source_contract import CASES as SOURCE_CASES
from core.outputs.test_output_contract import CASES as OUTPUT_CASES
from faults.server import Server

from carbon_core import EmissionsTracker
from carbon_core.assemble import outputs
from carbon_core.assemble.grid import live_source, marginal_source, may_learn
from carbon_core.clock import SystemClock
from carbon_core.config import local_trust
from carbon_core.config.output_table import OUTPUTS, OutputArguments
from carbon_core.config.resolve import resolve
from carbon_core.config.schema import KEYS, Settings
from carbon_core.intensity.location import Place
from carbon_core.intensity.source_table import MARGINAL_SOURCES, SOURCES
from carbon_core.outputs.prometheus_endpoint import PrometheusEndpoint

NAME = ".codecarbon.config"
TRUST = "trust_local_config"
URL = "https://service.example"
SERVICES = [name for name, spec in OUTPUTS.items() if spec.sends]
LOCAL_OUTPUTS = [name for name in OUTPUTS if name not in SERVICES]
# What the file has, and the part of a run that it selects.
WAYS: dict[str, tuple[dict[str, Any], str]] = {
    **{
        name: (
            {k: str(v).format(url=URL, path=".", port=9400) for k, v in OUTPUT_CASES[name].items()},
            name,
        )
        for name in SERVICES
    },
    **{
        f"{name} by output_methods": (
            {k: v for k, v in values.items() if k not in (spec.switch, spec.selected_by)}
            | {"output_methods": f"csv,{name}"},
            name,
        )
        for name, spec in OUTPUTS.items()
        if spec.kind == "service" and spec.method
        for values in [{k: str(v).format(url=URL) for k, v in OUTPUT_CASES[name].items()}]
    },
    **{name: ({**SOURCE_CASES[name].settings, "intensity_source": name}, name) for name in SOURCES},
    **{name: (SOURCE_CASES[name].settings, name) for name in MARGINAL_SOURCES},
    "a token alone": (SOURCE_CASES["electricitymaps"].settings, "electricitymaps"),
    "an old token": ({"co2_signal_api_token": "sesame"}, "electricitymaps"),
    "a place by ip": ({"geolocation": "ip"}, "lookup"),
    "a place by cloud": ({"geolocation": "cloud"}, "lookup"),
}
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


class Files:
    """The two files, and how they are read."""

    def __init__(self, home: Path, work: Path) -> None:
        self.home, self.work = home, work

    def settings(
        self,
        local: Mapping[str, Any],
        *,
        home: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Settings:
        """Resolve the files with these settings."""
        for place, values in ((self.work, local), (self.home, home or {})):
            lines = "".join(f"{key} = {value}\n" for key, value in values.items())
            (place / NAME).write_text(f"[codecarbon]\n{lines}", encoding="utf-8")
            (place / NAME).chmod(0o600)
        return resolve(
            arguments, environ=environ or {}, home=self.home, directory=self.work
        ).settings

    def used(self, settings: Settings) -> set[str]:
        """Return what of a run would use the network."""
        given = OutputArguments(settings, {}, self.work, SystemClock())
        used = {name for name, _ in outputs.services_of(given)}
        served = [one for one in outputs.files(given) if isinstance(one, PrometheusEndpoint)]
        used |= {"prometheus_endpoint"} if served else set()
        live = live_source(settings, SystemClock(), Place(country="FRA"))
        if live is not None:
            used.add(settings.intensity_source or "electricitymaps")
        if marginal_source(settings, SystemClock(), Place()) is not None:
            used.add("watttime")
        return used | ({"lookup"} if may_learn(settings) else set())


@pytest.fixture
def files(home: Path, work: Path) -> Files:
    return Files(home, work)


# --- complete -------------------------------------------------------------------------------------


def test_every_setting_with_an_address_is_known_to_send() -> None:
    addresses = {key for key, row in KEYS.items() if row.kind.name == "url"}
    assert addresses <= local_trust.sending_keys()


def test_every_service_and_source_is_tried_here() -> None:
    assert {part for _, part in WAYS.values()} == {
        *SERVICES,
        *SOURCES,
        *MARGINAL_SOURCES,
        "lookup",
    }


def test_every_setting_that_sends_is_withheld_somewhere(files: Files) -> None:
    withheld = {key for values, _ in WAYS.values() for key in values}
    missing = local_trust.sending_keys() - withheld - {"geolocation_url", "electricitymaps_url"}
    missing -= {"log_receipt"}  # on by default: tested below
    assert missing <= {"watttime_url", "intensity_url", "prometheus_address"}
    everywhere = files.settings({"prometheus_address": "0.0.0.0"}, prometheus_port=9400)
    assert local_trust.withheld(everywhere) == ["prometheus_address"]
    assert "prometheus_endpoint" not in files.used(everywhere)
    for source in (*SOURCES.values(), *MARGINAL_SOURCES.values()):
        values = {**SOURCE_CASES[source.name].settings, source.url_key: URL}
        selected = {} if source.name in MARGINAL_SOURCES else {"intensity_source": source.name}
        assert source.url_key in local_trust.withheld(files.settings({**values, **selected}))
    lookup = files.settings({"geolocation_url": URL}, geolocation="ip")
    assert local_trust.withheld(lookup) == ["geolocation_url"]
    assert not may_learn(lookup)


# --- the file alone -------------------------------------------------------------------------------


@every_way
def test_the_file_alone_switches_on_nothing_that_sends(files: Files, way: str) -> None:
    values, part = WAYS[way]
    settings = files.settings(values)
    assert files.used(settings) == set()
    (text,) = local_trust.warnings(settings)
    assert str(files.work / NAME) in text
    assert set(local_trust.withheld(settings)) & (values.keys() | {"electricitymaps_api_token"})
    assert "trust_local_config = true in ~/.codecarbon.config" in text
    assert "sesame" not in text
    assert part not in outputs.resendable(settings, {})


@every_way
@pytest.mark.parametrize("by", ["home", "variable", "argument"])
def test_a_trusted_file_switches_on_what_it_says(files: Files, way: str, by: str) -> None:
    values, part = WAYS[way]
    trust: dict[str, Any] = {
        "home": {"home": {TRUST: "true"}},
        "variable": {"environ": {"CODECARBON_TRUST_LOCAL_CONFIG": "1"}},
        "argument": {TRUST: True},
    }[by]
    settings = files.settings(values, **trust)
    assert files.used(settings) == {part}
    assert local_trust.warnings(settings) == []


@every_way
def test_the_values_are_those_of_the_file_in_any_case(files: Files, way: str) -> None:
    values, _ = WAYS[way]
    trusted = files.settings(values, **{TRUST: True}).explicit()
    assert files.settings(values).explicit() == {
        key: value for key, value in trusted.items() if key != TRUST
    }


@every_way
def test_the_same_from_the_home_file_or_by_variables_is_switched_on(files: Files, way: str) -> None:
    values, part = WAYS[way]
    environ = {f"CODECARBON_{key.upper()}": value for key, value in values.items()}
    for settings in (
        files.settings({}, home=values),
        files.settings(values, home=values),
        files.settings(values, environ=environ),
    ):
        assert files.used(settings) == {part}
        assert local_trust.warnings(settings) == []


@pytest.mark.parametrize("value", ["true", "false"])
def test_a_file_cannot_trust_itself(files: Files, value: str) -> None:
    settings = files.settings({TRUST: value, "emissions_endpoint": URL})
    assert not settings.trust_local_config
    assert files.used(settings) == set()
    resolution = resolve({}, environ={}, home=files.home, directory=files.work)
    (warning,) = resolution.warnings
    assert "a file cannot trust itself" in warning
    assert files.settings({TRUST: "false"}, home={TRUST: "true"}).trust_local_config


def test_the_file_of_the_home_directory_is_trusted_there(files: Files) -> None:
    files.settings({}, home={"emissions_endpoint": URL})
    settings = resolve({}, environ={}, home=files.home, directory=files.home).settings
    assert files.used(settings) == {"emissions_endpoint"}


# --- the file and others --------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["api_endpoint", "prometheus_url"])
def test_an_address_of_the_file_gets_nothing_and_neither_does_the_default_one(
    files: Files, address: str
) -> None:
    switch = {"api_endpoint": "save_to_api", "prometheus_url": "save_to_prometheus"}[address]
    experiment = {"experiment_id": "235b1da5-aaaa-aaaa-aaaa-893681599d2c"}
    settings = files.settings({address: URL, **experiment}, **{switch: True})
    assert files.used(settings) == set()
    assert local_trust.withheld(settings) == [address]


def test_an_address_that_is_the_default_one_needs_no_trust(files: Files) -> None:
    # `codecarbon config` writes these lines into the working directory's file.
    written = {
        "api_endpoint": "https://api.codecarbon.io",
        "organization_id": "1",
        "project_id": "2",
        "experiment_id": "235b1da5-aaaa-aaaa-aaaa-893681599d2c",
    }
    settings = files.settings(written, save_to_api=True)
    assert files.used(settings) == {"api"}
    assert local_trust.warnings(settings) == []


def test_what_a_trusted_source_selects_stays_on(files: Files) -> None:
    home = {"emissions_endpoint": URL, "electricitymaps_api_token": "sesame"}
    local = {"output_methods": "csv,prometheus", "electricitymaps_api_token": "another"}
    settings = files.settings(local, home=home)
    assert files.used(settings) == {"emissions_endpoint", "electricitymaps"}
    assert local_trust.withheld(settings) == ["output_methods"]


def test_one_untrusted_address_keeps_only_its_own_output_off(files: Files) -> None:
    settings = files.settings({"emissions_endpoint": URL}, otlp_endpoint=f"{URL}/v1/metrics")
    assert files.used(settings) == {"otel"}
    assert local_trust.withheld(settings) == ["emissions_endpoint"]


def test_receipts_that_the_home_file_keeps_from_loggers_stay_there(files: Files) -> None:
    off, on = {"log_receipt": "false"}, {"log_receipt": "true"}
    settings = files.settings(on, home=off)
    assert not settings.sends_receipts
    assert local_trust.withheld(settings) == ["log_receipt"]
    assert "log_receipt not used" in local_trust.warnings(settings)[0]
    for settings in (
        files.settings(on),
        files.settings({}),
        files.settings(on, home=on),
        files.settings(on, home={**off, TRUST: "true"}),
        files.settings({}, home=off, environ={"CODECARBON_LOG_RECEIPT": "true"}),
        files.settings(off, home=off, log_receipt=True),
    ):
        assert settings.sends_receipts
        assert local_trust.warnings(settings) == []
    assert not files.settings(off, home=on).sends_receipts


@pytest.mark.parametrize("name", LOCAL_OUTPUTS)
def test_files_and_loggers_need_no_trust(files: Files, name: str) -> None:
    values = {
        key: str(value).format(path=files.work)
        for key, value in OUTPUT_CASES[name].items()
        if not isinstance(value, dict)
    }
    settings = files.settings(values)
    assert OUTPUTS[name].selected(settings)
    assert local_trust.is_output_allowed(OUTPUTS[name], settings)
    assert local_trust.warnings(settings) == []


def test_nothing_is_withheld_without_a_file(files: Files) -> None:
    assert local_trust.warnings(files.settings({})) == []
    assert local_trust.warnings(files.settings({"geolocation": "off", "save_to_api": "no"})) == []


# --- a run, and the command -----------------------------------------------------------------------


def test_a_run_warns_once_and_sends_nothing(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    monkeypatch.setenv("HOME", str(files.home))
    monkeypatch.chdir(files.work)
    local = {"emissions_endpoint": server.url, "project_name": "theirs", "output_dir": "results"}
    files.settings(local)
    try:
        with EmissionsTracker() as tracker:
            pass
        assert server.asked == []
    finally:
        server.close()
    assert tracker.settings.project_name == "theirs"
    assert (files.work / "results" / "emissions.csv").exists()
    told = [one.getMessage() for one in caplog.records if "trust_local_config" in one.getMessage()]
    assert len(told) == 1
    assert "emissions_endpoint not used" in told[0]
