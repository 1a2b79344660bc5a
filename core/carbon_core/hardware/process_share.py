"""``tracking_mode=process``: the job's share of the energy of processors and memory.

The job is the container or batch job that the process runs in, else the process with its children.
Its share of the processors' energy is its share of their busy time, idle draw included; its share of
the memory's energy is its share of the memory in use, without page cache where the system
distinguishes it. GPUs are counted whole:
``gpu_ids`` and ``CUDA_VISIBLE_DEVICES`` select those of the job.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.base import Meter, WrappedMeter
from carbon_core.hardware.cgroup import own_cgroup
from carbon_core.hardware.host import Host, ProcessTree
from carbon_core.hardware.job_memory import Memory
from carbon_core.methods import Method
from carbon_core.record import replace
from carbon_core.records import Component, Device, Reading

# A child that is found late brings all of its processor time: nothing is lost, only counted later.
_BETWEEN_WALKS_NS = 15 * units.NANOSECONDS_PER_SECOND
_BETWEEN_SAMPLES_NS = units.NANOSECONDS_PER_SECOND
# The first sample is earlier, because no share is known until then; one at 10 ms would be too noisy.
_FIRST_SAMPLE_NS = 50_000_000
# An assumption: energy follows processor time only roughly (frequency, vector units, memory traffic).
_SIGMA_LN = 0.25


class Use(NamedTuple):
    """Cumulative use of the machine by the job and in total.

    Attributes:
        job_cpu_s: Processor time of the job in seconds.
        busy_cpu_s: Processor time of all processes in seconds.
        memory: Share of the memory in use that is the job's, 0 to 1.
    """

    job_cpu_s: float
    busy_cpu_s: float
    memory: float


class JobUse:
    """Measures the use of the machine by the job.

    Args:
        host: The machine.
        clock: Source of time.
        tree: The process with its children; found when None.

    Raises:
        MeterError: The system does not report it.
    """

    def __init__(self, host: Host, clock: Clock, tree: ProcessTree | None = None) -> None:
        self._host = host
        self._clock = clock
        self._cgroup = own_cgroup(host)
        self._tree = tree or ProcessTree()
        self._walk_ns = clock.monotonic_ns()
        self.first = self.now()
        if self.first is None:
            raise MeterError("the system does not report this process's use of the machine")

    @property
    def is_group(self) -> bool:
        """Whether the job may have other processes that this one has not started."""
        return self._cgroup is not None

    @property
    def name(self) -> str:
        """What counts as the job, for messages."""
        return f"control group {self._cgroup.path}" if self._cgroup else "process and children"

    def now(self) -> Use | None:
        """Return the use so far, or None when the system does not report it."""
        times, job = self._host.cpu_times(), self._job()
        if times is None or job is None:
            return None
        cpu_s, memory = job
        all_gb = self._host.memory_gb(memory.kinds)
        if all_gb is None:
            return None
        return Use(cpu_s, times.busy_s, min(1.0, memory.gb / all_gb) if all_gb > 0 else 1.0)

    def _job(self) -> tuple[float, Memory] | None:
        if self._cgroup is None:
            return self._tree_use()
        cpu_s, memory = self._cgroup.cpu_s(self._host), self._cgroup.memory(self._host)
        return None if cpu_s is None or memory is None else (cpu_s, memory)

    def _tree_use(self) -> tuple[float, Memory] | None:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._walk_ns:
            self._walk_ns = now_ns + _BETWEEN_WALKS_NS
            self._tree.walk()
        used = self._tree.use()
        return (used[0], Memory(used[1], self._tree.memory_kinds)) if used else None


class SharedMeter(WrappedMeter):
    """A meter, reduced to the job's share.

    Args:
        meter: Reads the whole machine.
        use: Measures the use of the machine by the job.
        clock: Source of time.
    """

    def __init__(self, meter: Meter, use: JobUse, clock: Clock) -> None:
        super().__init__(meter, tuple(map(_shared, meter.devices)))
        self._use = use
        self._clock = clock
        self._components: dict[str, Component] = {d.id: d.component for d in meter.devices}
        self._last = use.first
        self._due_ns = clock.monotonic_ns() + _FIRST_SAMPLE_NS
        self._shares: dict[Component, float] = {}

    def read(self) -> list[Reading]:
        """Read the meter; each reading carries the share of the span since the previous one."""
        self._sample()
        shares, components = self._shares, self._components
        return [r._replace(share=shares.get(components[r.device_id])) for r in self._meter.read()]

    def _sample(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._due_ns:
            return
        now = self._use.now()
        if now is not None and self._last is not None:
            self._update_shares(self._last, now)
        self._last, self._due_ns = now or self._last, now_ns + _BETWEEN_SAMPLES_NS

    def _update_shares(self, before: Use, after: Use) -> None:
        busy_s = after.busy_cpu_s - before.busy_cpu_s
        # A child that has ended is missing from the tree until its parent has waited for it.
        job_s = max(0.0, after.job_cpu_s - before.job_cpu_s)
        if busy_s > 0:
            self._shares["cpu"] = min(1.0, job_s / busy_s)
        self._shares["ram"] = after.memory


def share_of(meters: Sequence[Meter], use: JobUse, clock: Clock) -> list[Meter]:
    """Return the meters with the processors' and the memory's energy reduced to the job's share.

    Args:
        meters: Read the whole machine.
        use: Measures the use of the machine by the job.
        clock: Source of time.
    """
    return [
        SharedMeter(meter, use, clock)
        if any(device.component != "gpu" for device in meter.devices)
        else meter
        for meter in meters
    ]


def _shared(device: Device) -> Device:
    return device if device.component == "gpu" else replace(device, method=_of(device.method))


def _of(method: Method) -> Method:
    return replace(
        method,
        name=f"{method.name}.share",
        grade=max(method.grade, "C"),
        sigma_ln=math.hypot(method.sigma_ln, _SIGMA_LN),
        summary=f"{method.summary} x share of the job",
    )
