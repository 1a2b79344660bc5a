"""Calls of vendor libraries that may fail in any way: an older package lacks a name, a driver refuses.

A library is used as a whole, but each of its calls is optional: what one call cannot deliver is unknown,
and everything else is still measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from carbon_core.plausible import one_line

_T = TypeVar("_T")
_D = TypeVar("_D")


def attempt(call: Callable[[], _T], otherwise: _D) -> _T | _D:
    """Return the result of a call, or `otherwise` where it raises anything.

    Args:
        call: Calls the function by its name, so that a missing one is a failure, too.
        otherwise: The result of a failed call.
    """
    try:
        return call()
    except Exception:  # noqa: BLE001 - a vendor's library may raise anything
        return otherwise


def attempt_text(call: Callable[[], str | bytes], otherwise: str) -> str:
    """Return the text that a call returns, or `otherwise`; bytes that are no UTF-8 are replaced."""
    try:
        value = call()
    except UnicodeDecodeError as error:  # the library decoded it; the bytes are still there
        value = error.object
    except Exception:  # noqa: BLE001 - as above
        return otherwise
    found = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return one_line(found) or otherwise


def reason_of(error: object) -> str:
    """Return an error as one line of text: its message, with a hint where the package is too old."""
    message = " ".join(str(error).split()).removesuffix(".")
    if isinstance(error, (AttributeError, TypeError, UnicodeDecodeError)):
        return f"the installed package does not support it ({message})"
    return message or type(error).__name__
