"""When the boards of an NVIDIA driver are read one after the other, and when at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from carbon_core import units
from carbon_core.hardware.nvml.board import Board, Readout
from carbon_core.hardware.nvml.meter import NvmlMeter
from carbon_core.methods import NVML_ENERGY
from carbon_core.testing import FakeClock, fake_device

MS = 1e-3


class NoSession:
    """A library without anything to reconnect."""

    nvml = None

    def hold(self, boards: object) -> None:
        """Do nothing."""

    def reconnect(self, now_ns: int) -> None:
        """Do nothing."""


class Driver:
    """A driver of eight boards; notes the threads that read them."""

    def __init__(self, span_s: Callable[[int, int], float]) -> None:
        self.clock = FakeClock()
        self.span_s = span_s
        self.reads = -1
        self.threads: set[threading.Thread] = set()
        readout = Readout(NVML_ENERGY, "counter", self.joules, "energy counter")
        boards = [
            Board(fake_device("gpu", str(i)), i, readout, find=lambda: None) for i in range(8)
        ]
        self.meter = NvmlMeter(NoSession(), boards, self.clock, 1.0)  # type: ignore[arg-type]

    def joules(self, board: int) -> float:
        """Return a board's joules after its call's span."""
        self.threads.add(threading.current_thread())
        self.clock.advance(self.span_s(self.reads, board))
        return 300.0 * units.seconds(self.clock.monotonic_ns())

    def is_parallel(self) -> bool:
        """Read all boards; return whether each was read on a thread of its own."""
        self.reads += 1
        self.threads.clear()
        assert len(self.meter.read()) == 8
        assert len(self.threads) in (1, 8)
        return len(self.threads) == 8


def test_boards_of_a_slow_driver_are_read_at_the_same_time_until_it_is_quick() -> None:
    driver = Driver(lambda read, board: 5 * MS if read < 3 else 0.05 * MS)
    assert [driver.is_parallel() for _ in range(6)] == [False, True, True, True, False, False]


def test_a_single_slow_board_holds_up_no_other() -> None:
    driver = Driver(lambda read, board: 100 * MS if board == 3 else 0.05 * MS)
    assert [driver.is_parallel() for _ in range(3)] == [False, True, True]


def test_a_driver_is_not_slow_because_a_busy_machine_interrupts_one_call() -> None:
    # Another board is held up at each reading, for as long as a process has the processor.
    driver = Driver(lambda read, board: 30 * MS if read and board == read % 8 else 0.05 * MS)
    assert [driver.is_parallel() for _ in range(20)] == [False] * 20
