"""Whether a machine is idle: the load of its processors, and how much its power varies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, pstdev

from carbon_core import units
from carbon_core.clock import SystemClock
from carbon_core.formatting import power
from carbon_core.hardware.host import CpuTimes, Host, process_cpu_s
from carbon_core.records import Device

# Assumptions: services of an idle machine take half a processor and 1 % of the others at most, and its
# power varies by a quarter, or by a few watts.
_IDLE_PROCESSORS, _IDLE_SHARE = 0.5, 0.01
_VARIATION, _LEAST_VARIATION_W = 0.25, 3.0
_GPU_PERCENT = 5.0
_FEWEST_WINDOWS = 4
_MOST_NAMED = 3
_LEAST_NAMED = 0.05


class LoadWatch:
    """Watches the load of the processors from now on.

    Args:
        host: The machine.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._start: CpuTimes | None = host.cpu_times()
        self._start_ns = SystemClock.monotonic_ns()
        self._processes = process_cpu_s()

    def problems(self) -> Iterator[str]:
        """Yield a line if more processors were busy than on an idle machine."""
        now = self._host.cpu_times()
        if now is None or self._start is None or not now.are_shown:
            return
        processors = self._host.logical_cpus()
        busy = now.load_since(self._start) * processors
        limit = _IDLE_PROCESSORS + _IDLE_SHARE * processors
        if busy > limit:
            names = "".join(f"; {one}" for one in self._busiest())
            yield f"{busy:.1f} of {processors} processors were busy (idle: up to {limit:.1f}){names}"

    def _busiest(self) -> list[str]:
        """Return the processes that took most of the time, as text."""
        seconds = units.seconds(SystemClock.monotonic_ns() - self._start_ns)
        used = [
            ((cpu_s - self._processes.get(key, (name, 0.0))[1]) / seconds, name, key[0])
            for key, (name, cpu_s) in process_cpu_s().items()
        ]
        largest = sorted(used, reverse=True)[:_MOST_NAMED]
        return [
            f"{name} (process {pid}): {one:.1f}"
            for one, name, pid in largest
            if one >= _LEAST_NAMED
        ]


def variations(watts: Mapping[Device, Sequence[float]]) -> Iterator[str]:
    """Yield a line for each device whose power varies more than that of an idle machine.

    Args:
        watts: The power of each device, in windows of equal length.
    """
    for device, values in watts.items():
        if len(values) < _FEWEST_WINDOWS:
            continue
        mean_w, spread_w = fmean(values), pstdev(values)
        if spread_w > max(_LEAST_VARIATION_W, _VARIATION * mean_w):
            yield (
                f"{device.component} {device.name}: its power varied between {power(min(values))} and "
                f"{power(max(values))}"
            )


def gpu_problems(gpu_percent: float | None) -> Iterator[str]:
    """Yield a line if the GPUs were at work.

    Args:
        gpu_percent: Their mean utilisation; None if unknown.
    """
    if gpu_percent is not None and gpu_percent > _GPU_PERCENT:
        yield f"the GPUs were at work for {gpu_percent:.0f} % of the time"
