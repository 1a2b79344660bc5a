"""The sampler thread: wakes up, reads the meters that are due, updates the ledger, resolves marks.

The training thread only appends a `Mark` to a `queue.SimpleQueue`, the one object that both threads
share: its `put` takes no lock that Python code holds, so a mark costs about a microsecond. It wakes the
sampler, which reads every meter at once and interpolates the totals to the mark's time.

A driver may hang. `Sampler.rescue`, called from another thread, then abandons the thread with its meter
and continues with the other meters on a new one; if the driver returns later, its meter is read again.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Mapping, Sequence

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.hardware.base import Meter
from carbon_core.ledger import Ledger
from carbon_core.records import Reading, Snapshot
from carbon_core.sampler.load_query import LoadQuery
from carbon_core.sampler.mark import Mark
from carbon_core.sampler.meter_reader import MeterReader, ReplacedError
from carbon_core.sampler.phases import Phases, PhaseTotal
from carbon_core.sampler.silences import FAILURES
from carbon_core.sampler.trace import Trace
from carbon_core.threads import Latch, LazyThread


class Sampler:
    """Owns the ledger and the thread that writes it.

    Attributes:
        started: Set once the first readings are in.
        trace: Trace data since the last heartbeat.

    Args:
        clock: Source of monotonic time.
        opened_ns: When the run began.
        first_phase: Name of the phase that the run begins with.
        detect: Finds the meters; called once, on the sampler's thread, for it may be slow.
        heartbeat_s: Seconds between two calls of `on_heartbeat`.
        on_heartbeat: Called on the sampler's thread with the totals, for the first time right after the
            first readings.
        on_fault: Callback that receives a message when a meter fails; once for each meter.
        sample_gpus: Called at each heartbeat for the load of the GPUs; a driver may block it.
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
        self._latest = Snapshot(opened_ns)
        self._phases = Phases(first_phase, self._latest)
        self.started = Latch()
        self._clock = clock
        self._detect = detect
        self._ledger = Ledger(opened_ns)
        self._has_meters = False
        self._early: Sequence[Reading] = ()
        self._reader = MeterReader(clock, self._ledger, on_fault)
        self._load = LoadQuery(sample_gpus, on_fault)
        self._pending: Sequence[Mark] = ()
        self._marks: queue.SimpleQueue[Mark | None] = queue.SimpleQueue()
        self._heartbeat_ns = units.nanoseconds(heartbeat_s)
        self._next_heartbeat_ns = opened_ns
        self.trace = Trace(opened_ns, first_phase, self._heartbeat_ns)
        self._on_heartbeat = on_heartbeat
        self._on_fault = on_fault
        self._ending = self._over = False
        self._thread = LazyThread(self._run, "carbon-sampler")

    # --- called by other threads ---------------------------------------------------------------

    def mark(self, mark: Mark) -> None:
        """Queue a mark. Never blocks."""
        self._marks.put(mark)
        if not self._thread.exists:
            self.start()

    def add(self, meters: Iterable[Meter]) -> None:
        """Add meters that were found after the start; they are closed at once after the end."""
        if self._reader.add(meters):
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
        return self._phases.ended(self._ledger.openings())

    @property
    def latest(self) -> Snapshot:
        """The totals that were resolved last."""
        return self.completed(self._latest)

    def completed(self, mark: Snapshot) -> Snapshot:
        """Return a mark's totals with what is known by now of the time before first readings."""
        return self._ledger.completed(mark)

    @property
    def awaits_power(self) -> bool:
        """Whether first readings are to come that add to windows that have ended."""
        return self._ledger.awaits_power(FAILURES)

    @property
    def alive(self) -> bool:
        """Whether the thread is still running."""
        return self._thread.alive

    def stop(self, timeout_s: float) -> None:
        """End the thread after the marks that came before, waiting at most `timeout_s` seconds."""
        self._marks.put(None)
        if not self._thread.run_instead():
            self._thread.join(timeout_s)

    def carried_to(self, t_ns: int) -> Snapshot:
        """Return the totals extrapolated to an instant after the last readings; changes nothing.

        For other threads, while this one is blocked in a meter.
        """
        return self._ledger.snapshot(t_ns)

    def rescue(self, timeout_s: float) -> None:
        """Continue without a meter whose read has been blocking for `timeout_s` seconds.

        For any other thread. Does nothing while the sampler works.
        """
        text = self._reader.replace(timeout_s)
        if text is not None:
            self._thread = LazyThread(self._run, "carbon-sampler")
            self._on_fault(text)
            self.start()

    # --- the sampler thread --------------------------------------------------------------------

    def begin(self) -> None:
        """Find the meters and read them for the first time."""
        self._reader.take_over()
        if not self._has_meters:
            began_ns = self._clock.monotonic_ns()
            meters = self._detect()
            self._has_meters = True
            self._reader.use(meters, self._early, began_ns)
        self.step(self._pending)

    def step(self, marks: Sequence[Mark]) -> None:
        """Read the meters that are due, update the ledger and resolve marks; for marks, read all."""
        self._pending = marks
        now_ns = self._clock.monotonic_ns()
        beat = self._next_heartbeat_ns <= now_ns or any(mark.last for mark in marks)
        self._reader.read(now_ns, all_meters=bool(marks) or beat)
        self.started.set()
        # Those who wait for a mark wait for nothing but readings.
        last = [mark for mark in marks if mark.last]
        self._resolve(mark for mark in marks if not mark.last)
        self._pending = last
        if self.trace.is_due(now_ns):
            self.trace.note_readings(now_ns, self._ledger.readings())
        if beat:
            self._reader.warn_about_silence(is_last=bool(last))
            self._load.make(is_last=bool(last))
            self._beat(now_ns)
        self._resolve(last)
        self._pending = ()

    def _run(self) -> None:
        if self._over:
            return  # a run that was stopped within its start
        try:
            self.begin()
            while (marks := self._wait()) is not None:
                self.step(marks)
        except ReplacedError:
            return
        except Exception as error:  # noqa: BLE001 - the thread's guard: training must never see it
            self._on_fault(f"measuring stopped: {error!r}")
        self._over = True
        self._reader.close()

    def _wait(self) -> list[Mark] | None:
        """Sleep until a meter is due or marks arrive; None when it is time to end."""
        due_ns = min(self._reader.due_ns, self._next_heartbeat_ns)
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

    def _resolve(self, marks: Iterable[Mark]) -> None:
        for mark in marks:
            snapshot = self._ledger.mark(mark.t_ns)
            if mark.phase is not None:
                self._phases.enter(mark.phase, snapshot)
                self.trace.note_phase(mark.t_ns, mark.phase)
            self._latest = snapshot
            mark.resolve(snapshot)

    def _beat(self, now_ns: int) -> None:
        self._latest = self._ledger.mark(now_ns)
        self._next_heartbeat_ns = now_ns + self._heartbeat_ns
        try:
            self._on_heartbeat(self.latest)
        except Exception as error:  # noqa: BLE001 - a failing heartbeat must not end measuring
            self._on_fault(f"cannot report: {error!r}")
