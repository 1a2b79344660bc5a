"""One GPU and the best NVML call that works on it.

The supported calls are found by trying them; the architecture decides only on their uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from carbon_core.hardware.driver_calls import attempt, attempt_text
from carbon_core.hardware.nvml.published import is_published
from carbon_core.hardware.read_timer import ReadTimer
from carbon_core.hardware.still_counter import StillCounter
from carbon_core.methods import (
    GPU_LIMIT_UTILIZATION,
    NVML_ENERGY,
    NVML_POWER,
    NVML_POWER_AVERAGE,
    NVML_POWER_SAMPLED,
    UNPUBLISHED,
    Method,
)
from carbon_core.plausible import number
from carbon_core.record import record
from carbon_core.records import Device, Reading

MILLI_PER_UNIT = 1000.0
_MAX_GPU_W = 5000.0
# An assumption, without a published comparison: a board at rest draws 5 to 15 % of its limit.
IDLE_SHARE = 0.1
# A board that is always at work draws less than its limit: in trainings 50 to 95 % (nodes with
# eight H100: 76 % of the rated power, Latif et al. 2025). Utilisation counts any kernel.
BUSY_SHARE = 0.85
# A counter is updated every 100 ms, and even an idle GPU draws watts: a constant one stands still.
_STILL_S = 0.5
# By compute capability (Yang et al., SC'24): GA100 samples 25 of every 100 ms. GA10x and Ada have a
# field that covers all of them, while their plain reading is the mean of a second.
_GA100 = (8, 0)
_INSTANT_IS_WHOLE = ((8, 6), (8, 9))
# NVML's numbers, which never change: an older package lacks some of their names.
SUCCESS = 0
FIELD_POWER_AVERAGE = 185
FIELD_POWER_INSTANT = 186
Call = Callable[[Any], float]


@record(frozen=True)
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
        error: The error, or a message about an invalid value.
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
        handle: NVML's handle.
        readout: The call that reads it.
        find: Returns a new handle of the same GPU; may raise anything.
        fallbacks: Calls that return its power while its counter stands still, from best to worst.
        is_busy: Returns whether a handle's GPU is at work; None where that is unknown.
    """

    def __init__(
        self,
        device: Device,
        handle: Any,
        readout: Readout,
        find: Callable[[], Any],
        fallbacks: Sequence[Readout] = (),
        is_busy: Callable[[Any], bool | None] = lambda handle: None,
    ) -> None:
        self.device = device
        self.handle = handle
        self.find = find
        self.failures = 0
        self.is_standing_still = False
        self._call = readout.call
        self._is_counter = readout.kind == "counter"
        self._may_be_zero = readout.zero
        self._fallbacks = list(fallbacks)
        self._is_busy = is_busy
        self._still = StillCounter(_STILL_S)

    def use(self, readout: Readout, device: Device) -> None:
        """Read the board by another call, as another device of the ledger."""
        self.device = device
        self._call = readout.call
        self._is_counter = readout.kind == "counter"
        self._may_be_zero = readout.zero

    @property
    def is_polled(self) -> bool:
        """Whether its power is read: always, or while its counter stands still."""
        return self.is_standing_still or not self._is_counter

    def read(self, timer: ReadTimer) -> Reading:
        """Read the board once."""
        t_ns, shown = timer.read(self._shown)
        value, power_w = number(shown), None
        self.failures = 0 if value is not None else self.failures + 1
        self.is_standing_still = False
        if value is not None and self._is_counter:
            if self._still.stands_still(value, t_ns):
                self.is_standing_still, power_w = True, self._fallback_w()
        elif value == 0.0 and not self._is_true_zero():
            value = None
        return Reading(self.device.id, t_ns, value, None, power_w)

    def _shown(self) -> float | None:
        # Without `attempt`: this runs for every GPU at every reading.
        try:
            return self._call(self.handle)
        except Exception:  # noqa: BLE001 - a driver may raise anything
            return None

    def _is_true_zero(self) -> bool:
        """Return whether a power of 0 is real: a board at work draws some."""
        return self._may_be_zero or self._is_busy(self.handle) is False

    def _fallback_w(self) -> float | None:
        """Return the power by the best call that works; those that do not are not tried again."""
        while self._fallbacks:
            readout = self._fallbacks[0]
            power_w = number(attempt(lambda: readout.call(self.handle), None))  # noqa: B023 - called at once
            if power_w or (readout.zero and power_w is not None):
                return power_w
            del self._fallbacks[0]
        return None


def readouts(nvml: Any, handle: Any) -> list[Readout]:
    """Return the calls that may read a GPU, from best to worst.

    Functions are looked up when they are called: one that the package lacks costs only itself.
    """
    capability = _capability(nvml, handle)
    averaged = Readout(
        NVML_POWER_AVERAGE, "power", field_w(nvml, FIELD_POWER_AVERAGE), "average power"
    )
    instant = Readout(NVML_POWER, "power", field_w(nvml, FIELD_POWER_INSTANT), "instant power")
    return [
        Readout(
            NVML_ENERGY,
            "counter",
            _counter_j(nvml),
            "energy counter",
        ),
        instant if capability in _INSTANT_IS_WHOLE else averaged,
        Readout(
            _plain_method(capability),
            "power",
            lambda handle: nvml.nvmlDeviceGetPowerUsage(handle) / MILLI_PER_UNIT,
            "power",
        ),
        Readout(
            GPU_LIMIT_UTILIZATION,
            "power",
            lambda handle: _limit_w(nvml, handle) * power_share(utilization(nvml, handle)),
            "utilisation",
            zero=True,
        ),
    ]


def power_share(utilisation: float) -> float:
    """Return the modelled power of a board at a utilisation of 0 to 1, as a share of its limit."""
    return IDLE_SHARE + (BUSY_SHARE - IDLE_SHARE) * utilisation


def is_busy(nvml: Any, handle: Any) -> bool | None:
    """Return whether a GPU is at work, or None where its driver does not report it."""
    busy = attempt(lambda: utilization(nvml, handle), None)
    return None if busy is None else busy > 0.0


def _limit_w(nvml: Any, handle: Any) -> float:
    return float(nvml.nvmlDeviceGetEnforcedPowerLimit(handle)) / MILLI_PER_UNIT


def utilization(nvml: Any, handle: Any) -> float:
    """Return the utilisation of a GPU (0 to 1); raises what the driver or the package raises."""
    percent = number(nvml.nvmlDeviceGetUtilizationRates(handle).gpu, 0.0, 100.0)
    if percent is None:
        raise ValueError("the driver returns an implausible utilisation")
    return percent / 100.0


def probe(nvml: Any, handle: Any) -> ProbeResult:
    """Try the calls until one works."""
    failed: list[FailedReadout] = []
    for readout in readouts(nvml, handle):
        try:
            value = number(shown := readout.call(handle))
        except Exception as error:  # noqa: BLE001 - a driver or an older package may raise anything
            failed.append(FailedReadout(readout, error))
            continue
        if value or (readout.zero and value is not None):
            return ProbeResult(readout, failed)
        failed.append(FailedReadout(readout, f"the driver returns {0 if value == 0 else shown}"))
    return ProbeResult(None, failed)


def name_of(nvml: Any, handle: Any) -> str:
    """Return the product name of a GPU."""
    return attempt_text(lambda: nvml.nvmlDeviceGetName(handle), "NVIDIA GPU")


def device_of(nvml: Any, handle: Any, uuid: str, readout: Readout) -> Device:
    """Return a GPU as a device of the ledger."""
    name = name_of(nvml, handle)
    return Device(
        f"gpu:{uuid}",
        "gpu",
        name,
        method_of(name, readout),
        kind=readout.kind,
        max_power_w=_MAX_GPU_W,
        still_s=_STILL_S,
    )


def _counter_j(nvml: Any) -> Call:
    """Return the call that reads the energy counter.

    It runs for every GPU at every reading, and the package takes longer than the driver's own function,
    which is therefore called directly where the package gives it.
    """

    def by_package(handle: Any) -> float:
        energy_mj: float = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        return energy_mj / MILLI_PER_UNIT

    name = "nvmlDeviceGetTotalEnergyConsumption"
    function = attempt(lambda: nvml._nvmlGetFunctionPointer(name), None)
    if function is None or not hasattr(nvml, name):
        return by_package
    from ctypes import byref, c_ulonglong

    def by_driver(handle: Any) -> float:
        energy_mj = c_ulonglong()
        try:
            code = function(handle, byref(energy_mj))
        except Exception:  # noqa: BLE001 - another package's handles or functions may be no C ones
            return by_package(handle)
        if code != SUCCESS:
            return by_package(handle)  # raises the error
        return energy_mj.value / MILLI_PER_UNIT

    return by_driver


def method_of(name: str, readout: Readout) -> Method:
    """Return the method of a call, with the uncertainty that it has on a board of some name."""
    method = readout.method
    return method if is_published(name) else UNPUBLISHED.get(method, method)


def field_w(nvml: Any, field: int | tuple[int, int]) -> Call:
    """Return the call that reads a field in milliwatts; a pair is a field and its scope."""

    def read_w(handle: Any) -> float:
        answer = nvml.nvmlDeviceGetFieldValues(handle, [field])[0]
        if answer.nvmlReturn != SUCCESS:
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
    return attempt(lambda: tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)), ())
