"""Limits of the values in records, stated in their type hints and checked by `decoding`.

A hint such as ``duration_s: Seconds`` is a plain float for a type checker.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, NamedTuple

# Of a number without a limit of its own, in either direction. Products of two of them are finite.
LARGEST = 1e15
# Of a text, in characters, and of a list or a mapping, in items.
LONGEST_TEXT = 2**20
MOST_ITEMS = 100_000

_LONGEST_S = 100 * 366 * 86_400.0
_YEARS = range(1970, 2200)
# A result of floating-point subtraction that should be 0 may be a little below.
_LEAST_AMOUNT = -1e-3
_SAFE_ID = re.compile("[A-Za-z0-9-]{1,100}")


class Limit(NamedTuple):
    """A limit of a value, as metadata of a type hint.

    Attributes:
        meaning: What the value must be, as text.
        low: Least number.
        high: Largest number.
        allows: Returns whether a text is allowed.
    """

    meaning: str
    low: float = -math.inf
    high: float = math.inf
    allows: Callable[[str], bool] = bool


def is_safe_id(run_id: str) -> bool:
    """Return whether a run's id may be part of a file name."""
    return _SAFE_ID.fullmatch(run_id) is not None


def time_of(text: str) -> datetime:
    """Parse a time in ISO 8601; it may have no zone.

    Raises:
        ValueError: The text is not a valid time, or so far away that it cannot be computed with.
    """
    # Python 3.10 accepts no `Z`, and only fractions of three or six digits.
    found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    if found.year not in _YEARS:
        raise ValueError(f"not a year from {_YEARS.start} to {_YEARS.stop - 1}: {text[:40]!r}")
    return found


def _is_time(text: str) -> bool:
    try:
        time_of(text)
    except ValueError:
        return False
    return True


FINITE = Limit(f"from -{LARGEST:g} to {LARGEST:g}", -LARGEST, LARGEST)
# Of the training's own metrics: the loss of one that diverges may have any value.
Metric = Annotated[float, Limit("finite", -sys.float_info.max, sys.float_info.max)]

Count = Annotated[int, Limit("at least 0", 0, LARGEST)]
NotNegative = Annotated[float, Limit(f"from 0 to {LARGEST:g}", 0.0, LARGEST)]
# Of the largest trainings: 1e26.
MOST_OPERATIONS = 1e40
Operations = Annotated[float, Limit("from 0 to 1e40", 0.0, MOST_OPERATIONS)]
Amount = Annotated[float, Limit(f"from 0 to {LARGEST:g}", _LEAST_AMOUNT, LARGEST)]
Seconds = Annotated[float, Limit("from 0 s to 100 years", 0.0, _LONGEST_S)]
# Older versions wrote sums of shares that rounding had left above 1.
Share = Annotated[float, Limit("from 0 to 1", 0.0, 1.0 + 1e-9)]
Factor = Annotated[float, Limit("at least 1", 1.0, LARGEST)]
# exp(1.96 x 10) is a factor of 3e8.
SigmaLn = Annotated[float, Limit("from 0 to 10", 0.0, 10.0)]
# The least float above 0, and the next ones; may be infinite.
Positive = Annotated[float, Limit("above 0", 5e-324)]
Time = Annotated[str, Limit("a time from 1970 to 2199 in ISO 8601", allows=_is_time)]
RunId = Annotated[str, Limit("an id of letters, digits and hyphens", allows=is_safe_id)]
