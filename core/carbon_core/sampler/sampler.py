"""The sampler thread: wakes up, reads the meters that are due, updates the ledger, resolves marks.

The training thread only appends a `Mark` to a `queue.SimpleQueue`, the one object that both threads
share: its `put` takes no lock that Python code holds, so a mark costs about a microsecond. It wakes the
sampler, which reads every meter at once and interpolates the totals to the mark's time.

A driver may hang. `Sampler.rescue`, called from another thread, then abandons the thread with its meter
and continues with the other meters on a new one; if the driver returns later, its meter is read again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.hardware.base import Meter
from carbon_core.ledger import Ledger
from carbon_core.records import Reading, Snapshot
from carbon_core.sampler.mark import Mark
from carbon_core.sampler.phases import Phases, PhaseTotal
from carbon_core.sampler.silences import Silences
from carbon_core.sampler.trace import Trace
from carbon_core.threads import LazyThread

_SECOND_READING_NS = 100_000_000
_LONGEST_DELAY_FACTOR = 3
_NEVER_NS = 2**63
# Takes the place of a meter's number.
_LOAD = -1
_T = TypeVar("_T")


class _ReplacedError(Exception):
    """Another thread has replaced this one, which was blocked in a meter."""


class Sampler:
    """Owns the ledger and the thread that writes it.

    Attributes:
        latest: The totals that were resolved last.
        started: Set once the first readings are in.
        trace: Trace data since the last heartbeat.

    Args:
        clock: Source of monotonic time.
        opened_ns: When the run began.
        first_phase: Name of the phase that the run begins with.
        detect: Finds the meters; called once, on the sampler's thread, for it may be slow.
        heartbeat_s: Seconds between two calls of `on_heartbeat`.
        on_heartbeat: Called on the sampler's thread with the totals; must return at once.
        on_fault: Callback that receives a message when a meter fails; once for each meter.
        sample_gpus: Called before each heartbeat for the load of the GPUs; a driver may block it.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        opened_ns: int,
        first_phase: str,
        detect: Callable[[], Sequence[Meter]],
        heartbeat_s: float,
        on_heartbeat: Callable[[Snapshot], None],
        on_fault: Callable[[str], None],
        sample_gpus: Callable[[], object] = lambda: None,
    ) -> None:
        self.latest = Snapshot(opened_ns)
        self._phases = Phases(first_phase, self.latest)
        self.started = threading.Event()
        self._clock = clock
        self._detect = detect
        self._ledger = Ledger(opened_ns)
        self._meters: Sequence[Meter] | None = None
        self._early: Sequence[Reading] = ()
        self._late: queue.SimpleQueue[Meter] = queue.SimpleQueue()
        self._due_ns: list[int] = []
        self._began_ns = opened_ns
        # Guards the reading thread's id, and the meter that it reads with the time when it began.
        self._turn = threading.Lock()
        self._reader = 0
        self._reading: tuple[int, int] | None = None
        self._stuck: set[int] = set()
        self._pending: Sequence[Mark] = ()
        self._marks: queue.SimpleQueue[Mark | None] = queue.SimpleQueue()
        self._heartbeat_ns = units.nanoseconds(heartbeat_s)
        self._next_heartbeat_ns = opened_ns + self._heartbeat_ns
        self.trace = Trace(opened_ns, first_phase, self._heartbeat_ns)
        self._on_heartbeat = on_heartbeat
        self._on_fault = on_fault
        self._sample_gpus = sample_gpus
        self._silences = Silences(on_fault)
        self._faulty: set[int] = set()
        self._ending = False
        self._closed = False
        self._thread = LazyThread(self._run, "carbon-sampler")

    # --- called by other threads ---------------------------------------------------------------

    def mark(self, mark: Mark) -> None:
        """Queue a mark. Never blocks."""
        self._marks.put(mark)
        if not self._thread.exists:
            self.start()

    def add(self, meters: Iterable[Meter]) -> None:
        """Add meters that were found after the start; they are closed at once after the end."""
        with self._turn:
            for meter in meters:
                self._late.put(meter)
            is_closed = self._closed
        if is_closed:
            self._close_late()
        else:
            self.mark(Mark(self._clock.monotonic_ns()))

    def book_first(self, readings: Sequence[Reading]) -> None:
        """Keep readings that were made during the search for meters; by the function that detects."""
        self._early = readings

    def start(self) -> bool:
        """Start the thread, unless it exists; return whether the system allowed it."""
        return self._thread.start()

    @property
    def phases(self) -> Mapping[str, PhaseTotal]:
        """The ended phases, by name."""
        return self._phases.ended

    @property
    def alive(self) -> bool:
        """Whether the thread is still running."""
        return self._thread.alive

    def stop(self, timeout_s: float) -> None:
        """End the thread after the marks that came before, waiting at most `timeout_s` seconds."""
        self._marks.put(None)
        if self._thread.exists:
            self._thread.join(timeout_s)
        else:
            self._run()

    def carried_to(self, t_ns: int) -> Snapshot:
        """Return the totals extrapolated to an instant after the last readings; changes nothing.

        For other threads, while this one is blocked in a meter.
        """
        return self._ledger.snapshot(t_ns)

    def rescue(self, timeout_s: float) -> None:
        """Continue without a meter whose read has been blocking for `timeout_s` seconds.

        For any other thread. Does nothing while the sampler works.
        """
        with self._turn:
            if self._reading is None or self._meters is None:
                return
            i, since_ns = self._reading
            now_ns = self._clock.monotonic_ns()
            if now_ns - since_ns < units.nanoseconds(timeout_s):
                return
            self._reading, self._reader = None, 0
            self._stuck.add(i)
            if i == _LOAD:
                text = "the query of the GPUs' load does not respond: it is not sampled meanwhile"
            else:
                text = self._without(i, self._meters[i])
            self._thread = LazyThread(self._run, "carbon-sampler")
        self._on_fault(text)
        self.start()

    def _without(self, i: int, meter: Meter) -> str:
        """Book the devices of a blocked meter as missing; return a message for the user."""
        self._due_ns[i] = _NEVER_NS
        self._book_missing(meter)
        self._silences.note_said(meter.devices)
        name = type(meter).__name__
        return f"{name} does not respond: its last power is extrapolated, the other meters continue"

    # --- the sampler thread --------------------------------------------------------------------

    def begin(self) -> None:
        """Find the meters and read them for the first time."""
        self._reader = threading.get_ident()
        if self._meters is None:
            self._began_ns = self._clock.monotonic_ns()
            found = self._detect()
            self._meters = []
            for meter in found:
                self._use(meter)
            known = {device.id for meter in self._meters for device in meter.devices}
            self._ledger.update(reading for reading in self._early if reading.device_id in known)
        self.step(self._pending)
        self.started.set()

    def step(self, marks: Sequence[Mark]) -> None:
        """Read the meters that are due, update the ledger and resolve marks; for marks, read all."""
        self._pending = marks
        while not self._late.empty():
            self._use(self._late.get())
        now_ns = self._clock.monotonic_ns()
        due = self._next_heartbeat_ns <= now_ns or not self.started.is_set()
        beat = due or any(mark.last for mark in marks)
        for i, meter in enumerate(self._meters or ()):
            if i not in self._stuck and (marks or beat or self._due_ns[i] <= now_ns):
                self._read(i, meter)
        if self.trace.is_due(now_ns):
            self.trace.note_readings(now_ns, self._ledger.readings())
        if beat:
            self._sample_load()
            self._silences.check(self._ledger, is_last=any(mark.last for mark in marks))
            self._beat(now_ns)
        for mark in marks:
            self._resolve(mark)
        self._pending = ()

    def _run(self) -> None:
        try:
            self.begin()
            while (marks := self._wait()) is not None:
                self.step(marks)
        except _ReplacedError:
            return
        except Exception as error:  # noqa: BLE001 - the thread's guard: training must never see it
            self._on_fault(f"measuring stopped: {error!r}")
        self._close_meters()

    def _wait(self) -> list[Mark] | None:
        """Sleep until a meter is due or marks arrive; None when it is time to end."""
        due_ns = min((*self._due_ns, self._next_heartbeat_ns))
        if self._ending:
            return None
        marks: list[Mark] = []
        try:
            wait_s = units.seconds(due_ns - self._clock.monotonic_ns())
            mark = self._marks.get(timeout=max(0.0, wait_s))
            # No more than are there now: other threads may mark faster than this one resolves.
            for _ in range(self._marks.qsize()):
                if mark is None:
                    break
                marks.append(mark)
                mark = self._marks.get_nowait()
        except queue.Empty:
            return marks
        self._ending = mark is None
        return marks if mark is None else [*marks, mark]

    def _use(self, meter: Meter) -> None:
        self._ledger.add_devices(meter.devices)
        if getattr(meter, "reports_failures", False):
            self._silences.note_reporting(meter.devices)
        self._meters = [*(self._meters or ()), meter]
        # It is due at once; any moment that has passed will do.
        self._due_ns.append(self._clock.monotonic_ns())

    def _read(self, i: int, meter: Meter) -> None:
        readings, fault = self._guarded(i, meter.read)
        try:
            if fault is not None:
                raise fault
            self._ledger.update(readings or ())
        except Exception as error:  # noqa: BLE001 - nor must a reading of an unknown device
            self._report_fault(i, meter, error)
        now_ns = self._clock.monotonic_ns()
        self._due_ns[i] = _next_due_ns(meter, now_ns, now_ns - self._began_ns)

    def _sample_load(self) -> None:
        if _LOAD in self._stuck:
            return
        _, fault = self._guarded(_LOAD, self._sample_gpus)
        if fault is not None and _LOAD not in self._faulty:
            self._faulty.add(_LOAD)
            self._on_fault(f"the load of the GPUs is unknown: {fault!r}")

    def _guarded(self, i: int, call: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
        """Make a call that a driver may block, so that another thread can replace this one.

        Args:
            i: Number of the meter, or `_LOAD`.
            call: The call.

        Returns:
            Its result or its exception.

        Raises:
            _ReplacedError: Another thread has replaced this one meanwhile.
        """
        self._reading = (i, self._clock.monotonic_ns())
        fault: Exception | None = None
        result: _T | None = None
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - a meter's surprise must not end the others
            fault = error
        with self._turn:
            if self._reader != threading.get_ident():
                self._hand_back(i)
                raise _ReplacedError
            self._reading = None
        return result, fault

    def _report_fault(self, i: int, meter: Meter, fault: Exception) -> None:
        if i not in self._faulty:
            self._faulty.add(i)
            self._on_fault(f"cannot read {type(meter).__name__}: {fault!r}")
            self._silences.note_said(meter.devices)
        self._book_missing(meter)

    def _book_missing(self, meter: Meter) -> None:
        now_ns = self._clock.monotonic_ns()
        self._ledger.update(Reading(device.id, now_ns, None) for device in meter.devices)

    def _hand_back(self, i: int) -> None:
        """Schedule a meter that has returned late, or close it after the end."""
        self._stuck.discard(i)
        if i == _LOAD or self._meters is None:
            return
        if self._closed:
            self._close(self._meters[i])
        else:
            self._due_ns[i] = self._clock.monotonic_ns()

    def _resolve(self, mark: Mark) -> None:
        snapshot = self._ledger.snapshot(mark.t_ns)
        if mark.phase is not None:
            self._phases.enter(mark.phase, snapshot)
            self.trace.note_phase(mark.t_ns, mark.phase)
        self.latest = snapshot
        mark.resolve(snapshot)

    def _beat(self, now_ns: int) -> None:
        self.latest = self._ledger.snapshot(now_ns)
        self._next_heartbeat_ns = now_ns + self._heartbeat_ns
        try:
            self._on_heartbeat(self.latest)
        except Exception as error:  # noqa: BLE001 - a failing heartbeat must not end measuring
            self._on_fault(f"cannot report: {error!r}")

    def _close_meters(self) -> None:
        with self._turn:
            self._closed = True
            free = [m for i, m in enumerate(self._meters or ()) if i not in self._stuck]
        for meter in free:
            self._close(meter)
        self._close_late()

    def _close_late(self) -> None:
        while True:
            try:
                meter = self._late.get_nowait()
            except queue.Empty:
                return
            self._close(meter)

    def _close(self, meter: Meter) -> None:
        try:
            meter.close()
        except Exception as error:  # noqa: BLE001 - one that fails must not keep the others open
            self._on_fault(f"cannot close {type(meter).__name__}: {error!r}")


def _next_due_ns(meter: Meter, now_ns: int, age_ns: int) -> int:
    """Return when to read a meter again: after its period, at first sooner.

    The second reading comes early, because the energy before the first one is extrapolated from the
    power right after it. From then on the delay is at most three times the age of the run, so that a
    counter that is lost early has given a power to extrapolate with.

    Args:
        meter: The meter that was read.
        now_ns: Monotonic time.
        age_ns: Time since the search for meters began.
    """
    soon_ns = max(_SECOND_READING_NS, _LONGEST_DELAY_FACTOR * age_ns)
    return now_ns + min(units.nanoseconds(meter.period_s), soon_ns)
