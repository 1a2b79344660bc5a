"""Calls of vendor libraries that may fail in any way: an older package lacks a name, a driver refuses.

A library is used as a whole, but each of its calls is optional: what one call cannot deliver is unknown,
and everything else is still measured.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import TypeVar

from carbon_core.errors import MeterError
from carbon_core.plausible import one_line

# One failed call at the start would cost a meter for the whole run: it is made again after so long.
RETRIES_S = (0.05, 0.15)
Pause = Callable[[float], object]
# Of files and system calls; others, such as a missing file or right, last.
_BY_CHANCE = frozenset(
    getattr(errno, name, -1)
    for name in ("EAGAIN", "EBUSY", "EINTR", "EIO", "ENODATA", "ETIMEDOUT", "EMFILE", "ENFILE")
)
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


def wait(seconds: float) -> None:
    """Wait for some seconds, before a call that failed is made again."""
    threading.Event().wait(seconds)


def lasts(error: Exception) -> bool:
    """Return whether a call that fails so fails a moment later, too."""
    if isinstance(error, OSError):
        return error.errno not in _BY_CHANCE
    return isinstance(error, (AttributeError, TypeError, MeterError))


def again(
    call: Callable[[], _T], is_final: Callable[[Exception], bool] = lasts, pause: Pause = wait
) -> _T:
    """Return the result of a call; one that fails is made twice more, a moment later.

    Args:
        call: The call.
        is_final: Returns whether a later call fails as well: what is missing, or not permitted.
        pause: Waits for some seconds.

    Raises:
        Exception: What the last call has raised.
    """
    for pause_s in RETRIES_S:
        try:
            return call()
        except Exception as error:
            if is_final(error):
                raise
        pause(pause_s)
    return call()


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
