"""Settings in signatures: for editors, jsonargparse and Hydra; what is not given stays not given."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import typing
from pathlib import Path
from typing import Any

import pytest

from carbon_core import (
    ConfigError,
    EmissionsTracker,
    OfflineEmissionsTracker,
    OutputMethod,
    SettingArguments,
    track_emissions,
    with_settings,
)
from carbon_core.assemble.trackers import _POSITIONAL
from carbon_core.config.resolve import resolve
from carbon_core.config.schema import ALIASES, KEYS, UNSET, Unset

NAMES = {*KEYS, *ALIASES}
FILE = "[codecarbon]\npue = 1.5\nmeasure_power_secs = 10\n"
# One value of each kind of setting, as an argument and as it is understood.
GIVEN = {
    "project_name": ("digits", "digits"),
    "measure_power_secs": (5, 5),
    "api_call_interval": (2, 2),
    "journal": (False, False),
    "log_level": ("ERROR", "ERROR"),
    "country_iso_code": ("FRA", "FRA"),
    "tracking_mode": ("process", "process"),
    "experiment_id": ("235b1da5-aaaa-4aaa-8aaa-893681599d2c",) * 2,
    "emissions_endpoint": ("localhost:7777", "localhost:7777"),
    "gpu_ids": ([0, "MIG-abcdef"], [0, "MIG-abcdef"]),
    "output_methods": (["csv", "boamps"], ["csv", "boamps"]),
    "metadata": ({"header": {"licensing": ["MIT"]}}, {"header": {"licensing": ["MIT"]}}),
    "output_dir": ("out", "out"),
    "intensity_year": (2024, 2024),
    "latitude": (48.85, 48.9),
}
ARGUMENTS = {name: given for name, (given, _) in GIVEN.items()}
UNDERSTOOD = {name: understood for name, (_, understood) in GIVEN.items()}


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and a variable that arguments would override."""
    for name in [name for name in os.environ if name.upper().startswith("CODECARBON_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CODECARBON_WUE", "0.5")
    monkeypatch.chdir(tmp_path)
    Path(".codecarbon.config").write_text(FILE)


def arguments_of(tracker: EmissionsTracker) -> dict[str, Any]:
    """Return the settings that came from arguments."""
    settings = tracker.settings
    origins = {name: settings.origin(name).source for name in KEYS}
    return {name: getattr(settings, name) for name in KEYS if origins[name] == "argument"}


def assert_files_and_variables_count(tracker: EmissionsTracker) -> None:
    assert (tracker.settings.pue, tracker.settings.wue) == (1.5, 0.5)


# --- signatures ----------------------------------------------------------------------------------


def test_a_tracker_shows_every_setting_with_codecarbon_s_first() -> None:
    shown = inspect.signature(EmissionsTracker).parameters
    assert tuple(shown)[: len(_POSITIONAL)] == _POSITIONAL
    assert set(shown) == NAMES
    assert {parameter.default for parameter in shown.values()} == {UNSET}
    assert shown["pue"].annotation == Unset | float | None
    assert shown["journal"].annotation == Unset | bool | None
    assert inspect.signature(OfflineEmissionsTracker) == inspect.signature(EmissionsTracker)


def test_a_signature_binds_as_the_tracker_does() -> None:
    bound = inspect.signature(EmissionsTracker).bind("name", 5, pue=1.2)
    assert bound.arguments == {"project_name": "name", "measure_power_secs": 5, "pue": 1.2}
    with pytest.raises(TypeError):
        inspect.signature(EmissionsTracker).bind(puue=1.2)


def test_the_decorator_shows_its_own_arguments_and_every_setting() -> None:
    shown = inspect.signature(track_emissions).parameters
    assert list(shown)[:2] == ["function", "offline"]
    assert set(shown) == {"function", "offline", *NAMES}
    assert "    pue: " in (track_emissions.__doc__ or "")
    assert "\nRaises:\n" in (track_emissions.__doc__ or "")


def test_the_help_says_what_each_setting_is() -> None:
    text = EmissionsTracker.__init__.__doc__ or ""
    for name, key in KEYS.items():
        assert f"    {name}: {key.help}" in text
    assert "(default: 15)" in text


@pytest.mark.parametrize("function", [EmissionsTracker.__init__, track_emissions])
def test_type_hints_are_types(function: Any) -> None:
    hints = typing.get_type_hints(function)
    assert hints["country_iso_code"] == Unset | str | None
    assert not any(isinstance(hint, str) for hint in hints.values())


def test_what_type_checkers_see_are_the_same_settings() -> None:
    assert SettingArguments.__annotations__.keys() == NAMES


def test_a_class_shows_what_it_passes_on() -> None:
    class Inner:
        """An inner part.

        Args:
            inner: How deep it is.
            **settings: The settings.
        """

        def __init__(self, inner: int = 1, **settings: Any) -> None:
            self.given = settings

    class Base:
        def __init__(self, *, base: str = "b", **more: Any) -> None:
            self.inner = Inner(**more)

    @with_settings(Inner)
    class Outer(Base):
        def __init__(self, outer: float | None = None, **more: Any) -> None:
            super().__init__(**more)

    shown = inspect.signature(Outer).parameters
    assert list(shown)[:3] == ["outer", "base", "inner"]
    assert set(shown) == {"outer", "base", "inner", *NAMES}
    assert shown["outer"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert shown["inner"].kind is inspect.Parameter.KEYWORD_ONLY
    assert (shown["outer"].annotation, shown["base"].annotation) == (float | None, str)
    assert Outer(inner=2, pue=1.2).inner.given == {"pue": 1.2}
    described = Outer.__init__.__doc__
    assert "\n    inner: How deep it is.\n    project_name: " in described
    assert "**settings" not in described

    @with_settings(Inner)
    class Outermost(Outer):
        def __init__(self, *, outermost: bool = False, **more: Any) -> None:
            super().__init__(**more)

    assert list(inspect.signature(Outermost).parameters)[:4] == [
        "outermost", "outer", "base", "inner",
    ]  # fmt: skip


# --- unset ---------------------------------------------------------------------------------------


def test_unset_lets_the_next_source_decide_and_none_does_not() -> None:
    assert resolve({"pue": UNSET}).settings.origin("pue").source == "file"
    assert resolve({"pue": UNSET}).settings.pue == 1.5
    assert resolve({"pue": None}).settings.origin("pue").source == "argument"
    assert resolve({"pue": None}).settings.pue == 1.0


def test_every_argument_can_be_unset() -> None:
    tracker = EmissionsTracker(**dict.fromkeys(NAMES, UNSET))
    assert arguments_of(tracker) == {}
    assert_files_and_variables_count(tracker)


def test_an_unknown_argument_is_still_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'pue'"):
        EmissionsTracker(puue=1.2)


# --- jsonargparse --------------------------------------------------------------------------------


@pytest.fixture
def parser() -> Any:
    jsonargparse = pytest.importorskip("jsonargparse")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(EmissionsTracker, "tracker")
    parser.add_argument("--config", action="config")
    return parser


def test_what_jsonargparse_prints_can_be_read_again(parser: Any, tmp_path: Path) -> None:
    printed = tmp_path / "printed.yaml"
    printed.write_text(parser.dump(parser.get_defaults()))
    assert "measure_power_secs: UNSET" in printed.read_text()
    tracker = parser.instantiate(parser.parse_args([f"--config={printed}"])).tracker
    assert arguments_of(tracker) == {}
    assert_files_and_variables_count(tracker)


def test_a_configuration_file_and_the_command_line_give_arguments(
    parser: Any, tmp_path: Path
) -> None:
    written = tmp_path / "written.yaml"
    written.write_text(json.dumps({"tracker": ARGUMENTS}))
    args = [f"--config={written}", "--tracker.region=Bretagne", "--tracker.log_level=WARNING"]
    again = tmp_path / "again.yaml"
    again.write_text(parser.dump(parser.parse_args(args)))
    for given in (args, [f"--config={again}"]):
        tracker = parser.instantiate(parser.parse_args(given)).tracker
        expected = {**UNDERSTOOD, "region": "Bretagne", "log_level": "WARNING"}
        assert arguments_of(tracker) == expected
        assert_files_and_variables_count(tracker)


def test_null_in_a_configuration_asks_for_the_default(parser: Any) -> None:
    tracker = parser.instantiate(parser.parse_args(["--tracker.pue=null"])).tracker
    assert tracker.settings.pue == 1.0


@pytest.mark.parametrize("argument", ["--tracker.puue=1.2", "--tracker.pue=much"])
def test_a_mistake_is_found_before_anything_runs(parser: Any, argument: str) -> None:
    from jsonargparse import ArgumentError

    with pytest.raises(ArgumentError):
        parser.parse_args([argument])


# --- OmegaConf and Hydra -------------------------------------------------------------------------


def assert_plain(value: Any) -> None:
    assert type(value) in (dict, list, str, int, float, bool)
    for one in value.values() if isinstance(value, dict) else value if type(value) is list else ():
        assert_plain(one)


def test_omegaconf_s_lists_and_mappings_are_plain_values() -> None:
    omegaconf = pytest.importorskip("omegaconf")
    given = omegaconf.OmegaConf.create(ARGUMENTS)
    tracker = EmissionsTracker(**given)
    assert arguments_of(tracker) == UNDERSTOOD
    for value in arguments_of(tracker).values():
        assert_plain(value)
    assert pickle.loads(pickle.dumps(tracker.settings)) == tracker.settings


def test_hydra_makes_a_tracker() -> None:
    pytest.importorskip("omegaconf")
    utils = pytest.importorskip("hydra.utils")
    target = "carbon_callbacks.EmissionsTracker"
    tracker = utils.instantiate({"_target_": target, **ARGUMENTS})
    assert arguments_of(tracker) == UNDERSTOOD
    assert_files_and_variables_count(tracker)


def test_outputs_may_be_members_of_the_enumeration() -> None:
    assert EmissionsTracker(output_methods=[OutputMethod.CSV]).settings.output_methods == ["csv"]
