"""Looks for GPUs on a thread of its own: a driver that hangs must not hold up the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.amd.meter import AmdMeter
from carbon_core.hardware.amd.search import open_amd
from carbon_core.hardware.nvml.meter import NvmlMeter
from carbon_core.hardware.nvml.search import open_nvml
from carbon_core.records import Refusal
from carbon_core.threads import LazyThread

GPU_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
)
# A healthy driver answers within a second, also after a cold start of eight boards.
_GPU_SEARCH_S = 5.0
# The driver of AMD's compute boards is loaded.
_KFD = "sys/class/kfd"
GpuMeter = NvmlMeter | AmdMeter
_NVML, _AMD = "nvml", "amdsmi"
_NAMES = {_NVML: "NVML", _AMD: "amdsmi"}


class GpuSearch:
    """Looks for NVIDIA's boards and, where there are none, for AMD's.

    Args:
        root: Directory that holds ``sys``.
        clock: Source of the readings' times.
        period_s: Wanted time between two reads of a counter, in seconds.
        gpu_ids: The user's choice of GPUs, or None.
        environ: The variables of the environment that choose GPUs (`GPU_VARIABLES`).
        on_problem: Told in words what the user should know.
    """

    def __init__(
        self,
        root: Path,
        clock: Clock,
        period_s: float,
        gpu_ids: Sequence[int | str] | None,
        environ: Mapping[str, str],
        on_problem: Callable[[str], None],
    ) -> None:
        self._has_amd = (root / _KFD).exists()
        self._how = (clock, period_s, gpu_ids, environ, on_problem)
        self._found: Sequence[GpuMeter] = ()
        self._refusals: list[Refusal] = []
        self._given_up = self._done = False
        self._asked = _NVML
        self._turn = threading.Lock()
        self._thread = LazyThread(self._search, "carbon-gpus")
        if not self._thread.start():
            self._search()

    def result(self, refusals: list[Refusal]) -> Sequence[GpuMeter]:
        """Return the meters that were found in time; note why there are none."""
        if self._thread.exists and not self._thread.join(_GPU_SEARCH_S):
            with self._turn:
                self._given_up = not self._done
        if self._given_up:
            reason = f"{_NAMES[self._asked]} did not answer within {_GPU_SEARCH_S:g} s"
            refusals.append(Refusal(self._asked, "gpu", reason))
            return ()
        refusals += self._refusals
        for meter in self._found:
            refusals += meter.dropped
        return self._found

    def _search(self) -> None:
        found: Sequence[GpuMeter] = self._tried(_NVML, open_nvml)
        if not found and self._has_amd:
            found = self._tried(_AMD, open_amd)
        with self._turn:
            self._done = True
            if not self._given_up:
                self._found = found
                return
        for meter in found:  # nobody waits for them any more
            meter.close()

    def _tried(self, name: str, opener: Callable[..., Sequence[GpuMeter]]) -> Sequence[GpuMeter]:
        self._asked = name
        try:
            return opener(*self._how)
        except MeterError as error:
            self._refusals.append(Refusal(name, "gpu", error.reason, error.remedy))
        except Exception as error:  # noqa: BLE001 - the thread's guard: a driver's surprise
            self._refusals.append(Refusal(name, "gpu", f"it cannot be used: {error!r}"))
        return ()
