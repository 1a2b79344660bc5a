"""Reads the meters that are due into the ledger, on a thread that another one can replace.

A driver may hang. `MeterReader.replace`, called from another thread, then sets the blocked meter aside;
its thread ends once the driver returns, and the meter is read again.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.hardware.base import Meter, promotions_of
from carbon_core.ledger import Ledger
from carbon_core.records import Reading
from carbon_core.sampler.silences import Silences

_SECOND_READING_NS = 100_000_000
_LONGEST_DELAY_FACTOR = 3
_NEVER_NS = 2**63
# A meter that takes longer is read after the others.
_SLOW_NS = 10_000_000
_T = TypeVar("_T")


class ReplacedError(Exception):
    """Another thread has replaced this one, which was blocked in a meter."""


class MeterReader:
    """Owns the meters of a run.

    Args:
        clock: Source of monotonic time.
        ledger: Gets the readings.
        on_fault: Callback that receives a message when a meter fails; once for each meter.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        on_fault: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._on_fault = on_fault
        self._meters: list[Meter] = []
        self._due_ns: list[int] = []
        self._joined_ns: list[int] = []
        # Whether the last read took long, and the meter's place among the others: lowest first.
        self._haste: list[tuple[bool, bool, bool]] = []
        # Numbers of meters with their readings or their fault.
        self._unbooked: deque[tuple[int, Sequence[Reading] | None, Exception | None]] = deque()
        self._late: queue.SimpleQueue[Meter] = queue.SimpleQueue()
        # Guards the reading thread's id, and the meter that it reads with the time when it began.
        # Re-entrant: the garbage collector may close a forgotten run on the thread that holds it.
        self._turn = threading.RLock()
        self._thread_id = 0
        self._reading: tuple[int, int] | None = None
        self._stuck: set[int] = set()
        self._faulty: set[int] = set()
        self._silences = Silences(on_fault)
        self._closed = False

    # --- called by other threads ---------------------------------------------------------------

    def add(self, meters: Iterable[Meter]) -> bool:
        """Add meters that were found late; return False where they were closed, after the end."""
        with self._turn:
            for meter in meters:
                self._late.put(meter)
            is_open = not self._closed
        if not is_open:
            self._close_late()
        return is_open

    def replace(self, timeout_s: float) -> str | None:
        """Set a meter aside that has been blocking the reading thread for `timeout_s` seconds.

        Returns:
            A message for the user, where another thread is to take over; else None.
        """
        with self._turn:
            if self._reading is None:
                return None
            i, since_ns = self._reading
            if self._clock.monotonic_ns() - since_ns < units.nanoseconds(timeout_s):
                return None
            self._reading, self._thread_id = None, 0
            self._stuck.add(i)
            self._due_ns[i] = _NEVER_NS
            self._book_missing(self._meters[i])
            self._silences.note_said(self._meters[i].devices)
            name = type(self._meters[i]).__name__
        return f"{name} does not respond: its last power is extrapolated, the other meters continue"

    # --- the reading thread --------------------------------------------------------------------

    def take_over(self) -> None:
        """Make the calling thread the reading one."""
        self._thread_id = threading.get_ident()

    def use(
        self, meters: Iterable[Meter], early: Iterable[Reading] = (), since_ns: int = 0
    ) -> None:
        """Add meters, which are due at once.

        Args:
            meters: The meters.
            early: Readings of theirs that were made before.
            since_ns: Monotonic time when the search for them began.
        """
        for meter in meters:
            self._ledger.add_devices(meter.devices)
            if getattr(meter, "reports_failures", False):
                self._silences.note_reporting(meter.devices)
            self._meters.append(meter)
            now_ns = self._clock.monotonic_ns()
            self._joined_ns.append(since_ns or now_ns)
            self._due_ns.append(now_ns)
            self._haste.append((False, *_place(meter)))
        known = {device.id for meter in self._meters for device in meter.devices}
        self._ledger.update(reading for reading in early if reading.device_id in known)

    @property
    def due_ns(self) -> int:
        """When the next meter is due."""
        return min(self._due_ns, default=_NEVER_NS)

    def read(self, now_ns: int, *, all_meters: bool) -> None:
        """Read the meters that are due, or all of them."""
        while not self._late.empty():
            self.use([self._late.get()])
        for i in sorted(range(len(self._meters)), key=self._haste.__getitem__):
            if i not in self._stuck and (all_meters or self._due_ns[i] <= now_ns):
                self._unbooked.append((i, *self._guarded(i, self._meters[i].read)))
        self._book()

    def warn_about_silence(self, *, is_last: bool) -> None:
        """Warn about devices without a reading.

        Args:
            is_last: Whether the run ends here.
        """
        self._silences.check(self._ledger, is_last=is_last)

    def close(self) -> None:
        """Close the meters; one that is blocked is closed once its driver returns."""
        with self._turn:
            self._closed = True
            free = [meter for i, meter in enumerate(self._meters) if i not in self._stuck]
        for meter in free:
            self._close(meter)
        self._close_late()

    def _book(self) -> None:
        """Book what was read, after the last meter: none waits for the accounts of another."""
        while self._unbooked:
            self._book_one(*self._unbooked.popleft())

    def _book_one(
        self, i: int, readings: Sequence[Reading] | None, fault: Exception | None
    ) -> None:
        meter = self._meters[i]
        try:
            if fault is not None:
                raise fault
            self._ledger.update(readings or ())
            self._promote(i, meter)
        except ReplacedError:
            raise
        except Exception as error:  # noqa: BLE001 - nor must a reading of an unknown device
            self._report_fault(i, meter, error)
        now_ns = self._clock.monotonic_ns()
        self._due_ns[i] = _next_due_ns(meter, now_ns, now_ns - self._joined_ns[i])

    def _promote(self, i: int, meter: Meter) -> None:
        """Book the devices of a meter by the better method that reads them from now on."""
        if not hasattr(meter, "promoted"):
            return
        found, fault = self._guarded(i, partial(promotions_of, meter))
        if fault is not None:
            raise fault
        for promotion in found or ():
            promotion.use()
            self._ledger.promote(promotion.device)
            self._ledger.update(promotion.readings)

    def _guarded(self, i: int, call: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
        """Make a call that a driver may block, so that another thread can replace this one.

        Args:
            i: Number of the meter.
            call: The call.

        Returns:
            Its result or its exception.

        Raises:
            ReplacedError: Another thread has replaced this one meanwhile.
        """
        self._reading = (i, began_ns := self._clock.monotonic_ns())
        fault: Exception | None = None
        result: _T | None = None
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - a meter's surprise must not end the others
            fault = error
        with self._turn:
            if self._thread_id != threading.get_ident():
                self._hand_back(i)
                raise ReplacedError
            self._reading = None
        is_slow = self._clock.monotonic_ns() - began_ns > _SLOW_NS
        self._haste[i] = (is_slow, *self._haste[i][1:])
        return result, fault

    def _hand_back(self, i: int) -> None:
        """Schedule a meter that has returned late, or close it after the end."""
        self._stuck.discard(i)
        if self._closed:
            self._close(self._meters[i])
        else:
            self._due_ns[i] = self._clock.monotonic_ns()

    def _report_fault(self, i: int, meter: Meter, fault: Exception) -> None:
        if i not in self._faulty:
            self._faulty.add(i)
            self._on_fault(f"cannot read {type(meter).__name__}: {fault!r}")
            self._silences.note_said(meter.devices)
        self._book_missing(meter)

    def _book_missing(self, meter: Meter) -> None:
        now_ns = self._clock.monotonic_ns()
        self._ledger.update(Reading(device.id, now_ns, None) for device in meter.devices)

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


def _place(meter: Meter) -> tuple[bool, bool]:
    """Return a meter's place among those that are read for a mark, lowest first.

    Each is late by the reads before it. That costs most where the power changes most, and counters are
    not read as often as power.
    """
    devices = meter.devices
    is_counter = any(device.kind == "counter" for device in devices)
    is_gpu = any(device.component == "gpu" for device in devices)
    return not is_counter, not is_gpu


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
