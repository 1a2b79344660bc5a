"""Exceptions of the program inside this package's code, raised by a signal handler or another thread.

Python runs signal handlers on the main thread between two instructions, whatever code is running there.
Such an exception belongs to the program: it is never handled as an error of this package.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import signal
import sys
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

_OWN_PACKAGES = ("carbon_core", "carbon_callbacks")


def of_program(
    error: BaseException | None, outer: BaseException | None = None
) -> BaseException | None:
    """Return the exception of the program that an error is, or that led to it; None if there is none.

    An exception that interrupts the standard library may be replaced by another: a condition, for
    example, then releases a lock that it does not hold.

    Args:
        error: What was raised.
        outer: Exception that was being handled before (`sys.exc_info`); it did not lead to the error.
    """
    while error is not None and error is not outer:
        if _is_of_program(error):
            return error
        error = error.__cause__ or error.__context__
    return None


def raise_if_of_program(error: BaseException, outer: BaseException | None = None) -> None:
    """Raise the exception of the program that an error is, or that led to it; with its own cause.

    Args:
        error: The exception that is being handled.
        outer: As for `of_program`.
    """
    theirs = of_program(error, outer)
    if theirs is None:
        return
    if theirs is error:
        raise theirs
    raise theirs from theirs.__cause__


def _is_of_program(error: BaseException) -> bool:
    """Return whether an exception was raised by a signal handler, or injected by another thread."""
    frames = [traceback.tb_frame for traceback in _tracebacks(error.__traceback__)]
    codes = set(_handler_codes())
    handled = any(
        later.f_code in codes or _has_argument(later, earlier)
        for earlier, later in itertools.pairwise(frames)
    )
    return handled or _is_injected(error, frames)


@contextlib.contextmanager
def suppressed(*kinds: type[Exception]) -> Iterator[None]:
    """Suppress exceptions as `contextlib.suppress` does, but for those of the program.

    The alarm of a program may raise a `TimeoutError`, which is an `OSError`.
    """
    outer = sys.exc_info()[1]
    try:
        yield
    except kinds as error:
        raise_if_of_program(error, outer)


def interrupts_core() -> bool:
    """Return whether the caller is a signal handler that interrupted other code of the core.

    The interrupted code may hold locks, which only the same thread can enter again. Code of the program
    that the core has called, as by a decorator, is not meant. A handler that is no longer registered is
    not recognised.
    """
    codes = set(_handler_codes())
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code in codes and _runs_core(frame.f_back):
            return True
        frame = frame.f_back
    return False


def _runs_core(frame: FrameType | None) -> bool:
    """Return whether a frame is one of the core, or of the standard library that the core has called."""
    while frame is not None and _package(frame) in sys.stdlib_module_names:
        frame = frame.f_back
    return frame is not None and _package(frame) == _OWN_PACKAGES[0]


def _tracebacks(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _handler_codes() -> Iterator[CodeType]:
    for number in signal.valid_signals():
        code = _code(signal.getsignal(number))
        if code is not None:
            yield code


def _code(handler: Any) -> CodeType | None:
    """Return the code of a function, a method, a partial or a callable object."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    handler = getattr(handler, "__func__", handler)
    if not hasattr(handler, "__code__"):
        handler = vars(type(handler)).get("__call__")
    code = getattr(handler, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _has_argument(handler: FrameType, interrupted: FrameType) -> bool:
    """Return whether a frame was called with the frame below it, as signal handlers are.

    The handler may have been replaced before it raised, so that it is no longer registered.
    """
    values = list(handler.f_locals.values())
    values += [item for one in values if isinstance(one, tuple) for item in one]
    return any(value is interrupted for value in values)


def _is_injected(error: BaseException, frames: list[FrameType]) -> bool:
    """Return whether no code that ran could have raised it: another thread has set it."""
    if isinstance(error, KeyboardInterrupt):
        return True  # of Python's own handler
    root = type(error).__module__.partition(".")[0]
    if root in sys.stdlib_module_names or root in _OWN_PACKAGES:
        return False
    packages = {_package(frame) for frame in frames}
    return all(one in _OWN_PACKAGES or one in sys.stdlib_module_names for one in packages)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
