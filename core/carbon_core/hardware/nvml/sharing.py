"""Other users' processes on the counted GPUs, whose energy no meter can separate.

The energy of the whole GPU is counted. Where other users' processes were seen, the job's share of the
multiprocessors' utilisation is the lower bound of its share of the energy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from carbon_core.hardware.driver_calls import attempt
from carbon_core.hardware.nvml.board import Board
from carbon_core.plausible import number


class _Use:
    """Utilisation of one GPU in percent of its multiprocessors, summed over the samples."""

    def __init__(self) -> None:
        self.own = self.all = 0.0
        self.has_others = False
        self.seen_us = 0


class GpuSharing:
    """Samples which processes use the GPUs.

    Args:
        nvml: The pynvml module, initialised.
        boards: The GPUs that are counted.
        is_own: True for the ids of processes that belong to the job.
    """

    def __init__(self, nvml: Any, boards: Sequence[Board], is_own: Callable[[int], bool]) -> None:
        self._nvml = nvml
        self._uses = [(board, _Use()) for board in boards]
        self._is_own = is_own

    def sample(self) -> None:
        """Take one sample; a GPU whose driver returns an error keeps its sums."""
        for board, use in self._uses:
            attempt(partial(self._sample_board, board, use), None)

    def least_shares(self) -> Mapping[str, float]:
        """Return the lowest possible share of the job (0 to 1), by device, where other users were seen.

        0 where the driver does not report the utilisation by process.
        """
        return {
            board.device.id: use.own / use.all if use.all else 0.0
            for board, use in self._uses
            if use.has_others
        }

    def _sample_board(self, board: Board, use: _Use) -> None:
        processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(board.handle)
        use.has_others |= any(not self._is_own(process.pid) for process in processes)
        # Samples before the first foreign process count, too: the share is that of the whole run.
        samples = self._nvml.nvmlDeviceGetProcessUtilization(board.handle, use.seen_us)
        for sample in samples:
            used_percent = number(sample.smUtil, 0.0, 100.0)
            if used_percent is None:
                continue
            use.seen_us = max(use.seen_us, sample.timeStamp)
            use.all += used_percent
            use.own += used_percent if self._is_own(sample.pid) else 0.0
