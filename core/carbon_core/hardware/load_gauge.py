"""Mean utilisation for the results; no energy depends on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from carbon_core.hardware.host import Host
from carbon_core.plausible import number
from carbon_core.records import Utilization


class _Mean:
    """A running mean."""

    def __init__(self) -> None:
        # Assigned at once, for other threads read it.
        self._totals = (0.0, 0)

    def add(self, value: float) -> None:
        known = number(value)
        if known is not None:
            total, count = self._totals
            self._totals = (total + known, count + 1)

    @property
    def value(self) -> float | None:
        total, count = self._totals
        return total / count if count else None


class Sharing(Protocol):
    """Samples which other users' processes run on the devices."""

    def sample(self) -> None:
        """Take one sample."""
        ...

    def least_shares(self) -> Mapping[str, float]:
        """Return the lowest possible share of the job, by device, where other users were seen."""
        ...


class LoadGauge:
    """Samples the utilisation of the machine.

    The mean of the processors is exact (busy time by total time since the first sample); those of
    memory and GPUs are means of the samples.

    Args:
        host: The machine.
        gpu_percent: Returns the mean utilisation of the counted GPUs in percent; None without GPUs.
        sharings: Samplers of other users' processes on the GPUs.
    """

    def __init__(
        self,
        host: Host,
        gpu_percent: Callable[[], float | None] | None,
        sharings: Sequence[Sharing] = (),
    ) -> None:
        self._host = host
        self._gpu_percent = gpu_percent
        self._sharings = sharings
        self._first = self._last = host.cpu_times()
        self._gpu, self._ram, self._ram_gb = _Mean(), _Mean(), _Mean()

    def add_gpus(
        self, gpu_percent: Callable[[], float | None] | None, sharings: Sequence[Sharing]
    ) -> None:
        """Add GPUs that were found late; arguments as above."""
        self._gpu_percent = gpu_percent
        self._sharings = sharings

    def restart(self) -> None:
        """Forget the samples so far."""
        self._first = self._last = self._host.cpu_times()
        self._gpu, self._ram, self._ram_gb = _Mean(), _Mean(), _Mean()

    def sample(self) -> None:
        """Take one sample of everything."""
        self.sample_host()
        self.sample_gpus()

    def sample_host(self) -> None:
        """Take one sample of processors and memory; fast."""
        self._last = self._host.cpu_times()
        used = self._host.ram_used()
        if used is not None:
            self._ram.add(used[0])
            self._ram_gb.add(used[1])

    def sample_gpus(self) -> None:
        """Take one sample of the GPUs; a driver may delay it, or hang."""
        percent = self._gpu_percent() if self._gpu_percent else None
        if percent is not None:
            self._gpu.add(percent)
        for sharing in self._sharings:
            sharing.sample()

    def means(self) -> Utilization:
        """Return the means so far."""
        first, last = self._first, self._last
        cpu_percent = 100.0 * last.load_since(first) if first and last and last.are_shown else None
        shares: dict[str, float] = {}
        for sharing in self._sharings:
            shares |= sharing.least_shares()
        return Utilization(
            cpu_percent, self._gpu.value, self._ram.value, self._ram_gb.value, shares
        )
