"""The NVML meter: reads GPUs that share a period."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.hardware.base import Promotion
from carbon_core.hardware.driver_calls import attempt
from carbon_core.hardware.nvml.board import Board, Readout, method_of, utilization
from carbon_core.hardware.nvml.retries import Retries
from carbon_core.hardware.nvml.session import Session
from carbon_core.hardware.nvml.sharing import GpuSharing
from carbon_core.hardware.read_timer import ReadTimer
from carbon_core.record import replace
from carbon_core.records import Device, Reading, Refusal
from carbon_core.threads import in_parallel

# GPUs that take longer in total are read in parallel: otherwise a mark would wait for all of them.
SLOW_NS = units.nanoseconds(0.01)
# GPUs update their power reading every 20 to 100 ms (Yang et al., SC'24).
POLL_PERIOD_S = 0.1
_PROMOTED = "this call failed at the start of the run, and is used since it works"


class NvmlMeter:
    """Reads GPUs that share a period.

    Args:
        session: The open library.
        boards: The GPUs.
        clock: Source of the readings' times.
        period_s: Longest time between two reads in seconds.
        is_slow: Read the GPUs in parallel for the first time; after that, their own calls decide.
        retries: Better calls of some boards, which failed at the start.
    """

    def __init__(
        self,
        session: Session,
        boards: Sequence[Board],
        clock: Clock,
        period_s: float,
        *,
        is_slow: bool = False,
        retries: Sequence[Retries] = (),
    ) -> None:
        self.devices = tuple(board.device for board in boards)
        self._period_s = period_s
        self.dropped: tuple[Refusal, ...] = ()
        self.boards = tuple(boards)
        self.nvml = session.nvml
        self._session = session
        self._clock = clock
        self._timers = [ReadTimer(clock) for _ in boards]
        self._open = True
        self._is_slow = is_slow
        self._retries = list(retries)
        session.hold(boards)

    @property
    def period_s(self) -> float:
        """Longest time between two reads; shorter where power is polled."""
        is_polled = any(board.is_polled for board in self.boards)
        return min(self._period_s, POLL_PERIOD_S) if is_polled else self._period_s

    def read(self) -> list[Reading]:
        """Read every GPU; the time of a reading is the middle of its undisturbed call."""
        readings: list[Reading] = []
        if self._is_slow:
            calls = [
                partial(_read_into, readings, *pair) for pair in zip(self.boards, self._timers)
            ]
            in_parallel(calls, "carbon-gpu")
        else:
            readings += map(Board.read, self.boards, self._timers)
        # By each call, not by the whole: a busy machine takes the processor for longer than a driver's.
        spans_ns = sum(timer.recent_ns for timer in self._timers)
        self._is_slow = spans_ns > SLOW_NS and len(readings) > 1
        if any(board.failures for board in self.boards):
            self._session.reconnect(self._clock.monotonic_ns())
        return readings

    def promoted(self) -> Sequence[Promotion]:
        """Return the GPUs whose better call works now."""
        found: list[Promotion] = []
        for one in self._retries:
            if (answer := one.answer()) is not None:
                device, readout = one.board.device, answer.readout
                notes = (device.note, "" if _PROMOTED in device.note else _PROMOTED)
                note = "; ".join(filter(None, notes))
                device = replace(
                    device, method=method_of(device.name, readout), kind=readout.kind, note=note
                )
                use = partial(self._use, one, readout, device)
                found.append(Promotion(device, answer.readings, use))
        return found

    def _use(self, retries: Retries, readout: Readout, device: Device) -> None:
        if not retries.keep_better(readout):
            self._retries.remove(retries)
        retries.board.use(readout, device)

    def utilization_percent(self) -> dict[str, float]:
        """Return the utilisation of the GPUs in percent by device; without those that report none."""
        found = {
            board.device.id: attempt(partial(utilization, self.nvml, board.handle), None)
            for board in self.boards
        }
        return {name: 100.0 * load for name, load in found.items() if load is not None}

    def sharing(self, is_own: Callable[[int], bool]) -> GpuSharing:
        """Return a sampler of other users' processes on the GPUs.

        Args:
            is_own: True for the ids of processes that belong to the job.
        """
        return GpuSharing(self.nvml, self.boards, is_own)

    def close(self) -> None:
        """Release the library; the last meter closes it."""
        if self._open:
            self._open = False
            self._session.release()


def _read_into(readings: list[Reading], board: Board, timer: ReadTimer) -> None:
    readings.append(board.read(timer))
