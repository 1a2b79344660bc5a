"""The driver's library: opened once for all meters, and anew when no board answers any more."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from carbon_core import units
from carbon_core.hardware.nvml.board import Board

# Looked for at most so often: opening a broken driver can take seconds.
_RETRY_NS = units.nanoseconds(30.0)
# A single failed reading is no loss.
_FAILURES = 2


class Session:
    """One use of NVML, which counts its users.

    Args:
        nvml: The pynvml module.

    Raises:
        pynvml.NVMLError: The library or the driver is not there.
    """

    def __init__(self, nvml: Any) -> None:
        nvml.nvmlInit()
        self.nvml = nvml
        self._boards: tuple[Board, ...] = ()
        self._holders = 0
        self._open = True
        self._tried_ns: int | None = None

    def hold(self, boards: Sequence[Board]) -> None:
        """Note one more meter that uses the library."""
        self._holders += 1
        self._boards += tuple(boards)

    def release(self) -> None:
        """Note that a meter is done; after the last one the library is let go of."""
        self._holders -= 1
        if self._holders <= 0:
            self.shut_down()

    def shut_down(self) -> None:
        """Let go of the library."""
        if self._open:
            self._open = False
            with contextlib.suppress(self.nvml.NVMLError):
                self.nvml.nvmlShutdown()

    def revive(self, now_ns: int) -> None:
        """Look for lost boards under their names, now and then; they may have come back.

        The library is opened anew only when all boards are lost: one that is well would go with the
        others should the driver refuse.
        """
        lost = [board for board in self._boards if board.failures >= _FAILURES]
        tried_lately = self._tried_ns is not None and now_ns - self._tried_ns < _RETRY_NS
        if not lost or tried_lately:
            return
        self._tried_ns = now_ns
        with contextlib.suppress(self.nvml.NVMLError):
            if len(lost) == len(self._boards):
                self.shut_down()
                self.nvml.nvmlInit()
                self._open = True
            for board in lost:
                board.handle = self.nvml.nvmlDeviceGetHandleByUUID(board.uuid)
