"""Values of machines and drivers: plausible, or unknown."""

from __future__ import annotations

import math
from typing import Any

import pytest

from carbon_core.plausible import number, one_line, whole_number


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12\n", 12.0), (b" 1.5 ", 1.5), (7, 7.0), (0, 0.0), ("0", 0.0),
        ("", None), ("x", None), (None, None), ([], None), ("-1", None), (-0.1, None),
        ("nan", None), (math.nan, None), ("inf", None), (math.inf, None), ("1e400", None),
        ("9" * 400, None), (10**400, None), (1e30, None), ("9" * 5000, None), ("²", None),
    ],
)  # fmt: skip
def test_numbers(value: Any, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12\n", 12), (b"7", 7), (7, 7), (7.0, 7), ("٣", 3),
        (7.5, None), ("1.5", None), ("-1", None), (math.nan, None), (math.inf, None), (None, None),
        ("9" * 5000, None), (2**70, None), ("²", None),
    ],
)  # fmt: skip
def test_whole_numbers(value: Any, expected: int | None) -> None:
    assert whole_number(value) == expected


def test_a_name_is_one_printable_line_of_bounded_length() -> None:
    assert one_line(" a\tb\n\0") == "a b"
    assert one_line("\ud800\x1b[0m") == "[0m"
    assert len(one_line("x" * 10**6)) == 200
