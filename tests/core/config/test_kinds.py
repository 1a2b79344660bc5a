"""Kinds: what is accepted, as what, and what is refused."""

from __future__ import annotations

import logging
import math
import uuid
from pathlib import Path
from typing import Any

import pytest

from carbon_core.assemble.making import messages_for
from carbon_core.config import kinds
from carbon_core.config.kinds import Kind
from carbon_core.config.resolve import resolve
from carbon_core.config.schema import KEYS, default_of
from carbon_core.errors import ConfigError
from carbon_core.outputs.boamps import read_metadata

REFUSED = (ValueError, TypeError, OverflowError)


def assert_refused(kind: Kind, value: Any) -> None:
    with pytest.raises(REFUSED):
        kind.parse(value)


@pytest.mark.parametrize("word", ["true", "True", "YES", "on", "1", " oN ", True, 1])
def test_true_as_people_write_it(word: object) -> None:
    assert kinds.boolean().parse(word) is True


@pytest.mark.parametrize("word", ["false", "False", "NO", "off", "0", " oFF ", False, 0])
def test_false_as_people_write_it(word: object) -> None:
    assert kinds.boolean().parse(word) is False


@pytest.mark.parametrize("word", ["", "t", "y", "2", "local-overwrite", "none", 2, None, []])
def test_what_is_no_boolean(word: object) -> None:
    assert_refused(kinds.boolean(), word)


@pytest.mark.parametrize(
    ("written", "read"),
    [("10", 10), (" 10 ", 10), ("+3", 3), ("2.5", 2.5), ("1e3", 1000.0), (7, 7), (0.5, 0.5)],
)
def test_a_number_is_whole_where_a_whole_one_was_written(written: object, read: float) -> None:
    parsed = kinds.number().parse(written)
    assert (type(parsed), parsed) == (type(read), read)


@pytest.mark.parametrize(
    "written",
    [
        *("", "fast", "1s", "1_000", "nan", "inf", "-inf", "1e400", "9" * 400, "0x10", "1,5"),
        *(math.nan, math.inf, True, None, [1], b"1", 10**400),
    ],
)
def test_what_is_no_finite_number(written: object) -> None:
    assert_refused(kinds.number(), written)


def test_bounds_of_numbers() -> None:
    assert kinds.number(least=1).parse("1") == 1
    assert_refused(kinds.number(least=1), "0.99")
    assert kinds.number(above=0).parse("1e-3") == 0.001
    for value in ("0", "-1"):
        assert_refused(kinds.number(above=0), value)


def test_intervals_are_whole_or_never() -> None:
    parse = kinds.interval_count().parse
    assert [parse("8"), parse(1), parse("-1"), parse("4.0"), parse(0)] == [8, 1, -1, 4, 0]
    assert type(parse("4.0")) is int
    for value in ("-2", "1.5", "inf", ""):
        assert_refused(kinds.interval_count(), value)


def test_choices_in_any_case() -> None:
    assert kinds.choice("machine", "process").parse(" Process ") == "process"
    for value in ("", "proc", 1, None):
        assert_refused(kinds.choice("machine", "process"), value)


def test_lists_of_choices() -> None:
    parse = kinds.choices("csv", "api").parse
    assert parse("csv, API") == ["csv", "api"]
    assert parse(["api"]) == ["api"]
    assert parse("") == []
    for value in ("csv,xml", ["xml"], 5):
        assert_refused(kinds.choices("csv", "api"), value)


def test_log_levels_by_name_and_number() -> None:
    parse = kinds.log_level().parse
    assert [parse("info"), parse(" Debug "), parse(10)] == ["INFO", "DEBUG", 10]
    for value in ("loud", "", True, 1.5, None):
        assert_refused(kinds.log_level(), value)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0, 1", [0, 1]),
        ("[0, 1, 2]", [0, 1, 2]),
        ("[0, 1, 2", [0, 1, 2]),
        ("['0', \"1\"]", [0, 1]),
        (3, [3]),
        ([0, "1"], [0, 1]),
        ((2, 5), [2, 5]),
        ("", []),
        ([], []),
        ("GPU-5d1f2a3b, MIG-f1e", ["GPU-5d1f2a3b", "MIG-f1e"]),
        (["MIG-GPU-5d1f2a3b/1/0"], ["MIG-GPU-5d1f2a3b/1/0"]),
    ],
)
def test_gpu_lists(written: object, read: list[int | str]) -> None:
    parsed = kinds.gpu_list().parse(written)
    assert [(type(gpu), gpu) for gpu in parsed] == [(type(gpu), gpu) for gpu in read]


@pytest.mark.parametrize("written", ["all", "-1", "0;1", [True], [1.5], [None], True, 1.5])
def test_what_is_no_gpu_list(written: object) -> None:
    assert_refused(kinds.gpu_list(), written)


def test_identifiers_are_kept_as_written() -> None:
    text = "235B1DA5-aaaa-aaaa-aaaa-893681599d2c"
    assert kinds.identifier().parse(text) == text
    assert kinds.identifier().parse(uuid.UUID(text)) == text.lower()
    assert kinds.identifier().parse("test") == "test"
    assert kinds.identifier().parse(5) == "5"
    for value in ("", True, None):
        assert_refused(kinds.identifier(), value)


def test_country_codes_in_any_case() -> None:
    assert kinds.country_code().parse(" fra ") == "FRA"
    assert kinds.country_code().parse("de") == "DE"
    assert kinds.country_code().parse("ZZ") == "ZZ"  # `location` reports it
    assert kinds.country_code().parse("France") == "FRA"
    for value in ("Frnace", "F", "F1", "", 33):
        assert_refused(kinds.country_code(), value)


@pytest.mark.parametrize(
    "address",
    [
        "localhost:7777",
        "https://api.electricitymaps.com/v3",
        "http://127.0.0.1:80/a?b=c",
        "HTTPS://Host/",
        "host",
        "http://[::1]:8080/v3",
    ],
)
def test_addresses_are_kept_as_written(address: str) -> None:
    assert kinds.url().parse(f" {address} ") == address


@pytest.mark.parametrize("address", ["", "ftp://host", "http://", "a b", "host:port", "http://[x"])
def test_what_is_no_address(address: str) -> None:
    assert_refused(kinds.url(), address)


def test_paths_are_kept_as_written() -> None:
    parse = kinds.path().parse
    assert [parse("a/../b"), parse(Path("a/b"))] == ["a/../b", "a/b"]
    for value in ("", None, 5, b"bytes"):
        assert_refused(kinds.path(), value)


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    parse = kinds.path().parse
    assert [parse("~/x"), parse(Path("~")), parse("./~")] == ["/home/me/x", "/home/me", "./~"]
    assert parse("~no-such-user/x") == "~no-such-user/x"


def test_objects_come_by_argument_only() -> None:
    thing = object()
    assert kinds.anything().parse(thing) is thing
    assert_refused(kinds.anything(), "text from a file")


def test_text_is_text() -> None:
    assert kinds.text().parse("  kept  ") == "  kept  "
    assert [kinds.text().parse(value) for value in (5, 1.5)] == ["5", "1.5"]
    for value in (True, ["x"], b"x"):
        assert_refused(kinds.text(), value)


@pytest.mark.parametrize("name", ["debug", "WARN", "Warning", "fatal", "notset", 0, 35])
def test_a_level_has_any_name_of_logging_or_a_number(name: str | int) -> None:
    level = kinds.log_level().parse(name)
    assert level == (name.upper() if isinstance(name, str) else name)
    messages = messages_for(resolve({"log_level": name}, environ={}).settings)
    number = name if isinstance(name, int) else getattr(logging, name.upper())
    assert messages._level == number


@pytest.mark.parametrize("name", KEYS)
def test_every_default_is_one_of_its_own_kind(name: str) -> None:
    default = default_of(name)
    assert default is None or KEYS[name].kind.parse(default) == default


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {"a": [inner]}
    return inner


def test_deeply_nested_metadata_are_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="metadata must be"):
        resolve({"metadata": nested(100_000)}, environ={}, home=tmp_path, directory=tmp_path)
    with pytest.raises(ConfigError, match="more than 50 levels"):
        read_metadata(nested(100))
    assert read_metadata(nested(10)) == nested(10)
    for brackets in ("[" * 100_000, '{"a":' * 400 + "1" + "}" * 400):
        path = tmp_path / "metadata.json"
        path.write_text(brackets, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"is no JSON file|more than 50 levels"):
            read_metadata(str(path))
