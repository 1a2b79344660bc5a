"""One GPU and the best NVML call that works on it.

The supported calls are found by trying them; the architecture decides only on their uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from carbon_core import units
from carbon_core.methods import (
    GPU_LIMIT_UTILIZATION,
    NVML_ENERGY,
    NVML_POWER,
    NVML_POWER_AVERAGE,
    NVML_POWER_SAMPLED,
    Method,
)
from carbon_core.records import Device

MILLI_PER_UNIT = 1000.0
_MAX_GPU_W = 5000.0
# A counter is updated every 100 ms, and even an idle GPU draws watts: a constant one is stuck.
_STUCK_NS = units.nanoseconds(0.5)
# By compute capability (Yang et al., SC'24): GA100 samples 25 of every 100 ms. GA10x and Ada have a
# field that covers all of them, while their plain reading is the mean of a second.
_GA100 = (8, 0)
_INSTANT_IS_WHOLE = ((8, 6), (8, 9))
Call = Callable[[Any], float]


@dataclass(frozen=True)
class Readout:
    """One NVML call that returns the energy or the power of a GPU.

    Attributes:
        method: The method with its uncertainty.
        kind: ``counter`` for cumulative joules, ``power`` for watts.
        call: Returns the value for a handle.
        name: Name for messages.
        zero: Whether 0 is valid; for most calls it means that the driver has no reading.
    """

    method: Method
    kind: Literal["counter", "power"]
    call: Call
    name: str
    zero: bool = False


class FailedReadout(NamedTuple):
    """A call that failed.

    Attributes:
        readout: The call.
        error: NVML's error, or a message about an invalid value.
    """

    readout: Readout
    error: Any


class ProbeResult(NamedTuple):
    """Result of probing a GPU.

    Attributes:
        readout: The first call that works, or None.
        failed: The calls that failed before it.
    """

    readout: Readout | None
    failed: list[FailedReadout]


class Board:
    """A GPU that is read.

    Args:
        device: The GPU as a device of the ledger.
        uuid: Its UUID.
        handle: NVML's handle.
        readout: The call that reads it.
        error: NVML's exception class.
    """

    def __init__(
        self, device: Device, uuid: str, handle: Any, readout: Readout, error: Any
    ) -> None:
        self.device = device
        self.uuid = uuid
        self.handle = handle
        self.failures = 0
        self._call = readout.call
        self._is_counter = readout.kind == "counter"
        self._may_be_zero = readout.zero
        self._error = error
        self._last = 0.0
        self._moved_ns = 0

    def read(self, now_ns: int) -> float | None:
        """Return joules or watts, or None when the call fails or its value is invalid."""
        try:
            value = self._call(self.handle)
        except self._error:
            self.failures += 1
            return None
        self.failures = 0
        if value != self._last:
            self._last, self._moved_ns = value, now_ns
        elif self._is_counter and now_ns - self._moved_ns > _STUCK_NS:
            return None
        return value if value or self._may_be_zero else None


def readouts(nvml: Any, handle: Any) -> list[Readout]:
    """Return the calls that may read a GPU, from best to worst."""
    total_energy_mj = nvml.nvmlDeviceGetTotalEnergyConsumption
    power_mw = nvml.nvmlDeviceGetPowerUsage
    limit_mw = nvml.nvmlDeviceGetEnforcedPowerLimit
    utilization = nvml.nvmlDeviceGetUtilizationRates
    capability = _capability(nvml, handle)
    averaged = Readout(
        NVML_POWER_AVERAGE, "power", field_w(nvml, nvml.NVML_FI_DEV_POWER_AVERAGE), "average power"
    )
    instant = Readout(
        NVML_POWER, "power", field_w(nvml, nvml.NVML_FI_DEV_POWER_INSTANT), "instant power"
    )
    return [
        Readout(
            NVML_ENERGY,
            "counter",
            lambda handle: total_energy_mj(handle) / MILLI_PER_UNIT,
            "energy counter",
        ),
        instant if capability in _INSTANT_IS_WHOLE else averaged,
        Readout(
            _plain_method(capability),
            "power",
            lambda handle: power_mw(handle) / MILLI_PER_UNIT,
            "power",
        ),
        Readout(
            GPU_LIMIT_UTILIZATION,
            "power",
            lambda handle: limit_mw(handle) / MILLI_PER_UNIT * utilization(handle).gpu / 100.0,
            "utilisation",
            zero=True,
        ),
    ]


def probe(nvml: Any, handle: Any) -> ProbeResult:
    """Try the calls until one works."""
    failed: list[FailedReadout] = []
    for readout in readouts(nvml, handle):
        try:
            value = readout.call(handle)
        except nvml.NVMLError as error:
            failed.append(FailedReadout(readout, error))
            continue
        if value or readout.zero:
            return ProbeResult(readout, failed)
        failed.append(FailedReadout(readout, "the driver returns 0"))
    return ProbeResult(None, failed)


def device_of(nvml: Any, handle: Any, uuid: str, readout: Readout) -> Device:
    """Return a GPU as a device of the ledger."""
    name = nvml.nvmlDeviceGetName(handle)
    return Device(
        f"gpu:{uuid}", "gpu", name, readout.method, kind=readout.kind, max_power_w=_MAX_GPU_W
    )


def field_w(nvml: Any, field: int | tuple[int, int]) -> Call:
    """Return the call that reads a field in milliwatts; a pair is a field and its scope."""

    def read_w(handle: Any) -> float:
        answer = nvml.nvmlDeviceGetFieldValues(handle, [field])[0]
        if answer.nvmlReturn != nvml.NVML_SUCCESS:
            raise nvml.NVMLError(answer.nvmlReturn)
        return float(answer.value.uiVal) / MILLI_PER_UNIT

    return read_w


def _plain_method(capability: tuple[int, ...]) -> Method:
    """Return the method of NVML's plain power reading, ``nvmlDeviceGetPowerUsage``."""
    if capability == _GA100:
        return NVML_POWER_SAMPLED
    # Newer than GA100: averaged over a second.
    return NVML_POWER_AVERAGE if capability > _GA100 else NVML_POWER


def _capability(nvml: Any, handle: Any) -> tuple[int, ...]:
    try:
        return tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle))
    except nvml.NVMLError:
        return ()
