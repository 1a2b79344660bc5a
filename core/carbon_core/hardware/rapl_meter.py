"""A meter over open RAPL counters, whichever interface shows them, and the devices they become."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carbon_core.clock import Clock
from carbon_core.methods import (
    RAPL_AMD,
    RAPL_CORE,
    RAPL_DRAM,
    RAPL_INTEL_CLIENT,
    RAPL_INTEL_SERVER,
    Method,
)
from carbon_core.records import Device, Reading, Refusal

_MAX_PACKAGE_W = 1500.0
_MAX_DRAM_W = 500.0


@dataclass
class Counter:
    """An open counter.

    Attributes:
        device: What it counts.
        place: Where it was found, for people.
        descriptor: The open file; closed by the meter.
        joules: Reads the descriptor; raises OSError or ValueError when that does not work.
        opened_again: Opens the place anew, for a socket that was taken out and put back; None where
            there is no such thing.
    """

    device: Device
    place: str
    descriptor: int
    joules: Callable[[int], float]
    opened_again: Callable[[], int] | None = None

    def reopen(self) -> bool:
        """Open the place anew; tell whether that worked."""
        if self.opened_again is None:
            return False
        try:
            descriptor = self.opened_again()
        except OSError:
            return False
        os.close(self.descriptor)
        self.descriptor = descriptor
        return True


class RaplMeter:
    """Reads open counters.

    Args:
        counters: What to read; closed by the meter.
        clock: Source of the readings' times.
        period_s: Longest time between two reads in seconds.
        on_problem: Told in words, once for each counter, that it can no longer be read.
        dropped: Counters that were found and are not used, each with the reason.
    """

    def __init__(
        self,
        counters: Sequence[Counter],
        clock: Clock,
        period_s: float,
        on_problem: Callable[[str], None],
        dropped: Sequence[Refusal] = (),
    ) -> None:
        self.devices = tuple(counter.device for counter in counters)
        self.period_s = period_s
        self.dropped = tuple(dropped)
        self._clock = clock
        self._counters = list(counters)
        self._on_problem = on_problem
        self._failed: set[str] = set()

    def read(self) -> list[Reading]:
        """Read every counter, in joules."""
        return [
            Reading(counter.device.id, self._clock.monotonic_ns(), self._joules(counter))
            for counter in self._counters
        ]

    def close(self) -> None:
        """Close the files."""
        close_all(self._counters)

    def _joules(self, counter: Counter) -> float | None:
        try:
            return counter.joules(counter.descriptor)
        except OSError as error:
            if counter.reopen():
                with contextlib.suppress(OSError, ValueError):
                    return counter.joules(counter.descriptor)
            self._missing(counter, error)
        except ValueError as error:
            self._missing(counter, error)
        return None

    def _missing(self, counter: Counter, error: OSError | ValueError) -> None:
        """Say once that permission was withdrawn, a zone unplugged or garbage shown; it is no end."""
        if counter.place not in self._failed:
            self._failed.add(counter.place)
            self._on_problem(_lost(counter, error))


def close_all(counters: list[Counter]) -> None:
    """Close counters and empty the list."""
    while counters:
        os.close(counters.pop().descriptor)


def package_device(name: str, cpu_model: str, wrap_j: float | None = None) -> Device:
    """Return a processor package, or a die with a counter of its own."""
    method = _package_method(cpu_model.lower())
    return Device(f"cpu:{name}", "cpu", name, method, wrap_j=wrap_j, max_power_w=_MAX_PACKAGE_W)


def dram_device(label: str, wrap_j: float | None = None) -> Device:
    """Return the memory that lies beside a package."""
    return Device(f"ram:{label}", "ram", label, RAPL_DRAM, wrap_j=wrap_j, max_power_w=_MAX_DRAM_W)


def core_device(label: str, wrap_j: float | None = None) -> Device:
    """Return the cores of a package that has no counter itself."""
    return Device(
        f"cpu:{label}", "cpu", label, RAPL_CORE, wrap_j=wrap_j, max_power_w=_MAX_PACKAGE_W
    )


def why(error: OSError | ValueError) -> str:
    """Return in words why a counter could not be read."""
    if isinstance(error, PermissionError):
        return "permission denied"
    return getattr(error, "strerror", None) or str(error)


def _package_method(cpu_model: str) -> Method:
    if "amd" in cpu_model:
        return RAPL_AMD
    return RAPL_INTEL_SERVER if "xeon" in cpu_model else RAPL_INTEL_CLIENT


def _lost(counter: Counter, error: OSError | ValueError) -> str:
    return (
        f"cannot read {counter.place} of {counter.device.name} any more: {why(error)}; "
        "until it can be read, its energy is carried over from the power before"
    )
