"""Records read from JSON by their type hints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import pytest

from carbon_core.decoding import DecodingError, decoded, parsed
from carbon_core.limits import MOST_ITEMS, Positive, RunId, Seconds, Time


class Point(NamedTuple):
    t_s: Seconds
    joules: float = 1.0


@dataclass(frozen=True)
class Known:
    name: str
    points: tuple[Point, ...] = ()
    count: int = 7


def test_absent_fields_have_their_defaults_and_further_ones_are_ignored() -> None:
    given = {"name": "x", "points": [[1, 2.5, "newer"], [3], {"t_s": 4, "more": 1}], "more": {}}
    assert decoded(Known, given) == Known("x", (Point(1.0, 2.5), Point(3.0), Point(4.0)), 7)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (float, float("nan"), "must be from"),
        (float, 10**400, "a huge number"),
        (float, True, "must be a number"),
        (float, "x" * 30, "must be a number"),
        (Seconds, -1, "must be from 0 s"),
        (Positive, 0, "must be above 0"),
        (int, 1.5, "must be a whole number"),
        (int, False, "must be a whole number"),
        (bool, 1, "must be true or false"),
        (str, ["a"], "must be a text, not a list"),
        (str, "x" * 2_000_000, "longer"),
        (Literal["a"], "b", "must be one of a"),
        (tuple[int, ...], "123", "must be a list"),
        (tuple[int, ...], {"0": 1}, "must be a list, not an object"),
        (tuple[int, ...], [1, 2, "3"], "^2 must be a whole number"),
        (tuple[int, ...], [0] * (MOST_ITEMS + 1), "more than"),
        (tuple[float, str], [1.0], "has 1 items instead of 2"),
        (Point, {}, "^t_s is missing"),
        (Point, [1.0, None], "^joules must be a number"),
        (tuple[Point, ...], [[1.0], ["1"]], "^1.t_s must be"),
        (Time, "2026-13-01", "must be a time"),
        (Time, "0001-01-01T00:00:00+14:00", "must be a time"),
        (Time, "9999-12-31T23:00Z", "must be a time"),
        (RunId, "../x", "must be an id"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_named(
    hint: type, value: object, message: str
) -> None:
    with pytest.raises(DecodingError, match=message):
        decoded(hint, value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "{", "1" * 5000, b"\xff"])
def test_text_that_is_no_json_is_an_error(text: str | bytes) -> None:
    with pytest.raises(DecodingError):
        parsed(text)


def test_a_lone_surrogate_is_replaced() -> None:
    assert decoded(str, parsed('"a\\ud800é"')) == "a?é"
