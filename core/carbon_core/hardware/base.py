"""What a meter and a gauge are, and what a search for them finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from carbon_core.records import Device, HostFacts, Reading, Refusal, Utilization


class Meter(Protocol):
    """Reads the devices of one kind.

    A meter is made by a function that tries a real reading and raises `MeterError`, with the
    reason and the remedy, when there is nothing to read.

    """

    @property
    def devices(self) -> Sequence[Device]:
        """What is read, fixed for the meter's life."""
        ...

    @property
    def period_s(self) -> float:
        """Longest time that may pass between two reads without losing anything, in seconds."""
        ...

    def read(self) -> Sequence[Reading]:
        """Read every device once; a failed device gives a reading of None, not an exception."""
        ...

    def close(self) -> None:
        """Let go of files and libraries. Never raises; safe to call twice."""
        ...


class Gauge(Protocol):
    """Mean loads of the machine since the gauge was made."""

    def sample(self) -> None:
        """Look once."""
        ...

    def means(self) -> Utilization:
        """Return the means so far."""
        ...


@dataclass(frozen=True)
class Detection:
    """What was found on this machine.

    Attributes:
        meters: The meters to use, no device twice.
        refusals: Meters that were tried and are not used, each with its reason.
        host: What the results say about the machine.
        gauge: Mean loads, for the results' utilisation columns.
    """

    meters: tuple[Meter, ...]
    refusals: tuple[Refusal, ...] = ()
    host: HostFacts = field(default_factory=HostFacts)
    gauge: Gauge | None = None
