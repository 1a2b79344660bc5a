"""The sampler thread: wakes, reads the meters that are due, books, resolves marks.

The training thread only ever appends a `Mark`. `queue.SimpleQueue` is the whole meeting point of the
two threads: its `put` takes no lock that Python code holds, so a mark costs about a microsecond, and
it wakes the sampler, which reads every meter at once and interpolates the totals to the mark's time.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.hardware.base import Meter
from carbon_core.ledger import Ledger
from carbon_core.records import Device, Energy, Reading, Snapshot, Window
from carbon_core.threads import LazyThread

_MAX_PHASES = 256
_SECOND_READING_NS = 100_000_000


class Mark:
    """The training thread's note: at this instant, this began.

    Attributes:
        t_ns: Monotonic time of the note in nanoseconds.
        phase: Name of the phase that begins here, or None for a mere instant.
        last: Whether the run ends here.
        snapshot: The totals at `t_ns`, once the sampler has resolved the mark.
    """

    __slots__ = ("_resolved", "last", "phase", "snapshot", "t_ns")

    def __init__(
        self,
        t_ns: int,
        phase: str | None = None,
        resolved: threading.Event | None = None,
        *,
        last: bool = False,
    ) -> None:
        self.t_ns = t_ns
        self.phase = phase
        self.last = last
        self.snapshot: Snapshot | None = None
        self._resolved = resolved

    def resolve(self, snapshot: Snapshot) -> None:
        """Attach the totals and let a waiting thread go on."""
        self.snapshot = snapshot
        if self._resolved is not None:
            self._resolved.set()

    def wait(self, timeout_s: float) -> Snapshot | None:
        """Wait for the totals, at most `timeout_s` seconds; None when they did not come."""
        if self._resolved is not None:
            self._resolved.wait(timeout_s)
        return self.snapshot


@dataclass
class PhaseTotal:
    """What the spans of one phase add up to.

    Attributes:
        name: The phase.
        duration_s: Seconds spent in it.
        energy: Joules by device.
        count: How often it was entered.
    """

    name: str
    duration_s: float = 0.0
    energy: dict[Device, Energy] | None = None
    count: int = 0

    def add(self, window: Window) -> None:
        """Add one more span of the phase."""
        energy = self.energy or {}
        for device, more in window.by_device().items():
            before = energy.get(device, Energy())
            energy[device] = Energy(*(a + b for a, b in zip(before, more)))
        self.energy = energy
        self.duration_s += window.duration_s
        self.count += 1

    @property
    def joules(self) -> float:
        """Joules of all devices in this phase."""
        return sum(energy.joules for energy in (self.energy or {}).values())


class Sampler:
    """Owns the ledger and the thread that writes it.

    Args:
        clock: Source of monotonic time.
        opened_ns: When the run began.
        first_phase: Name of the phase that the run begins with.
        detect: Finds the meters; called once, on the sampler's thread, for it may be slow.
        heartbeat_s: How often `on_heartbeat` is told the totals.
        on_heartbeat: Called on the sampler's thread with the totals; must return at once.
        on_fault: Told in words, once for each meter, what went wrong while reading.
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
    ) -> None:
        self.latest = Snapshot(opened_ns)
        self.phases: dict[str, PhaseTotal] = {}
        self.started = threading.Event()
        self._clock = clock
        self._detect = detect
        self._ledger = Ledger(opened_ns)
        self._meters: Sequence[Meter] = ()
        self._due_ns: list[int] = []
        self._marks: queue.SimpleQueue[Mark | None] = queue.SimpleQueue()
        self._phase = (first_phase, self.latest)
        self._heartbeat_ns = units.nanoseconds(heartbeat_s)
        self._next_heartbeat_ns = opened_ns + self._heartbeat_ns
        self._on_heartbeat = on_heartbeat
        self._on_fault = on_fault
        self._faulty: set[int] = set()
        self._ending = False
        self._thread = LazyThread(self._run, "carbon-sampler")

    # --- the training thread's side -----------------------------------------------------------

    def mark(self, mark: Mark) -> None:
        """Note an instant. Never blocks."""
        self._marks.put(mark)
        if not self._thread.exists:
            self.start()

    def start(self) -> bool:
        """Start the thread, if it is not there yet; tell whether the system allowed it."""
        return self._thread.start()

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
        """Return the totals carried on to an instant, for want of readings up to it.

        Called by other threads only while this one is stuck in a meter, and books nothing.
        """
        return self._ledger.snapshot(t_ns)

    # --- the sampler's side --------------------------------------------------------------------

    def begin(self) -> None:
        """Find the meters and read them for the first time."""
        self._meters = self._detect()
        for meter in self._meters:
            self._ledger.add_devices(meter.devices)
        # Every meter is due at once; any moment that has passed will do.
        self._due_ns = [self._clock.monotonic_ns()] * len(self._meters)
        self.step([])
        # Once more quite soon, whatever the period: what was drawn before the first reading is
        # reckoned from the power right after it, not from the mean of a long interval.
        soon_ns = self._clock.monotonic_ns() + _SECOND_READING_NS
        self._due_ns = [min(due_ns, soon_ns) for due_ns in self._due_ns]
        self.started.set()

    def step(self, marks: Sequence[Mark]) -> None:
        """Read what is due, book it and resolve the marks; for marks and heartbeats, read all."""
        now_ns = self._clock.monotonic_ns()
        due = self._next_heartbeat_ns <= now_ns or not self.started.is_set()
        beat = due or any(mark.last for mark in marks)
        for i, meter in enumerate(self._meters):
            if marks or beat or self._due_ns[i] <= now_ns:
                self._read(i, meter)
        if beat:
            self._beat(now_ns)
        for mark in marks:
            self._resolve(mark)

    def _run(self) -> None:
        try:
            if not self.started.is_set():
                self.begin()
            while (marks := self._wait()) is not None:
                self.step(marks)
        except Exception as error:  # noqa: BLE001 - the thread's guard: training must never see it
            self._on_fault(f"measuring stopped: {error!r}")
        finally:
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

    def _read(self, i: int, meter: Meter) -> None:
        try:
            self._ledger.update(meter.read())
        except Exception as error:  # noqa: BLE001 - a meter's surprise must not end the others
            if i not in self._faulty:
                self._faulty.add(i)
                self._on_fault(f"cannot read {type(meter).__name__}: {error!r}")
            now_ns = self._clock.monotonic_ns()
            self._ledger.update(Reading(device.id, now_ns, None) for device in meter.devices)
        self._due_ns[i] = self._clock.monotonic_ns() + units.nanoseconds(meter.period_s)

    def _resolve(self, mark: Mark) -> None:
        snapshot = self._ledger.snapshot(mark.t_ns)
        if mark.phase is not None:
            self._enter(mark.phase, snapshot)
        self.latest = snapshot
        mark.resolve(snapshot)

    def _enter(self, phase: str, snapshot: Snapshot) -> None:
        name, since = self._phase
        if name not in self.phases and len(self.phases) >= _MAX_PHASES:
            name = "(other)"
        self.phases.setdefault(name, PhaseTotal(name)).add(snapshot - since)
        self._phase = (phase, snapshot)

    def _beat(self, now_ns: int) -> None:
        self.latest = self._ledger.snapshot(now_ns)
        self._next_heartbeat_ns = now_ns + self._heartbeat_ns
        try:
            self._on_heartbeat(self.latest)
        except Exception as error:  # noqa: BLE001 - what is told to others must not end measuring
            self._on_fault(f"cannot report: {error!r}")

    def _close_meters(self) -> None:
        for meter in self._meters:
            try:
                meter.close()
            except Exception as error:  # noqa: BLE001 - one that fails must not keep the others open
                self._on_fault(f"cannot close {type(meter).__name__}: {error!r}")
        self._meters = ()
