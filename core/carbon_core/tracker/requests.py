"""The requests of a run: when the program was busy with how many, and their energy.

A request appends an event to a `deque`, and whichever thread can applies it: no caller waits for another
one. The meters are read where the program becomes busy or idle, at most twenty times a second on
average; in between, energy is divided by time (`ledger.requests`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from carbon_core import uncertainty, units
from carbon_core.interruptions import raise_if_of_program
from carbon_core.ledger.requests import Instant, Point, RequestLedger
from carbon_core.records import Energy, Snapshot, Window
from carbon_core.request_totals import (
    RequestCounts,
    Requests,
    RequestTotals,
    totals_of,
    with_division,
)
from carbon_core.sampler import Mark
from carbon_core.tracker.run import Run

if TYPE_CHECKING:
    from carbon_core.tracker.request_counter import Request

_READS_PER_S = 20.0
# Reads that may follow one another; the last half is kept for where requests begin and end to be open.
_MOST_READS = 20.0
_TURN_WAIT_S = 0.0005
_LOCK_TIMEOUT_S = 0.05
# An exception of the program may leave the lock closed.
_MOST_EVENTS = 10_000
_MOST_COUNTERS = 64
_OTHERS = "(other)"
_LONGEST_NAME = 100
# Re-entrant: a signal handler may make a counter, too.
_making = threading.RLock()


class RunRequests:
    """The requests of one run, of all its counters.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._ledger = RequestLedger(run.instant(after_reading=True))
        self._counters: dict[str, None] = {}
        self._events: deque[Callable[[], object]] = deque()
        self._applying = threading.Lock()
        self._numbers = itertools.count()
        self._reads = _MOST_READS
        self._read_ns = self._ledger.begin.t_ns

    @property
    def is_active(self) -> bool:
        """Whether the run is being measured, in this process."""
        return not self._run.closing and self._run.pid == os.getpid()

    def warn(self, text: str) -> None:
        """Keep a warning for the next call of the tracker, once."""
        self._run.messages.warn(text)

    def counter(self, name: str) -> str:
        """Add a counter; return its name, or that of all beyond the most that are kept."""
        name = str(name)[:_LONGEST_NAME]
        if name not in self._counters and len(self._counters) >= _MOST_COUNTERS:
            self.warn(f"only {_MOST_COUNTERS} counters of requests are kept; later ones are one")
            name = _OTHERS
        self._counters[name] = None
        return name

    # --- events, on any thread -------------------------------------------------------------------

    def new_number(self) -> int:
        """Return a number for a request."""
        return next(self._numbers)

    def open(self, number: int, counter: str, count: int) -> None:
        """Begin a request; does nothing if nothing is measured."""
        if self.is_active:
            self._post(partial(self._ledger.open, self._now_ns(), number, counter, count))

    def close(self, number: int, tokens: int, *, failed: bool, request: Request | None) -> None:
        """End a request.

        Args:
            number: As `open` was given it; one that is not open is ignored.
            tokens: Its tokens.
            failed: Whether it failed.
            request: Is given its begin and end, unless it is None.
        """
        if self.is_active:
            t_ns = self._now_ns()
            self._post(partial(self._close, t_ns, number, tokens, failed=failed, request=request))

    def _close(
        self, t_ns: int, number: int, tokens: int, *, failed: bool, request: Request | None
    ) -> None:
        ended = self._ledger.close(t_ns, number, "failed" if failed else "completed", tokens)
        if request is not None and ended is not None:
            request.points = ended

    def done(self, counter: str, count: int, tokens: int) -> None:
        """Count requests that have ended now."""
        if self.is_active:
            self._post(partial(self._ledger.done, self._now_ns(), counter, count, tokens))

    def rest(self) -> None:
        """Note that the time since the last event was idle, if no request is open."""
        if self.is_active:
            self._post(partial(self._ledger.rest, self._now_ns()))

    def _now_ns(self) -> int:
        return self._run.parts.clock.monotonic_ns()

    def _post(self, event: Callable[[], object]) -> None:
        self._events.append(event)
        self._apply()

    def _apply(self) -> None:
        """Apply the events, unless another thread does; it then applies these, too."""
        while self._events:
            lock = self._applying
            if not lock.acquire(blocking=False):
                if len(self._events) < _MOST_EVENTS:
                    return
                lock = self._new_lock()
            try:
                self._apply_all()
            finally:
                lock.release()

    def _new_lock(self) -> threading.Lock:
        """Replace the lock, which an exception of the program has left closed; return a closed one."""
        lock = self._applying = threading.Lock()
        lock.acquire()
        return lock

    def _apply_all(self) -> None:
        was_busy, outer = self._ledger.is_busy, sys.exc_info()[1]
        while self._events:
            try:
                # Removed last: an exception of the program in between loses none.
                self._events[0]()
            except BaseException as error:
                self._ledger.recover()
                if not isinstance(error, Exception):
                    raise
                raise_if_of_program(error, outer)
                self.warn(f"a request was not counted: {error!r}")
            with contextlib.suppress(IndexError):
                self._events.popleft()
        self._read(turns=was_busy != self._ledger.is_busy)

    def _read(self, *, turns: bool) -> None:
        """Have the meters read now, if they were not read too often.

        Args:
            turns: Whether the program became busy or idle.
        """
        now_ns = self._now_ns()
        since_s = units.seconds(now_ns - self._read_ns)
        self._read_ns = now_ns
        self._reads = min(_MOST_READS, self._reads + _READS_PER_S * since_s)
        if self._reads < (1.0 if turns else _MOST_READS / 2) or not self.is_active:
            return
        if self._ledger.make_room(now_ns, self._window, _is_final):
            self._reads -= 1.0
            mark = self._run.instant()
            self._ledger.split(mark)
            if turns:
                # What follows has another power: without a pause, a program in pure Python hands its
                # lock to the sampler only after several milliseconds.
                mark.wait(_TURN_WAIT_S)

    # --- results ---------------------------------------------------------------------------------

    def requests(self, end: Snapshot) -> Requests | None:
        """Return the requests up to a snapshot."""
        outer = sys.exc_info()[1]
        try:
            with self._locked():
                return self._requests(end)
        except Exception as error:  # noqa: BLE001 - the run has results without them, too
            raise_if_of_program(error, outer)
            self.warn(f"the results are without requests: {error!r}")
            return None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Have no other thread apply events meanwhile; a signal handler may interrupt one that does."""
        lock = self._applying
        if not lock.acquire(timeout=_LOCK_TIMEOUT_S):
            lock = self._new_lock()
        try:
            if self._events:
                self._apply_all()
            yield
        finally:
            lock.release()
        self._apply()

    def _requests(self, end: Snapshot) -> Requests:
        division = self._ledger.divided(end, self._window)
        window = self._window(self._ledger.begin, end)
        busy, busy_s = division.busy, units.seconds(division.busy_ns)
        busy_j = sum(energy.joules for energy in busy.values())
        idle = {
            device: energy.plus(Energy(*(-value for value in busy[device])))
            if device in busy
            else energy
            for device, energy in window.by_device.items()
        }
        idle_s = max(0.0, window.duration_s - busy_s)
        # An event that came after the snapshot may have made it a little less than 0.
        idle_j = max(0.0, sum(energy.joules for energy in idle.values()))
        spans = max(1, self._ledger.spans) ** 0.5
        sigma_ln = uncertainty.sigmas_of(busy, busy_s / spans).total
        idle_ln = uncertainty.sigmas_of(idle, idle_s / spans).total
        return Requests(
            tuple(self._counts(name, division.joules) for name in list(self._counters)),
            max(0.0, window.duration_s),
            idle_s,
            idle_j,
            with_division(sigma_ln, division.uncertain_j, busy_j),
            with_division(idle_ln, division.uncertain_j, idle_j),
        )

    def _counts(self, name: str, joules: Any) -> RequestCounts:
        counts = self._ledger.counts
        completed, tokens = counts.get((name, "completed"), (0, 0))
        return RequestCounts(
            name,
            completed=completed,
            failed=counts.get((name, "failed"), (0, 0))[0],
            unfinished=self._ledger.unfinished(name),
            tokens=tokens,
            joules=joules[name, "completed"],
            failed_j=joules[name, "failed"],
            unfinished_j=joules[name, "open"],
        )

    def totals(self, name: str) -> RequestTotals:
        """Return the totals of a counter so far, after a reading of the meters."""
        run = self._run
        if run.pid != os.getpid():
            return RequestTotals(name)
        report = run.final or run.report(run.snapshot())
        found = {one.name: one for one in totals_of(report)}
        return found.get(name) or RequestTotals(name)

    def energy_kwh(self, points: tuple[Point, Point, int]) -> float:
        """Return the energy of a request in kWh, times PUE, after a reading of the meters."""
        run = self._run
        now = run.final.window.end if run.final is not None else run.snapshot()
        begin, end, weight = points
        with self._locked():
            joules = self._ledger.joules_between(begin, end, now, self._window)
        return units.kwh(weight * joules) * run.parts.facts.pue

    def _window(self, begin: Instant, end: Instant) -> Window:
        window = self._at(end) - self._at(begin)
        return window if end.t_ns > begin.t_ns else window.end - window.end

    def _at(self, instant: Instant) -> Snapshot:
        return self._run.at(instant) if isinstance(instant, Mark) else cast("Snapshot", instant)


def _is_final(instant: Instant) -> bool:
    return getattr(instant, "snapshot", instant) is not None


def requests_of(run: Run) -> RunRequests:
    """Return the requests of a run, which begin with the first call."""
    with _making:
        if run.requests is None:
            run.requests = RunRequests(run)
        return run.requests
