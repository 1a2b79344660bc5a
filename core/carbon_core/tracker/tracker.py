"""The tracker: starts and stops runs, and never raises into the user's program."""

from __future__ import annotations

import functools
import os
import sys
import weakref
from typing import TYPE_CHECKING

from carbon_core.identifiers import random_uuid
from carbon_core.interruptions import raise_if_of_program, suppressed
from carbon_core.messages import Messages
from carbon_core.tracker.codecarbon_views import CodeCarbonViews
from carbon_core.tracker.prepared_start import Prepared, PreparedStart
from carbon_core.tracker.run_slot import RunSlot
from carbon_core.tracker.status import status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any, Concatenate, ParamSpec, TypeVar

    from typing_extensions import Self

    from carbon_core.outputs.emissions_data import EmissionsData
    from carbon_core.records import Segment, Snapshot
    from carbon_core.report import Report
    from carbon_core.tracker.open_window import OpenWindow
    from carbon_core.tracker.request_counter import RequestCounter
    from carbon_core.tracker.run import Run

    _P = ParamSpec("_P")
    _R = TypeVar("_R")
    _Tracker = TypeVar("_Tracker", bound="Tracker")


def harmless(
    method: Callable[Concatenate[_Tracker, _P], _R],
) -> Callable[Concatenate[_Tracker, _P], _R | None]:
    """Wrap a method so that its exceptions become one warning, and it returns None.

    The program's own exceptions, from a signal handler that interrupted the method, are raised.
    """

    def guarded(self: _Tracker, /, *args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        outer = sys.exc_info()[1]
        try:
            return method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - no exception may reach the training
            raise_if_of_program(error, outer)
            with suppressed(MemoryError):  # to load `logging`
                self.warn(f"{method.__name__}() failed: {error!r}")
            return None

    functools.update_wrapper(guarded, method)
    return guarded


def _line(self: Tracker) -> str:
    from carbon_core.tracker.display import line_of_tracker

    return line_of_tracker(self, lambda: self)


def _table(self: Tracker) -> str | None:
    """Return the current run, or the latest one, as a small table for notebooks."""
    from carbon_core.tracker.display import html_of_tracker

    return html_of_tracker(self, lambda: self)


class _Requests:
    """What `Tracker` has for programs that serve or generate."""

    _slot: RunSlot

    def warn(self, text: str) -> None:
        """Log a warning, once."""
        raise NotImplementedError

    def requests(self, name: str = "requests") -> RequestCounter:
        """Return a counter of the current run, for the energy of a request or a token.

        Args:
            name: Distinguishes several counters of a run; one name is one counter.
        """
        from carbon_core.tracker.request_counter import RequestCounter
        from carbon_core.tracker.requests import requests_of

        run = self._slot.current
        if run is None:
            self.warn("requests() needs a running tracker: nothing is counted")
        return RequestCounter(name, requests_of(run) if run is not None else None)


class Tracker(PreparedStart, CodeCarbonViews, _Requests):
    """Measures from `start()` to `stop()`; may be started again.

    Subclasses define the parts of a run. No method raises into the program, blocks it for longer than
    50 ms (`stop()`: the setting ``shutdown_timeout_s``), or leaves anything running after `stop()`. A
    tracker that is garbage-collected, or still running when the interpreter exits, closes its run as
    ``interrupted``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id = random_uuid()
        # A child that is forked from now on is another run.
        self._pid = os.getpid()
        self.messages = Messages()
        self._slot = RunSlot()
        self._last: Report | None = None
        self._tasks: dict[str, OpenWindow] = {}

    def warn(self, text: str) -> None:
        """Log a warning, once."""
        self.messages.warn(text)
        self.messages.deliver()

    @property
    def running(self) -> bool:
        """Whether a run is active in this process (a forked child's copy is inert)."""
        return self._slot.current is not None

    @property
    def _run(self) -> Run | None:
        # Another thread or a signal handler may clear it at any time: read once in each method.
        return self._slot.run

    @harmless
    def start(self) -> None:
        """Begin a run. Does nothing while one is active.

        In a forked child, the run of the parent is not active: a start begins one of the child's own.
        """
        if self.running:
            return
        run = self._slot.start(self._made_run)
        if run is not None:
            run.open()
            run.messages.deliver()

    def _made_run(self) -> Run:
        if self._pid != os.getpid():
            self._tasks = {}
        elif self._run is not None:
            self.stop()  # it was interrupted
        if self._last is not None or self._pid != os.getpid():
            self.run_id = random_uuid()
        self._pid = os.getpid()
        run = self._prepared_run()
        # Ends the run when the tracker is collected, and at exit; holds no reference to the tracker.
        run.finalizer = weakref.finalize(self, run.finish, "interrupted")
        return run

    @harmless
    def stop(self, status: str = "completed") -> float | None:
        """End the run and save it.

        Args:
            status: How the work ended: ``completed``, ``failed``, ``interrupted`` or ``pruned``.

        Returns:
            Emissions in kg CO2e; those of the last run when none is active. None when there was none, or
            where nothing could be measured. A call that a signal handler interrupts may be repeated; the
            run ends even without that.
        """
        run = self._run
        if run is not None and run.pid == os.getpid():
            for name in reversed(list(self._tasks)):
                task = self._tasks.get(name)
                # Those of a run that another thread has started since are not meant.
                if task is not None and (task.run is run or task.run is not self._run):
                    self.stop_task(name)
                    self._tasks.pop(name, None)
            self._last = run.close(status) or self._last
            if run.final is not None:  # otherwise this is a signal handler within stop()
                self._slot.clear(run)
                if run.finalizer is not None:
                    run.finalizer.detach()
            run.messages.deliver()
        return self.final_emissions

    @harmless
    def flush(self) -> float | None:
        """Save the totals so far and return the emissions in kg CO2e; the run continues."""
        run = self._slot.current
        if run is None:
            return None
        report = run.flush()
        run.messages.deliver()
        return _known_kg(report)

    def mark(self, phase: str) -> None:
        """Begin a phase: marks cut the run into phases, and spans of equal names are summed."""
        if (run := self._slot.current) is not None:
            run.mark(phase)

    def window(self, name: str = "", *, at_once: bool = False) -> OpenWindow:
        """Open a window from now on, to be closed with `OpenWindow.close` or a ``with`` block.

        Unless `at_once`, it waits for a reading first (at most 2 ms), so that short ones are exact.
        """
        return _opened(name, self._slot.current, at_once=at_once)

    @harmless
    def start_task(self, task_name: str | None = None) -> str:
        """Open a named window, starting the tracker if need be, and return the name.

        Args:
            task_name: A taken or absent name is made unique.
        """
        self.start()
        name = task_name or random_uuid()
        if name in self._tasks:
            name = f"{name}_{random_uuid()}"
        self._tasks[name] = self.window(name)
        return name

    @harmless
    def stop_task(self, task_name: str | None = None) -> EmissionsData | None:
        """Close a task's window and return its results.

        Args:
            task_name: By default, the task that was started last.
        """
        name = task_name or next(reversed(list(self._tasks)), None)
        task = self._tasks.get(name) if name else None
        if task is None or task.run is None:
            return None
        # Removed last: a call that a signal handler interrupts may be repeated.
        task.close()
        report = task.run.tasks.note(task)
        self._tasks.pop(task.name, None)
        return _emissions_data(report)

    @harmless
    def report(self, at: Snapshot | None = None, *, max_age_s: float = 0.0) -> Report | None:
        """Return the totals so far while a run is active, else those of the last run.

        Args:
            at: An instant of the run; by default, now.
            max_age_s: Accept readings that are up to so many seconds old.
        """
        run = self._slot.current
        if run is None:
            return self.final_report
        report = run.report(at or run.recent(max_age_s))
        run.check_budget(report)
        run.messages.deliver()
        return report

    @harmless
    def continue_from(self, segments: Sequence[Segment]) -> None:
        """Set the segments of a training that the current run continues; does nothing without a run.

        Each counts once, by its id, however often it is given; what a segment measured after its
        checkpoint is read from the files of the output directory.

        Args:
            segments: As `segments` gave them in an earlier process.
        """
        run = self._slot.current
        if run is not None and segments:
            run.predecessors.add(segments)

    @harmless
    def continue_last(self, trial: str | None = None) -> None:
        """Make the current run continue the latest training of its project in its directory.

        Args:
            trial: Only one of this trial of a search; without it, one that belongs to none and did not
                end by itself.
        """
        run = self._slot.current
        if run is not None:
            run.predecessors.add_last(trial)

    def note_others(self, segments: Sequence[Segment]) -> None:
        """Set the segments of the other ranks of the training, for the budget and the receipt."""
        run = self._slot.current
        if run is not None:
            run.others = tuple(segments)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments of the training so far, to be stored in a checkpoint."""
        report = self.report()
        return report.segments if report is not None else ()

    @property
    def over_budget(self) -> bool:
        """Whether ``budget_kwh`` or ``budget_kg_co2e`` is reached; cheap enough for every step.

        Checked at every heartbeat (``measure_power_secs``), and by `report`.
        """
        run = self._run
        return run is not None and run.over_budget

    @property
    def final_report(self) -> Report | None:
        """The totals of the last run that ended."""
        run = self._run
        ended = run.final if run is not None else None
        return ended or self._last

    @property
    def final_emissions(self) -> float | None:
        """Emissions of the last run that ended, in kg CO2e; None where nothing could be measured."""
        last = self.final_report
        return _known_kg(last) if last else None

    @property
    def final_emissions_data(self) -> EmissionsData | None:
        """The last run that ended, under CodeCarbon's names."""
        last = self.final_report
        return _emissions_data(last) if last else None

    __repr__ = _line
    _repr_html_ = _table

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(status_of(error))

    def __getstate__(self) -> dict[str, Any]:
        # Threads, locks and files stay here; a copy is another tracker, not started.
        fresh: dict[str, Any] = {
            "run_id": random_uuid(),
            "_slot": RunSlot(),
            "_prepared": Prepared(),
            "_last": self.final_report,
            "_tasks": {},
        }
        return {**self.__dict__, **fresh}


# Loaded when a run begins, not when the tracker is imported.
def _opened(name: str, run: Run | None, *, at_once: bool) -> OpenWindow:
    from carbon_core.tracker.open_window import OpenWindow

    if run is not None and run.messages.is_waiting:
        with suppressed(Exception):  # a log handler of the program may raise
            run.messages.deliver()
    return OpenWindow(name, run, at_once=at_once)


def _emissions_data(report: Report) -> EmissionsData:
    from carbon_core.outputs.emissions_data import emissions_data

    return emissions_data(report)


def _known_kg(report: Report) -> float | None:
    return report.emissions_kg.value if report.is_known else None
