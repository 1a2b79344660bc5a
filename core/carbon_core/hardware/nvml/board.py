"""One board and the best call that works on it.

What a board supports is found by trying the call, never from its name or architecture.
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
# A counter advances every 100 ms; even an idle board draws watts, so one that rests is stuck.
_STUCK_NS = units.nanoseconds(0.5)
# Compute capability of GA100, whose power reading covers 25 of every 100 ms (Yang et al., SC'24).
_GA100 = (8, 0)
Call = Callable[[Any], float]


@dataclass(frozen=True)
class Way:
    """One way to learn what a board draws.

    Attributes:
        method: How well it tells.
        kind: Whether it gives cumulative joules or watts.
        call: Gives the value for a handle.
        name: What is missing on a board that refuses it, for people.
        zero: Whether 0 is a value; drivers give it for want of a reading, and every board draws some.
    """

    method: Method
    kind: Literal["counter", "power"]
    call: Call
    name: str
    zero: bool = False


class Refused(NamedTuple):
    """A way that a board refused.

    Attributes:
        way: The way.
        error: What NVML answered, or in words what was wrong with the value.
    """

    way: Way
    error: Any


class Board:
    """A board that is read.

    Args:
        device: The board as a device of the ledger.
        uuid: The driver's name for it.
        handle: NVML's handle.
        way: How it is read.
        error: NVML's exception class.
    """

    def __init__(self, device: Device, uuid: str, handle: Any, way: Way, error: Any) -> None:
        self.device = device
        self.uuid = uuid
        self.handle = handle
        self.failures = 0
        self._way = way
        self._call = way.call
        self._error = error
        self._last = 0.0
        self._moved_ns = 0

    def read(self, now_ns: int) -> float | None:
        """Return joules or watts, or None when the board does not answer or makes no sense."""
        try:
            value = self._call(self.handle)
        except self._error:
            self.failures += 1
            return None
        self.failures = 0
        if value != self._last:
            self._last, self._moved_ns = value, now_ns
        elif self._way.kind == "counter" and now_ns - self._moved_ns > _STUCK_NS:
            return None
        return value if value or self._way.zero else None


def ways(nvml: Any, handle: Any) -> list[Way]:
    """Return the ways to read a board, from best to worst."""
    total_energy_mj = nvml.nvmlDeviceGetTotalEnergyConsumption
    power_mw = nvml.nvmlDeviceGetPowerUsage
    limit_mw = nvml.nvmlDeviceGetEnforcedPowerLimit
    utilization = nvml.nvmlDeviceGetUtilizationRates
    power = NVML_POWER_SAMPLED if _is_ga100(nvml, handle) else NVML_POWER
    return [
        Way(
            NVML_ENERGY,
            "counter",
            lambda handle: total_energy_mj(handle) / MILLI_PER_UNIT,
            "energy counter",
        ),
        Way(NVML_POWER_AVERAGE, "power", _average_power(nvml), "average power"),
        Way(power, "power", lambda handle: power_mw(handle) / MILLI_PER_UNIT, "power"),
        Way(
            GPU_LIMIT_UTILIZATION,
            "power",
            lambda handle: limit_mw(handle) / MILLI_PER_UNIT * utilization(handle).gpu / 100.0,
            "utilisation",
            zero=True,
        ),
    ]


def best_way(nvml: Any, handle: Any) -> tuple[Way | None, list[Refused]]:
    """Try the ways and return the first that works, with those that were refused before it."""
    refused: list[Refused] = []
    for way in ways(nvml, handle):
        try:
            value = way.call(handle)
        except nvml.NVMLError as error:
            refused.append(Refused(way, error))
            continue
        if value or way.zero:
            return way, refused
        refused.append(Refused(way, "it gives 0"))
    return None, refused


def device_of(nvml: Any, handle: Any, uuid: str, way: Way) -> Device:
    """Return a board as a device of the ledger."""
    name = nvml.nvmlDeviceGetName(handle)
    return Device(f"gpu:{uuid}", "gpu", name, way.method, kind=way.kind, max_power_w=_MAX_GPU_W)


def _average_power(nvml: Any) -> Call:
    """Return the call for the mean power of the last second, which nothing escapes."""
    field = nvml.NVML_FI_DEV_POWER_AVERAGE
    unknown = nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)

    def read_w(handle: Any) -> float:
        answer = nvml.nvmlDeviceGetFieldValues(handle, [field])[0]
        if answer.nvmlReturn != nvml.NVML_SUCCESS:
            raise nvml.NVMLError(answer.nvmlReturn)
        if answer.valueType != nvml.NVML_VALUE_TYPE_UNSIGNED_INT:
            raise unknown
        return float(answer.value.uiVal) / MILLI_PER_UNIT

    return read_w


def _is_ga100(nvml: Any, handle: Any) -> bool:
    try:
        return tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)) == _GA100
    except nvml.NVMLError:
        return False
