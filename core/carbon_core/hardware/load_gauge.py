"""Mean loads for the results' utilisation columns; no energy depends on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from carbon_core.hardware.host import Host
from carbon_core.records import Utilization


class _Mean:
    """A running mean."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def add(self, value: float) -> None:
        self._sum += value
        self._count += 1

    @property
    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


class Sharing(Protocol):
    """Looks who else uses the devices."""

    def look(self) -> None:
        """Look once."""
        ...

    def least_shares(self) -> Mapping[str, float]:
        """Return the least share that is the job's own, by device, where others were seen."""
        ...


class LoadGauge:
    """Looks at the machine's load, seldom and cheaply.

    The processors' mean is exact (busy time by total time since the first look); memory and GPUs are
    means of the looks.

    Args:
        host: The machine.
        gpu_percent: Gives the mean utilisation of the counted GPUs in percent, if there are any.
        sharing: Looks who else uses the GPUs, where that can be told.
    """

    def __init__(
        self,
        host: Host,
        gpu_percent: Callable[[], float | None] | None,
        sharing: Sharing | None = None,
    ) -> None:
        self._host = host
        self._gpu_percent = gpu_percent
        self._sharing = sharing
        self._first = self._last = host.cpu_times()
        self._gpu, self._ram, self._ram_gb = _Mean(), _Mean(), _Mean()

    def sample(self) -> None:
        """Look once."""
        self._last = self._host.cpu_times()
        used = self._host.ram_used()
        if used is not None:
            self._ram.add(used[0])
            self._ram_gb.add(used[1])
        percent = self._gpu_percent() if self._gpu_percent else None
        if percent is not None:
            self._gpu.add(percent)
        if self._sharing is not None:
            self._sharing.look()

    def means(self) -> Utilization:
        """Return the means so far."""
        known = self._first and self._last
        cpu_percent = 100.0 * known.load_since(self._first) if known and self._first else None
        shares = self._sharing.least_shares() if self._sharing else {}
        return Utilization(
            cpu_percent, self._gpu.value, self._ram.value, self._ram_gb.value, shares
        )
