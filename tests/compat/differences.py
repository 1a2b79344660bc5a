"""Where the settings differ from CodeCarbon's on purpose, and why; the docs contain this table."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from carbon_core.config.schema import ALIASES, KEYS, default_of


@dataclass(frozen=True)
class Case:
    """One key, resolved by both.

    Attributes:
        key: The setting.
        written: Value in each source that has the key, lowest first; arguments may be other than text.
        from_argument: Whether the highest of them is an argument.
        offline: Whether the offline trackers were compared.
        theirs: CodeCarbon's value.
        ours: This project's value.
    """

    key: str
    written: list[Any]
    from_argument: bool
    offline: bool
    theirs: Any
    ours: Any

    @property
    def highest(self) -> Any:
        """Value of the highest source, or None if no source has the key."""
        return self.written[-1] if self.written else None


@dataclass(frozen=True)
class Difference:
    """A kind of difference.

    Attributes:
        what: What is written or left out.
        theirs: What CodeCarbon 3.3.2 does.
        ours: What this project does, and why.
        holds: Whether a case is one of these.
        gives_up: Whether CodeCarbon's constructor may raise over it.
    """

    what: str
    theirs: str
    ours: str
    holds: Callable[[Case], bool]
    gives_up: bool = False


# What is wrong is said here once more, apart from the parsers: a value that CodeCarbon accepts and they
# reject is a difference, and must not excuse itself.
_LEAST = {
    "measure_power_secs": 0.01,
    "force_cpu_power": 1e-9,
    "force_ram_power": 0.0,
    "pue": 1.0,
    "wue": 0.0,
    "force_carbon_intensity_g_co2e_kwh": 0.0,
    "api_call_interval": -1,
}
_WORDS = {
    "tracking_mode": {"machine", "process"},
    "on_csv_write": {"append", "update"},
    "log_level": {
        "debug", "info", "warning", "warn", "error", "critical", "fatal", "notset",
    },
    "output_methods": {"csv", "api", "logger", "prometheus", "logfire", "boamps", ""},
}  # fmt: skip
_SWITCHES = {"true", "false", "yes", "no", "on", "off", "1", "0"}


def _is_wrong(key: str, value: Any) -> bool:
    """Return whether a value means nothing, or nothing that is possible."""
    if value is None or value is False or not isinstance(value, (str, int, float)):
        return False
    text = str(value).strip().lower()
    if key in _LEAST:
        return _is_no_amount(key, text)
    if key in _WORDS:
        listed = text.split(",") if key == "output_methods" else [text]
        return not isinstance(value, int) and not {word.strip() for word in listed} <= _WORDS[key]
    if KEYS[key].kind.name == "boolean":
        return text not in _SWITCHES
    if key == "gpu_ids":
        ids = re.split(r"[\s,\[\]]+", text)
        return not all(re.fullmatch(r"(gpu|mig)-.+|\d*", one) for one in ids)
    if KEYS[key].kind.name == "country":
        return bool(text) and not re.fullmatch("[a-z]{2,3}", text)
    if KEYS[key].kind.name in {"url", "path"}:
        return default_of(key) is not None and not text
    return False


def _is_no_amount(key: str, text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return True
    whole = key == "api_call_interval"
    return (
        "_" in text
        or not math.isfinite(number)
        or number < _LEAST[key]
        or (whole and number != int(number))
    )


def _commented(value: Any) -> bool:
    return isinstance(value, str) and bool(re.search(r"\s[#;]", value))


def _is_empty_for_none(case: Case) -> bool:
    return case.highest == "" and default_of(case.key) is None


DIFFERENCES = [
    Difference(
        "no `api_key`, `experiment_id` or `output_handlers`",
        "the word `api_key`, a public demonstration experiment, an empty list",
        "`None`: nothing is sent for a key or an experiment that the user has not set",
        lambda case: (
            not case.written
            and case.key in {"api_key", "experiment_id", "output_handlers"}
            and case.ours is None
        ),
    ),
    Difference(
        "`yes`, `on` or `1` for a boolean",
        "false: only `true` is true",
        "true",
        lambda case: (
            KEYS[case.key].kind.name == "boolean"
            and str(case.highest).strip().lower() in {"yes", "on", "1"}
            and case.ours is True
        ),
    ),
    Difference(
        "a comment after a value (`pue = 1.2  # site`)",
        "part of the value, which then is not a number",
        "a comment, if `#` or `;` follows white space",
        lambda case: any(_commented(value) for value in case.written),
    ),
    Difference(
        "an invalid value in a file or variable",
        "`None` instead of the default, an exception, or used unchecked, depending on the key",
        "one warning with its file and line; the next lower valid value is used. With `strict_config`, "
        "and always for arguments, a `ConfigError`",
        lambda case: any(_is_wrong(case.key, value) for value in case.written),
        gives_up=True,
    ),
    Difference(
        "a keyword in another case (`CSV`, `Process`)",
        "an exception",
        "accepted",
        lambda case: (
            isinstance(case.theirs, Exception)
            and KEYS[case.key].kind.name in {"choice", "list"}
            and str(case.highest) != str(case.highest).lower()
        ),
        gives_up=True,
    ),
    Difference(
        "an empty value for a setting that may be unset",
        "the empty text",
        "unset, as with `None`",
        lambda case: _is_empty_for_none(case) and case.ours is None,
    ),
    Difference(
        "`None` as an argument",
        "`None`, even where the setting has a default",
        "the default, even if a file or variable sets a value",
        lambda case: (
            case.from_argument and case.highest is None and case.ours == default_of(case.key)
        ),
    ),
    Difference(
        "a number or a `UUID` as a name (`project_name`, `experiment_id` ...), as an argument",
        "remains what it is",
        "its text",
        lambda case: (
            case.from_argument
            and isinstance(case.highest, (int, float, uuid.UUID))
            and case.ours == str(case.highest)
        ),
    ),
    Difference(
        "`False` as an argument for a setting that may be unset",
        "`False`",
        "unset, as with `None`",
        lambda case: case.from_argument and case.highest is False and case.ours is None,
    ),
    Difference(
        "text as an argument for a number, a boolean or a list",
        "remains text",
        "parsed as in a file",
        lambda case: (
            case.from_argument
            and isinstance(case.highest, str)
            and not isinstance(case.ours, str)
            and case.ours == KEYS[case.key].kind.parse(case.highest)
        ),
    ),
    Difference(
        "country, region and cloud in files or variables, with the online tracker",
        "ignored: the country cannot be set",
        "used by both trackers",
        lambda case: (
            not case.offline
            and case.theirs is None
            and case.key.startswith(("country_", "region", "cloud_"))
        ),
    ),
    Difference(
        "`co2_signal_api_token` as an argument, and the new name in a file or variable",
        "the old name wins",
        "the new name wins in every source",
        lambda case: case.key in ALIASES.values() and len(case.written) > 1,
    ),
    Difference(
        "white space around a variable's value",
        "kept",
        "removed, as in files",
        lambda case: isinstance(case.theirs, str) and case.theirs.strip() == case.ours,
    ),
    Difference(
        "`%` in a file",
        "`%(key)s` is replaced, `%%` is `%`, any other use is an exception",
        "plain text",
        lambda case: any("%" in str(value) for value in case.written),
        gives_up=True,
    ),
]

# These make CodeCarbon's constructor raise, or, in its offline tracker, leave half an object.
REFUSED_FILES = Difference(
    "a file with a line that is not a setting, a duplicate key or section, a byte order mark, or no "
    "section",
    "an exception from `EmissionsTracker()`; `OfflineEmissionsTracker()` is left incomplete",
    "one warning with file and line; all other lines are used",
    lambda _: False,
)
ALL = [*DIFFERENCES, REFUSED_FILES]


def table() -> str:
    """Return the table for the documentation."""
    rows = [f"| {item.what} | {item.theirs} | {item.ours} |" for item in ALL]
    return "\n".join(["| written | CodeCarbon 3.3.2 | here |", "|---|---|---|", *rows]) + "\n"
