"""Calls a second function at a line of a first one, as a signal handler or another thread would."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

# Taken for the standard library's debugger: frames of a test, between a handler and the code that it
# interrupts, would hide from the package that the handler interrupted it.
__name__ = "bdb"

# How long the traced thread may keep the other one waiting, without being at fault.
_TURN_S = 0.01
_LIMIT_S = 10.0

Place = tuple[CodeType, int]
Call = Callable[[], object]
Interrupt = Callable[[Call], Call]


def by_signal(call: Call) -> Call:
    """Make a call in a signal handler: now, or as soon as the signal is not blocked any more.

    Returns a function that removes the handler.
    """
    before = signal.signal(signal.SIGUSR1, lambda *_: call())
    signal.raise_signal(signal.SIGUSR1)
    return lambda: signal.signal(signal.SIGUSR1, before)


def by_thread(call: Call) -> Call:
    """Make a call on another thread, and give it time; return a function that waits for its end."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(_TURN_S)

    def finish() -> None:
        thread.join(_LIMIT_S)
        assert not thread.is_alive(), "the other thread waits without end"

    return finish


def by_collector(call: Call) -> Call:
    """Make a call within the line, as the garbage collector calls finalizers."""
    call()
    return lambda: None


def places(call: Call) -> list[Place]:
    """Return the lines of the core that a call runs on this thread, each once."""
    found: dict[Place, None] = {}
    _traced(call, lambda frame: found.setdefault((frame.f_code, frame.f_lineno)))
    return list(found)


def interrupted(first: Call, place: Place, how: Interrupt, second: Call) -> None:
    """Make a call, and another one when it first reaches a line; wait for both."""
    waits: list[Call] = []

    def visit(frame: FrameType) -> None:
        if not waits and (frame.f_code, frame.f_lineno) == place:
            sys.settrace(None)
            waits.append(how(second))

    try:
        _traced(first, visit)
    finally:
        for wait in waits:
            wait()


class OwnThreads:
    """Traces the threads of the package that begin within a ``with`` block.

    Args:
        visit: Called with each line of the core that one of them runs.
    """

    def __init__(self, visit: Callable[[FrameType], object]) -> None:
        self._trace = _tracer(visit)

    def __enter__(self) -> None:
        threading.settrace(self._trace)

    def __exit__(self, *error: object) -> None:
        threading.settrace(None)  # type: ignore[arg-type]


def _traced(call: Call, visit: Callable[[FrameType], object]) -> None:
    before = sys.gettrace()
    sys.settrace(_tracer(visit))
    try:
        call()
    finally:
        sys.settrace(before)


def _tracer(visit: Callable[[FrameType], object]) -> Any:
    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            visit(frame)
        return trace if "/carbon_core/" in frame.f_code.co_filename else None

    return trace
