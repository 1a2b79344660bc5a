"""Kinds of values: each turns text or an argument into a typed value, or describes what is allowed."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from carbon_core import calibrations
from carbon_core.addresses import parsed
from carbon_core.config import metric_names
from carbon_core.record import record

# Scheme, user and password, host (or an IPv6 address in brackets), port, and the rest.
_ADDRESS = re.compile(
    r"(https?://)?([^\s/@?#]+@)?([^\s/:@?#\[\]]+|\[[0-9a-f:.]+\])(:[0-9]+)?([/?]\S*)?",
    re.IGNORECASE,
)
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# The other names of `logging`, which CodeCarbon accepts.
_MORE_LOG_LEVELS = ("NOTSET", "WARN", "FATAL")
# Names of countries that look like ISO codes, and are none.
_ABBREVIATIONS = {"BRD", "BVI", "DRC", "KSA", "PRC", "ROK", "RSA", "UAE", "UK"}


_FIRST_YEAR, _LAST_YEAR = 2000, 2099
_LAST_PORT = 65_535


@record(frozen=True)
class Kind:
    """A type with a range.

    Attributes:
        name: Short name for tables.
        accepts: Type of an argument, as Python code; files and variables have text.
        words: Text for `allowed`, or a function that returns it where it depends on a table.
        parse: Returns the value, or raises ValueError or TypeError.
        hint: Returns the end of a message about a value that is not valid.
    """

    name: str
    accepts: str
    words: str | Callable[[], str]
    parse: Callable[[Any], Any]
    hint: Callable[[Any], str] | None = None

    @property
    def allowed(self) -> str:
        """What completes the sentence "the key must be …"."""
        return self.words if isinstance(self.words, str) else self.words()


def text() -> Kind:
    """Any text."""
    return Kind("text", "str", "text", _parse_name)


def path() -> Kind:
    """A path, kept as written, except that ``~`` and ``~user`` become the home directory."""

    def parse(value: Any) -> str:
        # Unlike pathlib's, it keeps all else as written, and raises for no unknown user.
        return os.path.expanduser(_filled(_parse_text(os.fspath(value))))  # noqa: PTH111

    return Kind("path", "str | os.PathLike[str]", "a path", parse)


def boolean() -> Kind:
    """True or false, in the usual spellings."""
    return Kind("boolean", "bool", "true or false (also yes/no, on/off, 1/0)", _parse_boolean)


def number(
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    unit: str = "",
) -> Kind:
    """A finite number, optionally above, not below or not above a bound."""
    bound = f" above {above:g}" if above is not None else ""
    bound = f" of at least {least:g}" if least is not None else bound
    bound += f" and at most {most:g}" if most is not None else ""
    words = f"a number of {unit}" if unit else "a number"

    def parse(value: Any) -> float:
        result = _finite(value)
        if (above is not None and result <= above) or (least is not None and result < least):
            raise ValueError(value)
        if most is not None and result > most:
            raise ValueError(value)
        return result

    return Kind("number", "float", words + bound, parse)


def year() -> Kind:
    """A calendar year of this century."""

    def parse(value: Any) -> int:
        result = _finite(value)
        if result != int(result) or not _FIRST_YEAR <= result <= _LAST_YEAR:
            raise ValueError(value)
        return int(result)

    return Kind("integer", "int", f"a year from {_FIRST_YEAR} to {_LAST_YEAR}", parse)


def port() -> Kind:
    """A TCP port."""

    def parse(value: Any) -> int:
        result = _finite(value)
        if result != int(result) or not 1 <= result <= _LAST_PORT:
            raise ValueError(value)
        return int(result)

    return Kind("integer", "int", f"a port from 1 to {_LAST_PORT}", parse)


def interval_count() -> Kind:
    """A whole number of intervals, or -1 for never; 0 is every interval, as in CodeCarbon."""

    def parse(value: Any) -> int:
        result = _finite(value)
        if result != int(result) or result < -1:
            raise ValueError(value)
        return int(result)

    return Kind("integer", "int", "a whole number of at least 0, or -1 for never", parse)


def coordinate(most: float) -> Kind:
    """Degrees of latitude or longitude, kept to a tenth: a place, but no address."""
    exact = number(least=-most, most=most, unit="degrees")
    return Kind("number", "float", exact.allowed, lambda value: round(exact.parse(value), 1))


def choice(*options: str) -> Kind:
    """One of some words, in any case."""
    return choice_of(lambda: options)


def choice_of(options: Callable[[], Iterable[str]]) -> Kind:
    """One of the names in a table, in any case.

    Args:
        options: Returns the names; called for each value, so that a row added later counts.
    """

    def parse(value: Any) -> str:
        word = _parse_text(value).strip().lower()
        if word not in options():
            raise ValueError(value)
        return word

    return Kind("choice", "str", lambda: "one of " + ", ".join(options()), parse)


def choices(*options: str) -> Kind:
    """Several of some words: a list, or text with commas."""
    return choices_of(lambda: options)


def choices_of(options: Callable[[], Iterable[str]]) -> Kind:
    """Several of the names in a table, as `choice_of`: a list, or text with commas."""
    one = choice_of(options)

    def parse(value: Any) -> list[str]:
        return [one.parse(getattr(item, "value", item)) for item in _items(value) if item != ""]

    return Kind("list", "Sequence[str] | str", lambda: "a list of " + ", ".join(options()), parse)


def metrics() -> Kind:
    """What the callbacks log: a level, or names of metrics: a list, or text with commas."""

    def parse(value: Any) -> str | list[str]:
        names = [metric_names.plain_name(_parse_text(item)) for item in _items(value)]
        is_level = isinstance(value, str) and len(names) == 1 and names[0] in metric_names.LEVELS
        return names[0] if is_level else names

    return Kind(
        "list",
        "Sequence[str] | str",
        "minimal, standard, all, or a list of names of metrics (docs/metrics.md)",
        parse,
        lambda value: metric_names.hint(map(_parse_text, _items(value))),
    )


def log_level() -> Kind:
    """A level of `logging`, by name or number."""

    def parse(value: Any) -> str | int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        name = _parse_text(value).strip().upper()
        if name not in (*_LOG_LEVELS, *_MORE_LOG_LEVELS):
            raise ValueError(value)
        return name

    return Kind("choice", "int | str", "one of " + ", ".join(_LOG_LEVELS), parse)


def gpu_list() -> Kind:
    """GPUs by index, UUID or MIG name: a list, or text with commas."""
    return Kind(
        "list",
        "Sequence[int | str] | int | str",
        "a list of GPU indices, UUIDs (GPU-…) or MIG names (MIG-…)",
        _parse_gpu_list,
    )


def identifier() -> Kind:
    """A UUID, or any other text, kept as written."""

    def parse(value: Any) -> str:
        import uuid

        return str(value) if isinstance(value, uuid.UUID) else _filled(_parse_name(value))

    return Kind(
        "text", "str", "a UUID such as 235b1da5-aaaa-4aaa-8aaa-893681599d2c or a name", parse
    )


def country_code() -> Kind:
    """A country: an ISO 3166-1 code of two or three letters, in any case, or a name.

    A code is returned in capitals, even if it does not exist; a name as its alpha-3 code.
    """

    def parse(value: Any) -> str:
        name = _parse_text(value)
        code = name.strip().upper()
        if re.fullmatch("[A-Z]{2,3}", code) and code not in _ABBREVIATIONS:
            return code
        from carbon_core.intensity.country_names import code_of  # most runs have a code, or nothing

        return code_of(name)

    def hint(value: Any) -> str:
        from carbon_core.intensity.country_names import problem_of

        return f"; {problem_of(_parse_text(value))}"

    return Kind("country", "str", "a country: an ISO 3166 code such as FRA, or a name", parse, hint)


def url() -> Kind:
    """An HTTP address, with or without its scheme, kept as written."""

    def parse(value: Any) -> str:
        address = _parse_text(value).strip()
        if not _ADDRESS.fullmatch(address):
            raise ValueError(value)
        parsed(address)
        return address

    return Kind("url", "str", "an HTTP address such as https://host/path or localhost:7777", parse)


def mapping_or_path() -> Kind:
    """A mapping, which only an argument can carry, or the path of a file that holds it."""

    def parse(value: Any) -> Any:
        return _plain(value) if isinstance(value, Mapping) else path().parse(value)

    accepts = "Mapping[str, Any] | str | os.PathLike[str]"
    return Kind("object", accepts, "a mapping or the path of a JSON file", parse)


def calibration() -> Kind:
    """Gains of devices with their uncertainty: text, or a mapping; kept as text."""

    def parse(value: Any) -> str:
        return calibrations.text_of(calibrations.parse(value))

    return Kind("calibration", "Mapping[str, Any] | str", calibrations.WORDS, parse)


def anything() -> Kind:
    """An object that only an argument can carry."""

    def parse(value: Any) -> Any:
        if isinstance(value, str):
            raise TypeError(value)
        return value

    return Kind("object", "Any", "an object passed as an argument", parse)


def _plain(value: Any) -> Any:
    """Return nested mappings and sequences as dicts and lists: those of OmegaConf are neither."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(one) for one in value]
    return value


def _items(value: Any) -> Sequence[Any]:
    """Return the items of a list, or of a text with commas."""
    items: Sequence[Any] = value.split(",") if isinstance(value, str) else value
    return items


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _parse_name(value: Any) -> str:
    """Return a text; a number as a text, which CodeCarbon accepts as a name."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if is_number else _parse_text(value)


def _filled(value: str) -> str:
    if not value:
        raise ValueError(value)
    return value


def _parse_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(value)
    return word in _TRUE


def _finite(value: Any) -> float:
    """Return a finite number: an int where a whole number was written, as Python would read it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(value)
    if isinstance(value, str):
        written = value.strip()
        if "_" in written:
            raise ValueError(value)
        value = int(written) if re.fullmatch("[+-]?[0-9]+", written) else float(written)
    result: float = value
    if not math.isfinite(result):
        raise ValueError(value)
    return result


def _parse_gpu_list(value: Any) -> list[int | str]:
    if isinstance(value, int):
        value = [value]
    elif isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]").split(",")
    return [_gpu_id(item) for item in value if str(item).strip()]


def _gpu_id(item: Any) -> int | str:
    if isinstance(item, bool) or not isinstance(item, (int, str)):
        raise TypeError(item)
    word = str(item).strip().strip("'\"")
    if word.isdecimal():
        return int(word)
    if not re.fullmatch("(GPU|MIG)-[A-Za-z0-9/-]+|[0-9A-Fa-f-]{6,}", word, re.IGNORECASE):
        raise ValueError(item)
    return word
