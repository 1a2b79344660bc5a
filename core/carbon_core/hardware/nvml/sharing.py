"""Other people's processes on the boards that are counted: no meter tells the users apart.

The whole board's energy is counted. Where others were seen on it, the share of its multiprocessors'
work that was surely this job's is the least that can be its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from carbon_core.hardware.nvml.board import Board


class _Use:
    """What was seen on one board so far, in percent of its multiprocessors, summed over looks."""

    def __init__(self) -> None:
        self.own = self.all = 0.0
        self.others = False
        self.seen_us = 0


class GpuSharing:
    """Looks who uses the boards, seldom.

    Args:
        nvml: The pynvml module, initialised.
        boards: The boards that are counted.
        is_own: Tells whether a process id is the job's.
    """

    def __init__(self, nvml: Any, boards: Sequence[Board], is_own: Callable[[int], bool]) -> None:
        self._nvml = nvml
        self._uses = [(board, _Use()) for board in boards]
        self._is_own = is_own

    def look(self) -> None:
        """Look once. A board that does not tell is left as it was."""
        for board, use in self._uses:
            with contextlib.suppress(self._nvml.NVMLError):
                self._look_at(board, use)

    def least_shares(self) -> Mapping[str, float]:
        """Return the least share (0 to 1) that is the job's own, by device, where others were seen.

        0 where the driver does not tell how much each process worked.
        """
        return {
            board.device.id: use.own / use.all if use.all else 0.0
            for board, use in self._uses
            if use.others
        }

    def _look_at(self, board: Board, use: _Use) -> None:
        processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(board.handle)
        use.others |= any(not self._is_own(process.pid) for process in processes)
        # What was done before the first foreign process counts, too: its share needs the whole run.
        samples = self._nvml.nvmlDeviceGetProcessUtilization(board.handle, use.seen_us)
        for sample in samples:
            use.seen_us = max(use.seen_us, sample.timeStamp)
            use.all += sample.smUtil
            use.own += sample.smUtil if self._is_own(sample.pid) else 0.0
