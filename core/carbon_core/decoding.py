"""Reads records from JSON: their type hints are the schema.

A record (a dataclass or a NamedTuple) is read from an object by the names of its fields; a NamedTuple
also from an array. A field that is absent has its default; fields that the record lacks are ignored, so
that files of older and newer versions can be read. `limits` has the limits of values.
"""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable, Iterable, Mapping
from operator import length_hint
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from carbon_core.limits import FINITE, LARGEST, LONGEST_TEXT, MOST_ITEMS, Limit

_T = TypeVar("_T")
_Decoder = Callable[[Any], Any]
_LONGEST_SHOWN = 40


class DecodingError(ValueError):
    """Data are of another type, or out of range.

    Attributes:
        place: Names and indexes that lead to the value, outermost last.
        reason: What is wrong with it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.place: list[str] = []

    def within(self, name: object) -> DecodingError:
        """Add the name of the object that contains the value."""
        shown = str(name)[:_LONGEST_SHOWN]
        self.place.append(shown if shown.isprintable() else ascii(shown))
        return self

    def __str__(self) -> str:
        return " ".join(filter(None, (".".join(reversed(self.place)), self.reason)))


def decoded(kind: type[_T], data: object) -> _T:
    """Return JSON data as a record.

    Args:
        kind: The type of the record, or another type hint.
        data: The data, as `json.loads` returns them.

    Raises:
        DecodingError: The data are not of this type; the message names the value.
    """
    hint: Any = kind
    found: _T = _decoder(hint)(data)
    return found


def parsed(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        DecodingError: The text is not valid JSON, or is nested too deeply.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8", "replace"))
    except RecursionError as error:
        raise DecodingError("is nested too deeply") from error
    except ValueError as error:
        raise DecodingError(f"is not valid JSON: {error}") from error


@functools.cache
def _decoder(hint: Any) -> _Decoder:
    """Return the function that reads values of a type."""
    limit = None
    if get_origin(hint) is Annotated:
        hint, limit = get_args(hint)[:2]
    if hint in _SCALARS:
        return _SCALARS[hint](limit)
    origin = get_origin(hint)
    return _record(hint) if origin is None else _GENERICS[origin](*get_args(hint))


def _number(limit: Limit | None) -> _Decoder:
    meaning, low, high, _ = limit or FINITE

    def number(value: Any) -> float:
        if type(value) is float and low <= value <= high:
            return value
        if not isinstance(value, (float, int)) or isinstance(value, bool):
            raise DecodingError(f"must be a number, not {_shown(value)}")
        if not low <= value <= high:
            raise DecodingError(f"must be {meaning}, not {_shown(value)}")
        return float(value)

    return number


def _integer(limit: Limit | None) -> _Decoder:
    meaning, low, high, _ = limit or FINITE

    def integer(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise DecodingError(f"must be a whole number, not {_shown(value)}")
        if not low <= value <= high:
            raise DecodingError(f"must be {meaning}, not {_shown(value)}")
        return value

    return integer


def _boolean(limit: Limit | None) -> _Decoder:
    def boolean(value: Any) -> bool:
        if not isinstance(value, bool):
            raise DecodingError(f"must be true or false, not {_shown(value)}")
        return value

    return boolean


def _text(limit: Limit | None) -> _Decoder:
    def text(value: Any) -> str:
        if not isinstance(value, str):
            raise DecodingError(f"must be a text, not {_shown(value)}")
        if len(value) > LONGEST_TEXT:
            raise DecodingError(f"is longer than {LONGEST_TEXT} characters")
        if limit is not None and not limit.allows(value):
            raise DecodingError(f"must be {limit.meaning}, not {_shown(value)}")
        # A lone surrogate can be written to no file.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()

    return text


def _choice(*allowed: Any) -> _Decoder:
    def choice(value: Any) -> Any:
        if not isinstance(value, str) or value not in allowed:
            names = ", ".join(map(str, allowed))
            raise DecodingError(f"must be one of {names}, not {_shown(value)}")
        return value

    return choice


def _optional(*hints: Any) -> _Decoder:
    (decode,) = (_decoder(hint) for hint in hints if hint is not types.NoneType)
    return lambda value: None if value is None else decode(value)


def _tuple(*hints: Any) -> _Decoder:
    if hints[1:] == (...,):
        return _several(tuple, _decoder(hints[0]))
    return _row(tuple, [(str(i), _decoder(hint), True) for i, hint in enumerate(hints)])


def _several(kind: Callable[[Iterable[Any]], Any], decode: _Decoder) -> _Decoder:
    def several(value: Any) -> Any:
        items = _items(value)
        left = iter(items)
        try:
            return kind(map(decode, left))
        except DecodingError as error:
            raise error.within(len(items) - length_hint(left) - 1) from None

    return several


def _mapping(key_hint: Any, hint: Any) -> _Decoder:
    decode_key, decode = _decoder(key_hint), _decoder(hint)

    def mapping(value: Any) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, item in _object(value).items():
            try:
                found[decode_key(key)] = decode(item)
            except DecodingError as error:
                raise error.within(key) from None
        return found

    return mapping


def _row(kind: Callable[..., Any], fields: list[tuple[str, _Decoder, bool]]) -> _Decoder:
    """Return the function that reads an array with a type for each position."""
    required = sum(is_required for _, _, is_required in fields)
    names, decoders = [name for name, _, _ in fields], [decode for _, decode, _ in fields]

    def row(value: Any) -> Any:
        items = _items(value)
        if len(items) < required:
            raise DecodingError(f"has {len(items)} items instead of {required}")
        left = iter(names)
        try:
            found = [decode(item) for _, decode, item in zip(left, decoders, items)]
        except DecodingError as error:
            raise error.within(names[len(names) - length_hint(left) - 1]) from None
        return tuple(found) if kind is tuple else kind(*found)

    return row


def _record(kind: Any) -> _Decoder:
    """Return the function that reads a dataclass or a NamedTuple."""
    import dataclasses  # loads `inspect`, for which no run should wait

    hints = get_type_hints(kind, include_extras=True)
    if hasattr(kind, "__dataclass_fields__"):
        optional = {
            one.name
            for one in dataclasses.fields(kind)
            if (one.default, one.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        }
    elif hasattr(kind, "_field_defaults"):
        optional = set(kind._field_defaults)
    else:
        raise TypeError(f"no record can have a value of type {kind!r}")
    fields = [(name, _decoder(hint), name not in optional) for name, hint in hints.items()]
    in_order = getattr(kind, "__match_args__", ()) == tuple(hints)
    in_row = _row(kind, fields) if hasattr(kind, "_field_defaults") else None

    def record(value: Any) -> Any:
        if in_row is not None and isinstance(value, (list, tuple)):
            return in_row(value)
        given = _object(value)
        found = {}
        for name, decode, is_required in fields:
            if name in given:
                try:
                    found[name] = decode(given[name])
                except DecodingError as error:
                    raise error.within(name) from None
            elif is_required:
                raise DecodingError("is missing").within(name)
        try:
            # Faster by position, where nothing is left to defaults.
            is_whole = in_order and len(found) == len(fields)
            return kind(*found.values()) if is_whole else kind(**found)
        except ValueError as error:  # of a check of several fields
            raise DecodingError(str(error)) from error

    return record


def _items(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise DecodingError(f"must be a list, not {_shown(value)}")
    if len(value) > MOST_ITEMS:
        raise DecodingError(f"has more than {MOST_ITEMS} items")
    return value


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DecodingError(f"must be an object, not {_shown(value)}")
    if len(value) > MOST_ITEMS:
        raise DecodingError(f"has more than {MOST_ITEMS} items")
    return value


def _shown(value: Any) -> str:
    """Return a short text of a value of any size."""
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a huge number"
    return json.dumps(value[:_LONGEST_SHOWN] if isinstance(value, str) else value, default=repr)


_SCALARS: Mapping[Any, Callable[[Limit | None], _Decoder]] = {
    float: _number,
    int: _integer,
    bool: _boolean,
    str: _text,
}
_GENERICS: Mapping[Any, Callable[..., _Decoder]] = {
    Literal: _choice,
    Union: _optional,
    types.UnionType: _optional,
    tuple: _tuple,
    list: lambda hint: _several(list, _decoder(hint)),
    Mapping: _mapping,
}
