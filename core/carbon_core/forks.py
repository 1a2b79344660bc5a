"""What a forked child inherits of this package's threads, and must not: sockets, and incomplete modules.

Only the forking thread exists in a child. A module that another thread was importing stays incomplete
there, and its import lock is never released. The child imports such modules again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any


@functools.cache
def watch(prefix: str) -> None:
    """Register the clean-up for forked children, once in a process.

    Args:
        prefix: Of the names of this package's threads.
    """
    if hasattr(os, "register_at_fork"):
        threads = _OwnThreads(prefix)
        os.register_at_fork(before=threads.note, after_in_child=threads.clean)
        os.register_at_fork(after_in_child=_close_all)


_closings: dict[Callable[[], object], None] = {}


def close_in_child(close: Callable[[], object]) -> None:
    """Have forked children close their copies of something, such as a socket.

    Args:
        close: Called in the child.
    """
    _closings[close] = None


def keep_in_child(close: Callable[[], object]) -> None:
    """Undo `close_in_child`, once there is nothing left to close."""
    _closings.pop(close, None)


def _close_all() -> None:
    for close in list(_closings):
        # Nothing may be raised here: the interpreter would print it.
        with contextlib.suppress(Exception):
            close()
    _closings.clear()


class _OwnThreads:
    """The threads of this package at the time of a fork.

    Args:
        prefix: Of their names.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._idents: set[int | None] = set()

    def note(self) -> None:
        """Note the threads, right before a fork."""
        # `enumerate` would take a lock that the forking thread may hold, in a signal handler.
        threads = list(getattr(threading, "_active", {}).values())
        self._idents = {one.ident for one in threads if one.name.startswith(self._prefix)}

    def clean(self) -> None:
        """Forget in the child what these threads have left incomplete."""
        if not self._idents:
            return
        # Nothing may be raised here: the interpreter would print it.
        with contextlib.suppress(Exception):
            _forget_imports(self._idents)


def _forget_imports(idents: set[int | None]) -> None:
    """Remove the modules and the import locks of threads that do not exist here."""
    bootstrap: Any = sys.modules.get("_frozen_importlib")
    locks = bootstrap._module_locks
    for name, reference in list(locks.items()):
        lock = reference()
        if getattr(lock, "owner", None) in idents:
            del locks[name]
            if _is_incomplete(sys.modules.get(name)):
                del sys.modules[name]
    for ident in idents:
        bootstrap._blocking_on.pop(ident, None)


def _is_incomplete(module: ModuleType | None) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
