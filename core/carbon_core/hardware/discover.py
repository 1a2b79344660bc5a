"""Chooses the meters of this machine: each kind is tried, and each refusal kept with its reason."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.base import Detection, Meter
from carbon_core.hardware.cpu_identity import CpuIdentity, identify
from carbon_core.hardware.cpu_load import CpuLoadMeter
from carbon_core.hardware.dimms import read_dimms
from carbon_core.hardware.host import Host, JobProcesses
from carbon_core.hardware.idle import read_idle
from carbon_core.hardware.load_gauge import LoadGauge
from carbon_core.hardware.nvml.meter import NvmlMeter
from carbon_core.hardware.nvml.search import open_nvml
from carbon_core.hardware.nvml.sharing import GpuSharing
from carbon_core.hardware.process_share import JobUse, share_of
from carbon_core.hardware.ram import RamMeter
from carbon_core.hardware.rapl import open_rapl
from carbon_core.hardware.rapl_meter import RaplMeter
from carbon_core.hardware.rapl_perf import open_rapl_perf
from carbon_core.hardware.rapl_zones import zone_facts
from carbon_core.methods import RAPL_CORE
from carbon_core.records import Component, HostFacts, Refusal
from carbon_core.threads import LazyThread

# A healthy driver answers within a second, also after a cold start of eight boards.
_GPU_SEARCH_S = 5.0
GPU_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
)


@dataclass(frozen=True)
class Wanted:
    """What the settings ask of the hardware.

    Attributes:
        period_s: Time between two reads of a counter in seconds.
        gpu_ids: The user's choice of GPUs, or None.
        gpu_environ: The variables of the environment that choose GPUs (`GPU_VARIABLES`).
        force_cpu_power_w: Rated CPU power for the load model, in place of any counter, or None.
        force_ram_power_w: Constant RAM power in watts, or None.
        force_cpu_load: Use the load model even where a counter can be read.
        only_job: Count the share of this process and its children, or of its container or batch job.
        launched: Whether a launcher started this process, with others of the job beside it.
        idle_file: Where the machine's idle draw is kept, or None.
    """

    period_s: float = 15.0
    gpu_ids: Sequence[int | str] | None = None
    gpu_environ: Mapping[str, str] = field(default_factory=dict)
    force_cpu_power_w: float | None = None
    force_ram_power_w: float | None = None
    force_cpu_load: bool = False
    only_job: bool = False
    launched: bool = False
    idle_file: Path | None = None


def discover(
    host: Host, clock: Clock, wanted: Wanted, on_problem: Callable[[str], None]
) -> Detection:
    """Try every meter and keep, for each component, the best that works.

    Args:
        host: The machine.
        clock: Source of the readings' times.
        wanted: What the settings ask for.
        on_problem: Told in words what the user should know.
    """
    refusals: list[Refusal] = []
    identity = identify(
        host.text("proc/cpuinfo"),
        sys_vendor=host.text("sys/class/dmi/id/sys_vendor"),
        logical_cpus=host.logical_cpus(),
    )
    gpu_search = _GpuSearch(clock, wanted, on_problem)
    cpus = _cpu_meters(host, clock, wanted, identity, refusals, on_problem)
    rams = _ram_meters(host, clock, wanted, cpus, refusals)
    gpus = gpu_search.result(refusals)
    meters = (*_of_job([*cpus, *rams], host, clock, wanted, refusals), *gpus)
    gauge = LoadGauge(host, _gpu_percent(gpus), _gpu_sharing(host, gpus, launched=wanted.launched))
    facts = _facts(host, identity, gpus)
    if wanted.idle_file is not None and not wanted.only_job:
        facts = replace(facts, idle_w=read_idle(wanted.idle_file))
    return Detection(meters, tuple(refusals), facts, gauge)


class _GpuSearch:
    """Looks for GPUs on a thread of its own: a driver that hangs must not hold up the rest.

    Args:
        clock: Source of the readings' times.
        wanted: What the settings ask for.
        on_problem: Told in words what the user should know.
    """

    def __init__(self, clock: Clock, wanted: Wanted, on_problem: Callable[[str], None]) -> None:
        self._clock = clock
        self._wanted = wanted
        self._on_problem = on_problem
        self._found: list[NvmlMeter] = []
        self._error: MeterError | None = None
        self._given_up = False
        self._turn = threading.Lock()
        self._thread = LazyThread(self._search, "carbon-gpus")
        if not self._thread.start():
            self._search()

    def result(self, refusals: list[Refusal]) -> list[NvmlMeter]:
        """Return the meters that were found in time; note why there are none."""
        if self._thread.exists and not self._thread.join(_GPU_SEARCH_S):
            with self._turn:
                self._given_up = not (self._found or self._error)
        if self._given_up:
            self._error = MeterError(f"NVML did not answer within {_GPU_SEARCH_S:g} s")
        if self._error is not None:
            refusals.append(_refusal("nvml", "gpu", self._error))
        for meter in self._found:
            refusals += meter.dropped
        return self._found

    def _search(self) -> None:
        wanted = self._wanted
        try:
            found = open_nvml(
                self._clock,
                wanted.period_s,
                wanted.gpu_ids,
                wanted.gpu_environ,
                self._on_problem,
            )
        except MeterError as error:
            self._error = error
            return
        except Exception as error:  # noqa: BLE001 - the thread's guard: a driver's surprise
            self._error = MeterError(f"NVML cannot be used: {error!r}")
            return
        with self._turn:
            if not self._given_up:
                self._found = found
                return
        for meter in found:  # nobody waits for them any more
            meter.close()


def _cpu_meters(
    host: Host,
    clock: Clock,
    wanted: Wanted,
    identity: CpuIdentity,
    refusals: list[Refusal],
    on_problem: Callable[[str], None],
) -> list[Meter]:
    if wanted.force_cpu_power_w is None and not wanted.force_cpu_load:
        model = identity.model_name or ""
        rapl = _rapl_meter(host, clock, wanted, model, refusals, on_problem)
        if rapl is not None:
            return [rapl]
    try:
        return [CpuLoadMeter(host, clock, identity, wanted.force_cpu_power_w)]
    except MeterError as error:
        refusals.append(_refusal("cpu load", "cpu", error))
        return []


def _rapl_meter(
    host: Host,
    clock: Clock,
    wanted: Wanted,
    cpu_model: str,
    refusals: list[Refusal],
    on_problem: Callable[[str], None],
) -> RaplMeter | None:
    def tried(name: str, opener: Callable[..., RaplMeter]) -> RaplMeter | None:
        dram = wanted.force_ram_power_w is None
        try:
            meter = opener(
                host.root, clock, wanted.period_s, cpu_model, dram=dram, on_problem=on_problem
            )
        except MeterError as error:
            refusals.append(_refusal(name, "cpu", error))
            return None
        refusals.extend(meter.dropped)
        return meter

    files = tried("rapl", open_rapl)
    if files is not None and any(device.method is not RAPL_CORE for device in files.devices):
        return files
    events = tried("rapl by perf", open_rapl_perf)
    if files is None or events is None:
        return files or events
    files.close()
    reason = "its files show the cores only, perf events the whole package"
    refusals.append(Refusal("rapl", "cpu", reason))
    return events


def _ram_meters(
    host: Host, clock: Clock, wanted: Wanted, cpus: list[Meter], refusals: list[Refusal]
) -> list[Meter]:
    metered = any(device.component == "ram" for meter in cpus for device in meter.devices)
    if metered:
        return []
    try:
        dimms = read_dimms(host.root)
        size_gb, forced_w = host.ram_total_gb(), wanted.force_ram_power_w
        return [RamMeter(clock, size_gb, wanted.period_s, forced_w, dimms)]
    except MeterError as error:
        refusals.append(_refusal("ram model", "ram", error))
        return []


def _of_job(
    meters: list[Meter], host: Host, clock: Clock, wanted: Wanted, refusals: list[Refusal]
) -> list[Meter]:
    if not wanted.only_job:
        return meters
    try:
        return share_of(meters, JobUse(host, clock), clock)
    except MeterError as error:
        refusals.append(_refusal("share of the job", "cpu", error))
        return meters


def _facts(host: Host, identity: CpuIdentity, gpus: Sequence[NvmlMeter]) -> HostFacts:
    return HostFacts(
        cpu_model=identity.model_name,
        cpu_count=host.logical_cpus(),
        ram_total_gb=host.ram_total_gb(),
        gpu_models=tuple(device.name for meter in gpus for device in meter.devices),
        facts={
            "cpu_tdp_w": f"{identity.tdp_w:g}",
            "cpu_tdp_match": identity.match,
            **zone_facts(host.root),
        },
    )


def _gpu_percent(gpus: Sequence[NvmlMeter]) -> Callable[[], float | None] | None:
    if not gpus:
        return None

    def mean_percent() -> float | None:
        loads = [load for meter in gpus if (load := meter.utilization_percent()) is not None]
        return sum(loads) / len(loads) if loads else None

    return mean_percent


def _gpu_sharing(host: Host, gpus: Sequence[NvmlMeter], *, launched: bool) -> GpuSharing | None:
    if not gpus or not host.sees_all_processes():
        return None
    boards = [board for meter in gpus for board in meter.boards]
    return GpuSharing(gpus[0].nvml, boards, JobProcesses(launched=launched).__contains__)


def _refusal(meter: str, component: Component, error: MeterError) -> Refusal:
    return Refusal(meter, component, error.reason, error.remedy)
