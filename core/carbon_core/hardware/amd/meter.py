"""The AMD meter: reads GPUs that share a period."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from carbon_core.clock import Clock
from carbon_core.hardware.amd.answers import joules, load_percent, watts
from carbon_core.hardware.driver_calls import attempt
from carbon_core.hardware.read_timer import ReadTimer
from carbon_core.hardware.still_counter import StillCounter
from carbon_core.record import field, record
from carbon_core.records import Device, Reading, Refusal

# The firmware updates its counter at least every second.
STILL_S = 2.0


@record(frozen=True)
class AmdBoard:
    """A GPU that is read.

    Attributes:
        device: The GPU as a device of the ledger.
        handle: amdsmi's handle.
        still: Detects that its counter stands still.
    """

    device: Device
    handle: Any
    still: StillCounter = field(default_factory=lambda: StillCounter(STILL_S))


class AmdMeter:
    """Reads GPUs that share a period.

    Attributes:
        devices: The GPUs as devices of the ledger.
        period_s: As given.
        dropped: GPUs that were found and are not used, each with the reason.

    Args:
        smi: The amdsmi module, initialised.
        boards: The GPUs, all with counters or all polled.
        clock: Source of the readings' times.
        period_s: Longest time between two reads in seconds.
        library: The library, registered with while the meter is open.
    """

    def __init__(
        self,
        smi: Any,
        boards: Sequence[AmdBoard],
        clock: Clock,
        period_s: float,
        library: Library,
    ) -> None:
        self.devices = tuple(board.device for board in boards)
        self.period_s = period_s
        self.dropped: Sequence[Refusal] = ()
        self._smi = smi
        self._boards = tuple(boards)
        self._timers = {board.device.id: ReadTimer(clock) for board in boards}
        self._library = library
        self._open = True
        library.hold()

    def read(self) -> list[Reading]:
        """Read every GPU; the time of a reading is the middle of its undisturbed call."""
        return [self._reading(board) for board in self._boards]

    def utilization_percent(self) -> dict[str, float]:
        """Return the utilisation of the GPUs in percent by device; without those that report none."""
        found = {one.device.id: load_percent(self._smi, one.handle) for one in self._boards}
        return {name: load for name, load in found.items() if load is not None}

    def sharing(self, is_own: Callable[[int], bool]) -> None:
        """Return None: amdsmi does not report how much each process uses a GPU."""

    def close(self) -> None:
        """Release the library; the last meter closes it."""
        if self._open:
            self._open = False
            self._library.release()

    def _reading(self, board: AmdBoard) -> Reading:
        is_counter = board.device.kind == "counter"
        call = joules if is_counter else watts
        timer = self._timers[board.device.id]
        t_ns, value = timer.read(partial(call, self._smi, board.handle))
        if is_counter and value is not None and board.still.stands_still(value, t_ns):
            return Reading(board.device.id, t_ns, value, power_w=watts(self._smi, board.handle))
        return Reading(board.device.id, t_ns, value)


class Library:
    """The open amdsmi library; shut down by its last user."""

    def __init__(self, smi: Any) -> None:
        self._smi = smi
        self._users = 0

    def hold(self) -> None:
        """Register a user."""
        self._users += 1

    def release(self) -> None:
        """Unregister a user; the last one shuts the library down."""
        self._users -= 1
        if self._users <= 0:
            attempt(lambda: self._smi.amdsmi_shut_down(), None)  # noqa: PLW0108 - looked up within
