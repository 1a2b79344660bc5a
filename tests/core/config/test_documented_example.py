"""The documented example of the configuration: files, variables and arguments, merged key by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from carbon_core import EmissionsTracker
from carbon_core.assemble.outputs import services_of
from carbon_core.clock import SystemClock
from carbon_core.config import local_trust
from carbon_core.config.output_table import OutputArguments
from carbon_core.config.resolve import Resolution, resolve

HOME = """\
[codecarbon]
measure_power_secs=10
save_to_file=local-overwrite
emissions_endpoint=localhost:7777
"""
LOCAL = """\
[codecarbon]
save_to_file = true
output_dir = /Users/victor/emissions
electricitymaps_api_token=script-overwrite
experiment_id = 235b1da5-aaaa-aaaa-aaaa-893681599d2c
log_level = DEBUG
tracking_mode = process
"""
ENVIRON = {"CODECARBON_GPU_IDS": "0, 1", "CODECARBON_LOG_LEVEL": "WARNING"}
ARGUMENTS = {
    "api_call_interval": 4,
    "save_to_api": True,
    "electricitymaps_api_token": "some-token",
}
EFFECTIVE = {
    "measure_power_secs": 10,
    "save_to_file": True,
    "api_call_interval": 4,
    "save_to_api": True,
    "experiment_id": "235b1da5-aaaa-aaaa-aaaa-893681599d2c",
    "log_level": "WARNING",
    "tracking_mode": "process",
    "emissions_endpoint": "localhost:7777",
    "output_dir": "/Users/victor/emissions",
    "electricitymaps_api_token": "some-token",
    "gpu_ids": [0, 1],
}


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Return a home and a working directory with the example's files."""
    home, directory = tmp_path / "home", tmp_path / "work"
    for place, text in ((home, HOME), (directory, LOCAL)):
        place.mkdir()
        file = place / ".codecarbon.config"
        file.touch(0o600)  # one of them holds a token
        file.write_text(text, encoding="utf-8")
    return home, directory


@pytest.fixture
def example(places: tuple[Path, Path]) -> Resolution:
    home, directory = places
    return resolve(ARGUMENTS, environ=ENVIRON, home=home, directory=directory)


def typed(settings: dict[str, object]) -> dict[str, tuple[type, object]]:
    return {key: (type(value), value) for key, value in settings.items()}


def test_yields_the_documented_values_and_types(example: Resolution) -> None:
    explicit = example.settings.explicit()
    assert typed(explicit) == typed(EFFECTIVE)
    assert [type(gpu) for gpu in explicit["gpu_ids"]] == [int, int]


def test_a_bad_value_that_is_overridden_is_nothing_at_all(example: Resolution) -> None:
    assert example.warnings == []
    assert example.deprecations == []


def test_what_the_home_file_and_arguments_switch_on_is_on(example: Resolution) -> None:
    assert local_trust.warnings(example.settings) == []
    given = OutputArguments(example.settings, {}, Path(), SystemClock())
    assert {name for name, _ in services_of(given)} == {"emissions_endpoint", "api"}


def test_every_value_has_its_origin(example: Resolution, places: tuple[Path, Path]) -> None:
    home, directory = (place / ".codecarbon.config" for place in places)
    origin = example.settings.origin
    assert str(origin("measure_power_secs")) == f"{home} line 2"
    assert str(origin("save_to_file")) == f"{directory} line 2"
    assert str(origin("log_level")) == "environment CODECARBON_LOG_LEVEL"
    assert str(origin("electricitymaps_api_token")) == "argument"
    assert str(origin("pue")) == "default"


def test_the_tracker_itself_resolves_the_example(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, directory = places
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(directory)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    assert typed(EmissionsTracker(**ARGUMENTS).settings.explicit()) == typed(EFFECTIVE)


def test_a_missing_output_dir_is_created(tmp_path: Path) -> None:
    output_dir = tmp_path / "a" / "b"
    with EmissionsTracker(output_dir=output_dir, log_level="ERROR") as tracker:
        pass
    rows = (output_dir / "emissions.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 2
    assert tracker.run_id in rows[1]


def test_an_output_dir_that_cannot_be_is_one_warning_and_the_run_is_returned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a directory", encoding="utf-8")
    with EmissionsTracker(output_dir=occupied / "sub", log_level="WARNING") as tracker:
        pass
    assert tracker.final_emissions is not None
    assert tracker.final_emissions > 0
    warnings = [record.getMessage() for record in caplog.records]
    assert [text for text in warnings if str(occupied) in text] == [
        f"cannot write in {occupied / 'sub'}: Not a directory; the run is still measured and "
        "returned"
    ]
