"""Wrapped methods and functions of a framework, whose end and exceptions call no hook.

A method is wrapped once, in its class, for the rest of the process. Wrapped in the instance, it would
make a reference cycle through the trainer, and a copy of the trainer would run the original's method.
A function is wrapped in all modules that have it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

Around = Callable[..., Any]
OnExit = Callable[["BaseException | None"], None]

_MARK = "_carbon_callbacks_wrapped"
_thread = threading.local()


class Call:
    """A wrapped method that is running on this thread.

    Attributes:
        method: The method's name.
        running: Whether it has not ended.
    """

    def __init__(self, owner: Any, method: str) -> None:
        try:
            self._owner: Callable[[], Any] = weakref.ref(owner)
        except TypeError:  # an object of a class with slots may have none for this
            self._owner = _nobody
        self.method = method
        self.running = True
        self._on_exit: list[OnExit] = []

    @property
    def owner(self) -> Any:
        """The object that it was called on, while that lives."""
        return self._owner()

    def on_exit(self, react: OnExit) -> None:
        """Have a function called as this call ends: with its exception, or None."""
        self._on_exit.append(react)

    def exit(self, error: BaseException | None) -> None:
        """End this call: call what was registered, latest first."""
        self.running = False
        while self._on_exit:
            self._on_exit.pop()(error)


def innermost() -> Call | None:
    """Return the wrapped call that this thread entered last and has not left."""
    calls = _calls()
    return calls[-1] if calls else None


def wrap_method(owner: type, name: str, around: Around | None = None) -> None:
    """Wrap a method where a class takes it from, once in this way; several adapters may wrap it.

    Args:
        owner: A class.
        name: The method's name; nothing happens if the class has none, or no plain function.
        around: Is called with the original function, the instance and the arguments in the method's
            place; by default it only calls the original as a `Call`.
    """
    home = next((cls for cls in owner.__mro__ if name in vars(cls)), None)
    original = vars(home).get(name) if home is not None else None
    act = around or called
    if home is None or not inspect.isfunction(original) or act in getattr(original, _MARK, ()):
        return

    @functools.wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return act(original, self, *args, **kwargs)

    setattr(wrapped, _MARK, (act, *getattr(original, _MARK, ())))
    setattr(home, name, wrapped)


def wrap_function(modules: Sequence[str], name: str, around: Around) -> None:
    """Wrap a function in the modules that have it, once in this way.

    A program that has imported the function by its name before keeps the original.

    Args:
        modules: Names of modules; the first one defines the function. Those not loaded are left out.
        name: The function's name.
        around: Is called with the original function and the arguments in the function's place.
    """
    homes = [sys.modules[module] for module in modules if module in sys.modules]
    original = getattr(homes[0], name)
    if around in getattr(original, _MARK, ()):
        return

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    setattr(wrapped, _MARK, (around, *getattr(original, _MARK, ())))
    for home in homes:
        if getattr(home, name, None) is original:
            setattr(home, name, wrapped)


def called(original: Callable[..., Any], owner: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method as a `Call`: runs begun within it are ended with its exception."""
    call, calls = Call(owner, original.__name__), _calls()
    calls.append(call)
    try:
        result = original(owner, *args, **kwargs)
    except BaseException as error:
        call.exit(error)
        raise
    else:
        call.exit(None)
        return result
    finally:
        calls.remove(call)


def _nobody() -> None:
    return None


def _calls() -> list[Call]:
    calls: list[Call] | None = getattr(_thread, "calls", None)
    if calls is None:
        calls = _thread.calls = []
    return calls
