"""The NVML session: opened once for all meters, and reopened when every GPU is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carbon_core import units
from carbon_core.hardware.driver_calls import attempt
from carbon_core.hardware.nvml.board import Board

# Minimum time between two attempts: opening a broken driver can take seconds.
_RETRY_NS = units.nanoseconds(30.0)
# A GPU counts as lost after as many failed readings in a row.
_FAILURES = 2


class Session:
    """An open NVML library, shared by several meters.

    Args:
        nvml: The pynvml module.

    Raises:
        Exception: The library or the driver is not available.
    """

    def __init__(self, nvml: Any) -> None:
        nvml.nvmlInit()
        self.nvml = nvml
        self._boards: tuple[Board, ...] = ()
        self._holders = 0
        self._open = True
        self._last_attempt_ns: int | None = None

    def hold(self, boards: Sequence[Board]) -> None:
        """Register a meter that uses the library."""
        self._holders += 1
        self._boards += tuple(boards)

    def release(self) -> None:
        """Unregister a meter; the last one shuts the library down."""
        self._holders -= 1
        if self._holders <= 0:
            self.shut_down()

    def shut_down(self) -> None:
        """Shut the library down."""
        if self._open:
            self._open = False
            attempt(lambda: self.nvml.nvmlShutdown(), None)  # noqa: PLW0108 - looked up within

    def reconnect(self, now_ns: int) -> None:
        """Get new handles of lost GPUs by their UUIDs or indices; at most every 30 s.

        The library is reopened only when all GPUs are lost: if that failed, working ones would be
        lost, too.
        """
        lost = [board for board in self._boards if board.failures >= _FAILURES]
        too_early = self._last_attempt_ns is not None and now_ns - self._last_attempt_ns < _RETRY_NS
        if not lost or too_early:
            return
        self._last_attempt_ns = now_ns
        if len(lost) == len(self._boards):
            self.shut_down()
            self._open = attempt(self._reopen, False)
        for board in lost:
            board.handle = attempt(board.find, board.handle)

    def _reopen(self) -> bool:
        self.nvml.nvmlInit()
        return True
