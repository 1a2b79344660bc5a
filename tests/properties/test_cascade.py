"""The cascade, for any filling of the sources: the highest valid value wins, key by key."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_core import ConfigError
from carbon_core.config.resolve import Resolution, resolve
from carbon_core.config.schema import KEYS, default_of

NAME = ".codecarbon.config"
SOURCES = ("home", "local", "environment")  # lowest first
SECRET = "hunter2"

# For each key: what may be written, as what it is read; and what must not be written.
GOOD = {
    "pue": {"1": 1, "1.25": 1.25, " 2 ": 2, "1e1": 10.0},
    "measure_power_secs": {"10": 10, "0.5": 0.5},
    "api_call_interval": {"4": 4, "-1": -1, "0": 0},
    "save_to_file": {"true": True, "OFF": False, "1": True, "no": False},
    "tracking_mode": {"process": "process", "Machine": "machine"},
    "log_level": {"debug": "DEBUG", "WARNING": "WARNING"},
    "gpu_ids": {"0, 1": [0, 1], "[2]": [2], "GPU-5d1f2a3b": ["GPU-5d1f2a3b"]},
    "country_iso_code": {"fra": "FRA", "DE": "DE", "France": "FRA"},
    "region": {"Ohio": "Ohio", "a = b": "a = b"},
    "api_key": {SECRET: SECRET},
}
BAD = {
    "pue": ["0.5", "abc", "nan", "1,5"],
    "measure_power_secs": ["0", "-1", "inf", "1s", "1_000"],
    "api_call_interval": ["-2", "1.5"],
    "save_to_file": ["local-overwrite", "2"],
    "tracking_mode": ["bogus"],
    "log_level": ["loud"],
    "gpu_ids": ["all"],
    "country_iso_code": ["Frankenland", "Korea"],
}
_NAMES = sorted(GOOD)


@st.composite
def fillings(draw: st.DrawFn) -> dict[str, dict[str, str]]:
    """Draw what each source holds, any keys in any order, good values and bad ones."""
    return {
        source: {
            key: draw(st.sampled_from([*GOOD[key], *BAD.get(key, [])]))
            for key in draw(st.lists(st.sampled_from(_NAMES), unique=True))
        }
        for source in SOURCES
    }


def resolved(
    filling: dict[str, dict[str, str]], arguments: dict[str, object] | None = None
) -> tuple[Resolution, dict[str, str]]:
    """Resolve a filling; return the outcome and where each source is, in words."""
    with tempfile.TemporaryDirectory() as temporary:
        places = {}
        for source in ("home", "local"):
            directory = Path(temporary, source)
            directory.mkdir()
            places[source] = f"{directory / NAME} line "
            lines = [f"{key} = {value}" for key, value in filling[source].items()]
            file = directory / NAME
            file.touch(0o600)
            file.write_text("\n".join(["[codecarbon]", *lines]), encoding="utf-8")
        places["environment"] = "environment CODECARBON_"
        environ = {
            f"CODECARBON_{key.upper()}": value for key, value in filling["environment"].items()
        }
        home, directory = (Path(temporary, source) for source in ("home", "local"))
        return resolve(arguments or {}, environ=environ, home=home, directory=directory), places


def expected(filling: dict[str, dict[str, str]], key: str) -> tuple[object, str, list[str]]:
    """Return the value that must win, its source, and the sources whose values must be told."""
    told = []
    for source in reversed(SOURCES):
        if key in filling[source]:
            if filling[source][key] in GOOD[key]:
                return GOOD[key][filling[source][key]], source, told
            told.append(source)
    return default_of(key), "default", told


@settings(max_examples=150, deadline=None)
@given(fillings())
def test_the_highest_valid_source_wins_and_each_bad_value_above_it_is_told_once(
    filling: dict[str, dict[str, str]],
) -> None:
    outcome, places = resolved(filling)
    told: list[str] = []
    for key in GOOD:
        value, source, bad = expected(filling, key)
        found = getattr(outcome.settings, key)
        assert (type(found), found) == (type(value), value)
        assert str(outcome.settings.origin(key)).startswith(places.get(source, "default"))
        told += [f"{key} in {source}" for source in bad]
        for source in bad:
            starts = [text for text in outcome.warnings if text.startswith(f"{key} must be ")]
            assert sum(places[source] in text for text in starts) == 1
    assert len(outcome.warnings) == len(told)


@settings(max_examples=50, deadline=None)
@given(fillings(), st.randoms(use_true_random=False))
def test_the_order_of_the_keys_does_not_matter(
    filling: dict[str, dict[str, str]], random: Random
) -> None:
    shuffled = {}
    for source, values in filling.items():
        items = list(values.items())
        random.shuffle(items)
        shuffled[source] = dict(items)
    assert resolved(filling)[0].settings == resolved(shuffled)[0].settings


@settings(max_examples=50, deadline=None)
@given(fillings(), st.lists(st.sampled_from(_NAMES), unique=True, min_size=1))
def test_none_as_an_argument_hides_every_lower_value_good_or_bad(
    filling: dict[str, dict[str, str]], names: list[str]
) -> None:
    outcome, _ = resolved(filling, dict.fromkeys(names))
    assert {key: getattr(outcome.settings, key) for key in names} == {
        key: default_of(key) for key in names
    }
    assert [text for text in outcome.warnings if text.split()[0] in names] == []


@settings(max_examples=50, deadline=None)
@given(fillings(), st.sampled_from(sorted(BAD)), st.data())
def test_a_bad_argument_raises_whatever_the_other_sources_hold(
    filling: dict[str, dict[str, str]], key: str, data: st.DataObject
) -> None:
    value = data.draw(st.sampled_from(BAD[key]))
    with pytest.raises(ConfigError) as caught:
        resolved(filling, {key: value})
    assert (caught.value.key, caught.value.origin) == (key, "argument")
    assert repr(value) in str(caught.value)
    assert KEYS[key].kind.allowed in str(caught.value)


@settings(max_examples=50, deadline=None)
@given(fillings())
def test_strict_config_raises_exactly_when_there_is_something_to_tell(
    filling: dict[str, dict[str, str]],
) -> None:
    warnings = resolved(filling)[0].warnings
    if not warnings:
        assert resolved(filling, {"strict_config": True})[0].settings.strict_config
        return
    with pytest.raises(ConfigError) as caught:
        resolved(filling, {"strict_config": True})
    assert str(caught.value).count(" must be ") == len(warnings)


@settings(max_examples=50, deadline=None)
@given(fillings())
def test_a_secret_is_in_no_text(filling: dict[str, dict[str, str]]) -> None:
    outcome, _ = resolved(filling)
    assert SECRET not in repr(outcome)
    assert SECRET not in str(outcome.settings.shown())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8")))
def test_no_content_of_a_file_raises_or_hides_the_sources_beside_it(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        (directory / NAME).write_bytes(b"[codecarbon]\n" + content)
        environ = {"CODECARBON_PUE": "2"}
        outcome = resolve({}, environ=environ, home=directory / "away", directory=directory)
    assert outcome.settings.pue == 2
    assert all(isinstance(text, str) for text in outcome.warnings)
