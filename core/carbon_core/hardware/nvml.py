"""NVIDIA GPUs through NVML: the energy counter, else polled power, else power limit x utilisation.

What a board supports is found by trying the call, never from its name or architecture. This is the
only module that knows pynvml.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.gpu_selection import select
from carbon_core.methods import GPU_LIMIT_UTILIZATION, NVML_ENERGY, NVML_POWER, Method
from carbon_core.records import Device, Reading

MILLI_PER_UNIT = 1000.0
# Boards refresh their power reading every 20 to 100 ms (Yang et al., SC'24).
_POLL_PERIOD_S = 0.1
_MAX_GPU_W = 5000.0
_Reader = Callable[[], float]


class Gpu:
    """One board and the best call that works on it.

    Args:
        device: The board as a device of the ledger.
        read: Gives joules or watts, as the device's kind says.
        handle: NVML's own handle.
    """

    def __init__(self, device: Device, read: _Reader, handle: Any) -> None:
        self.device = device
        self.read = read
        self.handle = handle


class NvmlMeter:
    """Reads a group of boards that share a period.

    Args:
        nvml: The pynvml module, initialised.
        gpus: The boards.
        clock: Source of the readings' times.
        period_s: Longest time between two reads in seconds.
    """

    def __init__(self, nvml: Any, gpus: Sequence[Gpu], clock: Clock, period_s: float) -> None:
        self.devices = tuple(gpu.device for gpu in gpus)
        self.period_s = period_s
        self._error = nvml.NVMLError
        self._nvml = nvml
        self._clock = clock
        self._gpus = tuple(gpus)
        self._open = True

    def read(self) -> list[Reading]:
        """Read every board, each reading at the middle of its own call."""
        monotonic_ns = self._clock.monotonic_ns
        readings: list[Reading] = []
        for gpu in self._gpus:
            before_ns = monotonic_ns()
            try:
                value: float | None = gpu.read()
            except self._error:
                value = None
            readings.append(Reading(gpu.device.id, (before_ns + monotonic_ns()) // 2, value))
        return readings

    def utilization_percent(self) -> float | None:
        """Return the mean utilisation of the boards in percent, or None when none tells."""
        loads: list[float] = []
        for gpu in self._gpus:
            with contextlib.suppress(self._error):
                loads.append(float(self._nvml.nvmlDeviceGetUtilizationRates(gpu.handle).gpu))
        return sum(loads) / len(loads) if loads else None

    def close(self) -> None:
        """Release the library, which counts its users."""
        if self._open:
            self._open = False
            with contextlib.suppress(self._error):
                self._nvml.nvmlShutdown()


def open_nvml(
    clock: Clock,
    period_s: float,
    gpu_ids: Sequence[int | str] | None,
    visible_devices: str | None,
    on_problem: Callable[[str], None],
) -> list[NvmlMeter]:
    """Return meters over the chosen GPUs: one for counters, one for polled boards.

    Args:
        clock: Source of the readings' times.
        period_s: Wanted time between two reads of a counter, in seconds.
        gpu_ids: The user's choice of boards, or None.
        visible_devices: Value of ``CUDA_VISIBLE_DEVICES``, or None when it is unset.
        on_problem: Told in words about GPUs that were asked for and are not there.

    Raises:
        MeterError: There is no driver, no GPU is chosen, or a board lets nothing be read.
    """
    import pynvml as nvml

    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise MeterError(f"NVML cannot be used: {error}", remedy=_remedy(error, nvml)) from error
    try:
        gpus = _chosen(nvml, gpu_ids, visible_devices, on_problem)
    except nvml.NVMLError as error:
        nvml.nvmlShutdown()
        raise MeterError(f"NVML lists no GPU: {error}") from error
    return _meters(nvml, gpus, clock, period_s)


def _chosen(
    nvml: Any,
    gpu_ids: Sequence[int | str] | None,
    visible_devices: str | None,
    on_problem: Callable[[str], None],
) -> list[Gpu]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    uuids = [nvml.nvmlDeviceGetUUID(handle) for handle in handles]
    selection = select(uuids, gpu_ids, visible_devices)
    if selection.problem:
        on_problem(selection.problem)
    found = [_gpu(nvml, handles[i], uuids[i]) for i in selection.indices]
    for i, gpu in zip(selection.indices, found):
        if gpu is None:
            on_problem(
                f"GPU {i} ({uuids[i]}) gives neither energy, power nor utilisation; "
                "its energy is unknown and not counted"
            )
    return [gpu for gpu in found if gpu is not None]


def _meters(nvml: Any, gpus: list[Gpu], clock: Clock, period_s: float) -> list[NvmlMeter]:
    counters = [gpu for gpu in gpus if gpu.device.kind == "counter"]
    polled = [gpu for gpu in gpus if gpu.device.kind == "power"]
    meters: list[NvmlMeter] = []
    if counters:
        meters.append(NvmlMeter(nvml, counters, clock, period_s))
    if polled:
        if meters:
            nvml.nvmlInit()  # counted: each meter shuts down its own
        meters.append(NvmlMeter(nvml, polled, clock, min(period_s, _POLL_PERIOD_S)))
    if not meters:
        nvml.nvmlShutdown()
        raise MeterError("no GPU is chosen (gpu_ids or CUDA_VISIBLE_DEVICES) or can be read")
    return meters


def _gpu(nvml: Any, handle: Any, uuid: str) -> Gpu | None:
    """Try the calls from best to worst and keep the first that works."""
    for method, read in _readers(nvml, handle):
        try:
            read()
        except nvml.NVMLError:
            continue
        kind = "counter" if method is NVML_ENERGY else "power"
        device = Device(
            f"gpu:{uuid}",
            "gpu",
            nvml.nvmlDeviceGetName(handle),
            method,
            kind=kind,  # type: ignore[arg-type]  # a conditional expression is widened to str
            max_power_w=_MAX_GPU_W,
        )
        return Gpu(device, read, handle)
    return None


def _readers(nvml: Any, handle: Any) -> list[tuple[Method, _Reader]]:
    total_energy_mj = nvml.nvmlDeviceGetTotalEnergyConsumption
    power_mw = nvml.nvmlDeviceGetPowerUsage
    limit_mw = nvml.nvmlDeviceGetEnforcedPowerLimit
    utilization = nvml.nvmlDeviceGetUtilizationRates
    return [
        (NVML_ENERGY, lambda: total_energy_mj(handle) / MILLI_PER_UNIT),
        (NVML_POWER, lambda: power_mw(handle) / MILLI_PER_UNIT),
        (
            GPU_LIMIT_UTILIZATION,
            lambda: limit_mw(handle) / MILLI_PER_UNIT * utilization(handle).gpu / 100.0,
        ),
    ]


def _remedy(error: Any, nvml: Any) -> str:
    if error.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return "none is needed without an NVIDIA GPU; otherwise install its driver"
    if error.value == nvml.NVML_ERROR_DRIVER_NOT_LOADED:
        return "load the NVIDIA driver, or start the container with its GPUs (`--gpus all`)"
    return "see whether `nvidia-smi` works for this user"
