"""Meters that are found and read before a run begins, so that nothing of the run is extrapolated.

    searching ──▶ parked ──detection()──▶ taken by a run
        └───────────┴──close(), or ten minutes──▶ closed

A preparation writes nothing, sends nothing and logs nothing: its messages appear with those of the run.
"""

from __future__ import annotations

import contextlib
import enum
import os
import queue
import threading
from collections.abc import Callable, Sequence

from carbon_core.hardware.base import Detection, Meter
from carbon_core.record import replace
from carbon_core.records import Reading
from carbon_core.threads import Latch, LazyThread
from carbon_core.tracker.parts import Parts

# Meters that no run has taken by then are closed.
_PARKED_S = 600.0
# A thread that is not in a driver ends sooner.
END_S = 0.05
# Longest wait for the claims and handles of a preparation that another one replaces.
_REPLACED_S = 1.0


class _Stage(enum.IntEnum):
    OPEN = 0
    TAKEN = 1
    CLOSED = 2


class Preparation:
    """The meters of the next run, on a thread of its own: found, read, and then kept open for a while.

    A process keeps one: a preparation closes an earlier one that no run has taken, whose claims
    of devices would keep it from counting them.

    Args:
        parts: The parts of a run; of these, the detection is used.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pid = os.getpid()
        # Re-entrant: a signal handler may start or stop a run on a thread that is within here.
        self._lock = threading.RLock()
        self._stage = _Stage.OPEN
        self._found: Detection | None = None
        self._fault: Exception | None = None
        self._readings: list[Reading] = []
        self._joined = False
        self._use_late: Callable[[Detection], object] | None = None
        self._searched, self._read_once, self._ready = Latch(), Latch(), Latch()
        # A latch: read again and set it. None: end.
        self._orders: queue.SimpleQueue[Latch | None] = queue.SimpleQueue()
        self._thread = LazyThread(self._run, "carbon-prepare")
        self._replaced: Preparation | None = None

    # --- called by the user's thread -------------------------------------------------------------

    def start(self) -> None:
        """Start the search; where no thread can be started, `detection` makes it."""
        self._replaced = _parked.replace(self)
        self._thread.start()

    def suits(self, parts: Parts) -> bool:
        """Return whether it can serve a run of these parts in this process."""
        return (
            self._pid == os.getpid()
            and self._fault is None
            and self._stage == _Stage.OPEN
            and self._parts.detection_key == parts.detection_key
            and not (self._found is not None and self._found.contested)
        )

    def wait(self, timeout_s: float) -> bool:
        """Wait until a start has nothing to find or load; return whether that is in time."""
        return self._ready.wait(timeout_s)

    def used_by(self, parts: Parts, timeout_s: float) -> Parts:
        """Return the parts of a run that begins now and uses these meters.

        Args:
            parts: Its parts, made now: they may differ from those of the preparation.
            timeout_s: Longest time to wait for new readings, in seconds.
        """
        self._refresh(timeout_s)
        self._parts.messages.forward(parts.messages)
        started_at = parts.clock.now().isoformat(timespec="milliseconds")
        facts = replace(parts.facts, started_at=started_at)
        return replace(parts, facts=facts, detect=self.detection)

    def _refresh(self, timeout_s: float) -> None:
        """Wait for readings that are made from now on, at most so many seconds."""
        if not self._read_once.is_set():
            self._read_once.wait(timeout_s)
        elif self._thread.alive:
            read = Latch()
            self._orders.put(read)
            read.wait(timeout_s)

    def close(self, wait_s: float = END_S) -> None:
        """Close the meters, unless a run has taken them.

        Args:
            wait_s: Longest time to wait for that, in seconds.
        """
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._stage != _Stage.OPEN:
                return
            self._stage = _Stage.CLOSED
        _parked.forget(self)
        self._orders.put(None)
        self._thread.join(wait_s)

    # --- called by the sampler's thread of the run that takes it --------------------------------

    def detection(self) -> Detection:
        """Return the meters, with the readings made so far, to a run, which has to close them."""
        if self._thread.exists:
            # A thread may die before its first line, where there is no memory.
            while not self._searched.wait(_REPLACED_S) and self._thread.alive:
                pass
        with self._lock:
            if self._stage == _Stage.OPEN and self._thread.exists:
                self._stage = _Stage.TAKEN
                _parked.forget(self)
                self._orders.put(None)
                if self._found is not None:
                    late = self if self._found.late is not None else None
                    return replace(self._found, early=tuple(self._readings), late=late)
        # There is no thread, its search failed, or its meters were closed a moment ago.
        return self._parts.detect()

    def settled(self) -> Detection:
        """Return the meters so far: its own thread waits for slow GPUs."""
        return self._found or Detection(())

    def on_ready(self, use: Callable[[Detection], object]) -> None:
        """Call a function with the detection once late GPUs are found, as `LateGpus` does."""
        with self._lock:
            self._use_late = use
            found = self._found if self._joined else None
        if found is not None:
            use(found)

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        if self._replaced is not None:
            self._replaced._thread.join(_REPLACED_S)
            self._replaced = None
        try:
            self._found = self._parts.detect()
        except Exception as error:  # noqa: BLE001 - the run searches again
            self._fault = error
        finally:
            self._searched.set()
        try:
            if self._found is not None:
                self._read(self._found.meters)
        finally:
            self._read_once.set()
        if self._stage == _Stage.OPEN:
            self._parts.load_modules()
        self._ready.set()
        if self._found is not None:
            self._await_late(self._found)
        self._park()

    def _await_late(self, found: Detection) -> None:
        """Have GPUs join whose driver is slow."""
        if found.late is None:
            return
        settled = found.late.settled()
        self._join(settled)
        if settled.late is not None:
            settled.late.on_ready(self._join)

    def _join(self, later: Detection) -> None:
        """Add GPUs that were found late; also called on the thread of their search."""
        with self._lock:
            before, self._found = self._found, later
            if before is not None:
                self._found = later = later.completing(before)
            self._joined = True
            is_closed, use = self._stage == _Stage.CLOSED, self._use_late
        new = [one for one in later.meters if before is None or one not in before.meters]
        if is_closed:
            _close(later.meters)
        elif use is not None:
            use(later)
        else:
            self._read(new)

    def _park(self) -> None:
        """Keep the meters open for a run, and read them again at its start."""
        while self._stage == _Stage.OPEN:
            try:
                order = self._orders.get(timeout=_PARKED_S)
            except queue.Empty:
                order = None
                with self._lock:
                    if self._stage == _Stage.OPEN:
                        self._stage = _Stage.CLOSED
            if order is not None and self._found is not None:
                self._read(self._found.meters)
            if order is not None:
                order.set()
        if self._stage == _Stage.CLOSED and self._found is not None:
            _parked.forget(self)
            _close(self._found.meters)

    def _read(self, meters: Sequence[Meter]) -> None:
        """Read meters, for as long as no run reads them."""
        for meter in meters:
            if self._stage == _Stage.OPEN:
                with contextlib.suppress(Exception):  # the run warns about a meter that fails
                    self._readings += meter.read()


class _Parked:
    """The preparation of this process that no run has taken, if there is one."""

    def __init__(self) -> None:
        self._latest: Preparation | None = None

    def replace(self, latest: Preparation) -> Preparation | None:
        """Close the one before, and return it."""
        before, self._latest = self._latest, latest
        if before is not None:
            before.close()
        return before

    def forget(self, one: Preparation) -> None:
        """Forget a preparation that is closed or taken."""
        if self._latest is one:
            self._latest = None


_parked = _Parked()


def _close(meters: Sequence[Meter]) -> None:
    for meter in meters:
        with contextlib.suppress(Exception):  # of meters that nothing was read from
            meter.close()
