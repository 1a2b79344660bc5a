"""Better calls of a board that failed at the start: tried again and used once they work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.hardware.driver_calls import attempt
from carbon_core.hardware.nvml.board import Board, Readout
from carbon_core.plausible import number
from carbon_core.records import Reading

_FIRST_NS = units.nanoseconds(1.0)
# A call that never works costs one call a minute.
_LONGEST_NS = units.nanoseconds(60.0)


class Answer(NamedTuple):
    """A call that works now.

    Attributes:
        readout: The call.
        readings: What it gave; for a counter two values, between which it has moved.
    """

    readout: Readout
    readings: tuple[Reading, ...]


class Retries:
    """The calls of one board that are better than the one in use and failed by chance.

    Args:
        board: The board.
        better: The calls, from best to worst.
        clock: Source of the readings' times.
    """

    def __init__(self, board: Board, better: Sequence[Readout], clock: Clock) -> None:
        self.board = board
        self._better = better
        self._clock = clock
        self._delay_ns = _FIRST_NS
        self._due_ns = clock.monotonic_ns() + _FIRST_NS
        self._seen: Reading | None = None

    def keep_better(self, readout: Readout) -> bool:
        """Keep the calls that are better than one that is used now; return whether there are any."""
        self._better = self._better[: self._better.index(readout)]
        return bool(self._better)

    def answer(self) -> Answer | None:
        """Try the calls where that is due; return the first one that works."""
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._due_ns:
            return None
        self._delay_ns = min(_LONGEST_NS, 2 * self._delay_ns)
        self._due_ns = now_ns + self._delay_ns
        for readout in self._better:
            if (reading := self._read(readout)) is None:
                continue
            self._due_ns = now_ns + _FIRST_NS
            if readout.kind == "power":
                return Answer(readout, (reading,))
            before, self._seen = self._seen, reading
            if before is not None and self._has_moved(before, reading):
                return Answer(readout, (before, reading))
            break
        return None

    def _read(self, readout: Readout) -> Reading | None:
        began_ns = self._clock.monotonic_ns()
        value = number(attempt(lambda: readout.call(self.board.handle), None))
        t_ns = (began_ns + self._clock.monotonic_ns()) // 2
        return Reading(self.board.device.id, t_ns, value) if value else None

    def _has_moved(self, before: Reading, after: Reading) -> bool:
        joules = (after.value or 0.0) - (before.value or 0.0)
        most_j = self.board.device.max_power_w * units.seconds(after.t_ns - before.t_ns)
        return 0.0 < joules <= most_j
