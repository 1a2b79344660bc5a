"""Facts that a run does without where they take too long: they never cost the measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from carbon_core.threads import LazyThread

_T = TypeVar("_T")


class OptionalFact(Generic[_T]):
    """A fact that is looked up on a thread of its own, because a file system may hang.

    Args:
        look_up: Returns the fact; may raise anything, and may never return.
        name: Name of the thread.
    """

    def __init__(self, look_up: Callable[[], _T], name: str) -> None:
        self._look_up = look_up
        self._found: list[_T] = []
        self._thread = LazyThread(self._run, name)
        self._has_thread = self._thread.start()

    def result(self, limit_s: float, otherwise: _T) -> _T:
        """Return the fact, or `otherwise` where it is not found in time.

        Args:
            limit_s: Longest time to wait in seconds.
            otherwise: Returned in its place.
        """
        if self._has_thread:
            self._thread.join(limit_s)
        return self._found[0] if self._found else otherwise

    def _run(self) -> None:
        try:
            self._found.append(self._look_up())
        except Exception:  # noqa: BLE001 - the thread's guard: the fact is unknown
            self._found.clear()
