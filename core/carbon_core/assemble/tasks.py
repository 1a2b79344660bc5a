"""CodeCarbon's ways to measure a task: a context manager and a decorator."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from carbon_core.assemble.calls import with_context
from carbon_core.assemble.trackers import EmissionsTracker
from carbon_core.tracker.status import status_of
from carbon_core.tracker.tracker import Tracker

if TYPE_CHECKING:
    from typing_extensions import Self

_Function = TypeVar("_Function", bound=Callable[..., Any])


class TaskEmissionsTracker:
    """Measures a ``with`` block as a task.

    Attributes:
        tracker: The tracker; started by the first task, unless it is running.

    Args:
        task_name: Name of the task.
        tracker: Its tracker, which continues afterwards; by default one of its own, which stops.
    """

    def __init__(self, task_name: str, tracker: Tracker | None = None) -> None:
        self.task_name = task_name
        self.is_default_tracker = tracker is None
        self.tracker = EmissionsTracker() if tracker is None else tracker
        self._started: str | None = None

    def __enter__(self) -> Self:
        self._started = self.tracker.start_task(self.task_name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.tracker.stop_task(self._started)
        if self.is_default_tracker:
            self.tracker.stop(status_of(error))


def track_task_emissions(
    fn: _Function | None = None, tracker: Tracker | None = None, task_name: str = ""
) -> _Function | Callable[[_Function], _Function]:
    """Measure each call of a function, coroutine or generator as a task.

    Args:
        fn: The function, when used without parentheses.
        tracker: Tracker of the tasks; by default one of its own for each call.
        task_name: Name of the tasks; by default, an id for each.
    """

    def decorate(wrapped: _Function) -> _Function:
        return with_context(wrapped, lambda: TaskEmissionsTracker(task_name, tracker))

    return decorate(fn) if fn is not None else decorate
