"""A simulated NVIDIA driver: the package finds and reads its boards as it does with the real library."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

from carbon_core.hardware.nvml.search import open_nvml
from coverage_simulation.devices import Value

HOPPER, GA100, AMPERE, TURING = (9, 0), (8, 0), (8, 6), (7, 5)
_AVERAGE, _INSTANT = 185, 186
_MILLI = 1000.0


class Card(NamedTuple):
    """A simulated board.

    Attributes:
        name: Product name.
        capability: Compute capability, which determines the kind of its power reading.
        limit_w: Enforced power limit in watts.
        energy: Energy counter in joules by time; None without one.
        power: Plain power reading in watts; None without one.
        average: Field with the mean power of a second; None without one.
        utilization: Utilisation (0 to 1); None without one.
    """

    name: str = "NVIDIA H100 80GB HBM3"
    capability: tuple[int, int] = HOPPER
    limit_w: float = 700.0
    energy: Value | None = None
    power: Value | None = None
    average: Value | None = None
    utilization: Value | None = None


class NVMLError(Exception):
    """An error of the driver, with NVML's number."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


class SimulatedNvml:
    """Takes the place of `pynvml`; a function that it lacks is one that an older package lacks.

    Args:
        clock: Source of time.
        cards: The boards.
        rng: Source of chance.
        latency_s: Length of a call in seconds.
    """

    NVMLError = NVMLError

    def __init__(
        self, clock: Any, cards: Sequence[Card], rng: Random, latency_s: float = 0.0
    ) -> None:
        self._clock, self._cards, self._rng, self._latency_s = clock, cards, rng, latency_s

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return len(self._cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str | bytes) -> int:
        return int(uuid[-8:])

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-5d1f0000-0000-0000-0000-0000{handle:08d}"

    def nvmlDeviceGetName(self, handle: int) -> str:
        return self._cards[handle].name

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:
        return self._cards[handle].capability

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        return int(_MILLI * self._value(self._cards[handle].energy))

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return int(_MILLI * self._value(self._cards[handle].power))

    def nvmlDeviceGetFieldValues(self, handle: int, fields: Sequence[Any]) -> list[Any]:
        card = self._cards[handle]
        value = {_AVERAGE: card.average, _INSTANT: card.power}.get(fields[0])
        watts = SimpleNamespace(uiVal=int(_MILLI * self._value(value)))
        return [SimpleNamespace(nvmlReturn=0, value=watts)]

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return int(_MILLI * self._cards[handle].limit_w)

    def nvmlDeviceGetPowerManagementDefaultLimit(self, handle: int) -> int:
        return int(_MILLI * self._cards[handle].limit_w)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=round(100.0 * self._value(self._cards[handle].utilization)))

    def _value(self, value: Value | None) -> float:
        """Return a value at a random instant within the call."""
        if value is None:
            raise NVMLError(3)  # not supported
        at_s = self._clock.monotonic_ns() / 1e9
        if self._latency_s:
            at_s += self._rng.random() * self._latency_s
            self._clock.advance(self._latency_s)
        found = value(at_s)
        if found is None:
            raise NVMLError(15)  # the GPU is lost
        return found


def open_cards(
    clock: Any,
    cards: Sequence[Card],
    rng: Random,
    period_s: float = 15.0,
    latency_s: float = 0.0,
) -> list[Any]:
    """Return the package's meters of simulated boards.

    Args:
        clock: Source of time.
        cards: The boards.
        rng: Source of chance.
        period_s: Time between two reads of a counter in seconds.
        latency_s: Length of a call in seconds.
    """
    with _installed(SimulatedNvml(clock, cards, rng, latency_s)):
        return open_nvml(clock, period_s, None, {}, lambda text: None)


@contextmanager
def _installed(library: Any) -> Iterator[None]:
    """Let `import pynvml` find a library."""
    before = sys.modules.get("pynvml")
    sys.modules["pynvml"] = library
    try:
        yield
    finally:
        if before is None:
            del sys.modules["pynvml"]
        else:
            sys.modules["pynvml"] = before
