"""Checks values that a file or a driver of the machine returns: a plausible value, or None.

Files and drivers may contain anything: text of any length, ``nan``, numbers that no device can have.
"""

from __future__ import annotations

import math
from typing import Any

from carbon_core import escaping

_LONGEST_NUMBER = 64
_LONGEST_LINE = 200


def number(value: Any, least: float = 0.0, most: float = 1e18) -> float | None:
    """Return a value as a finite number within a range, or None.

    Args:
        value: A number, or its text.
        least: Lowest plausible value.
        most: Highest plausible value.
    """
    if isinstance(value, (str, bytes)) and len(value) > _LONGEST_NUMBER:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and least <= found <= most else None


def whole_number(value: Any, least: int = 0, most: int = 2**63) -> int | None:
    """Return a value as a whole number within a range, or None; arguments as above.

    Text is decimal; a number with a fraction is no whole number.
    """
    if isinstance(value, (str, bytes)) and len(value) > _LONGEST_NUMBER:
        return None
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    is_exact = isinstance(value, (str, bytes)) or found == value
    return found if is_exact and least <= found <= most else None


def one_line(text: str) -> str:
    """Return a name as printable text of one line, cut where it is too long."""
    return escaping.one_line(text.strip("\0 \t\r\n"), _LONGEST_LINE).strip()
