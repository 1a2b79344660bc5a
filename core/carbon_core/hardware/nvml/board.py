"""One board and the best call that works on it.

What a board supports is found by trying the call; its architecture only says what an answer is worth.
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
# By compute capability (Yang et al., SC'24): GA100's reading covers 25 of every 100 ms. GA10x and Ada
# have a field that covers all of them, while their plain reading is the mean of a second.
_GA100 = (8, 0)
_INSTANT_IS_WHOLE = ((8, 6), (8, 9))
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


class Trial(NamedTuple):
    """What came of trying a board.

    Attributes:
        way: The first way that works, or None.
        refused: The ways that were refused before it.
    """

    way: Way | None
    refused: list[Refused]


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
        self._call = way.call
        self._is_counter = way.kind == "counter"
        self._may_be_zero = way.zero
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
        elif self._is_counter and now_ns - self._moved_ns > _STUCK_NS:
            return None
        return value if value or self._may_be_zero else None


def ways(nvml: Any, handle: Any) -> list[Way]:
    """Return the ways to read a board, from best to worst."""
    total_energy_mj = nvml.nvmlDeviceGetTotalEnergyConsumption
    power_mw = nvml.nvmlDeviceGetPowerUsage
    limit_mw = nvml.nvmlDeviceGetEnforcedPowerLimit
    utilization = nvml.nvmlDeviceGetUtilizationRates
    capability = _capability(nvml, handle)
    averaged = Way(
        NVML_POWER_AVERAGE, "power", field_w(nvml, nvml.NVML_FI_DEV_POWER_AVERAGE), "average power"
    )
    instant = Way(
        NVML_POWER, "power", field_w(nvml, nvml.NVML_FI_DEV_POWER_INSTANT), "instant power"
    )
    return [
        Way(
            NVML_ENERGY,
            "counter",
            lambda handle: total_energy_mj(handle) / MILLI_PER_UNIT,
            "energy counter",
        ),
        instant if capability in _INSTANT_IS_WHOLE else averaged,
        Way(
            _plain_method(capability),
            "power",
            lambda handle: power_mw(handle) / MILLI_PER_UNIT,
            "power",
        ),
        Way(
            GPU_LIMIT_UTILIZATION,
            "power",
            lambda handle: limit_mw(handle) / MILLI_PER_UNIT * utilization(handle).gpu / 100.0,
            "utilisation",
            zero=True,
        ),
    ]


def trial(nvml: Any, handle: Any) -> Trial:
    """Try the ways to read a board until one works."""
    refused: list[Refused] = []
    for way in ways(nvml, handle):
        try:
            value = way.call(handle)
        except nvml.NVMLError as error:
            refused.append(Refused(way, error))
            continue
        if value or way.zero:
            return Trial(way, refused)
        refused.append(Refused(way, "it gives 0"))
    return Trial(None, refused)


def device_of(nvml: Any, handle: Any, uuid: str, way: Way) -> Device:
    """Return a board as a device of the ledger."""
    name = nvml.nvmlDeviceGetName(handle)
    return Device(f"gpu:{uuid}", "gpu", name, way.method, kind=way.kind, max_power_w=_MAX_GPU_W)


def field_w(nvml: Any, field: int | tuple[int, int]) -> Call:
    """Return the call for a field that holds milliwatts, of a scope where there are several."""

    def read_w(handle: Any) -> float:
        answer = nvml.nvmlDeviceGetFieldValues(handle, [field])[0]
        if answer.nvmlReturn != nvml.NVML_SUCCESS:
            raise nvml.NVMLError(answer.nvmlReturn)
        return float(answer.value.uiVal) / MILLI_PER_UNIT

    return read_w


def _plain_method(capability: tuple[int, ...]) -> Method:
    """Return what the plain power reading is worth (NVML, ``nvmlDeviceGetPowerUsage``)."""
    if capability == _GA100:
        return NVML_POWER_SAMPLED
    # Newer than GA100: averaged over a second.
    return NVML_POWER_AVERAGE if capability > _GA100 else NVML_POWER


def _capability(nvml: Any, handle: Any) -> tuple[int, ...]:
    try:
        return tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle))
    except nvml.NVMLError:
        return ()
