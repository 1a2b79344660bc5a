"""Chooses the meters of this machine: each kind is tried, and each refusal kept with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.apple import open_apple
from carbon_core.hardware.base import Detection, Meter
from carbon_core.hardware.claims import Claimed, Claims, kept_with
from carbon_core.hardware.cpu_identity import CpuIdentity, identify
from carbon_core.hardware.cpu_load import CpuLoadMeter
from carbon_core.hardware.dimms import read_dimms
from carbon_core.hardware.gpu_search import GpuMeter, GpuSearch
from carbon_core.hardware.host import Host, JobProcesses
from carbon_core.hardware.hwmon import open_hwmon
from carbon_core.hardware.idle import read_idle
from carbon_core.hardware.load_gauge import LoadGauge
from carbon_core.hardware.nvml.meter import NvmlMeter
from carbon_core.hardware.nvml.search import load_nvml
from carbon_core.hardware.nvml.sharing import GpuSharing
from carbon_core.hardware.process_share import JobUse, share_of
from carbon_core.hardware.ram import RamMeter
from carbon_core.hardware.rapl import open_rapl
from carbon_core.hardware.rapl_meter import RaplMeter
from carbon_core.hardware.rapl_perf import open_rapl_perf
from carbon_core.hardware.rapl_zones import zone_facts
from carbon_core.methods import RAPL_CORE
from carbon_core.records import COMPONENTS, Component, HostFacts, Refusal


@dataclass(frozen=True)
class DetectionOptions:
    """What to detect and how, from the settings.

    Attributes:
        period_s: Time between two reads of a counter in seconds.
        gpu_ids: The user's choice of GPUs, or None.
        gpu_environ: The variables of the environment that choose GPUs (`GPU_VARIABLES`).
        force_cpu_power_w: Rated CPU power for the load model, in place of any counter, or None.
        force_ram_power_w: Constant RAM power in watts, or None.
        force_cpu_load: Use the load model even where a counter can be read.
        only_job: Count the share of this process and its children, or of its container or batch job.
        launched: Whether a launcher started this process, with others of the job beside it.
        first: Whether it is the first of its job on this node, as far as is known; another one counts
            but the GPUs that the first one cannot see.
        claims: Where the ranks of the job claim GPUs, or None for a process on its own.
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
    first: bool = True
    claims: Callable[[], Claims] | None = None
    idle_file: Path | None = None


def discover(
    host: Host, clock: Clock, options: DetectionOptions, on_problem: Callable[[str], None]
) -> Detection:
    """Try every meter and keep, for each component, the best that works.

    Args:
        host: The machine.
        clock: Source of the readings' times.
        options: What the settings ask for.
        on_problem: Told in words what the user should know.
    """
    return _Search(host, clock, options, on_problem).detection()


def load_libraries() -> None:
    """Load the vendor libraries that a search begins with; one that is absent is reported by it."""
    load_nvml()


class _Search:
    """One search: what was found so far, and what was refused."""

    def __init__(
        self, host: Host, clock: Clock, options: DetectionOptions, on_problem: Callable[[str], None]
    ) -> None:
        self._host = host
        self._clock = clock
        self._options = options
        self._on_problem = on_problem
        self._meters: list[Meter] = []
        self._refusals: list[Refusal] = []
        self._claims = self._claims_of_rank()
        self._first = self._claims.first if self._claims else options.first

    def _claims_of_rank(self) -> Claims | None:
        try:
            return self._options.claims() if self._options.claims else None
        except OSError as error:
            self._on_problem(f"devices cannot be shared out among the ranks: {error}")
            return None

    def detection(self) -> Detection:
        """Look, from counters to models."""
        host, options = self._host, self._options
        gpu_search = GpuSearch(
            host.root,
            self._clock,
            options.period_s,
            options.gpu_ids,
            options.gpu_environ,
            self._on_problem,
        )
        identity = identify(
            host.text("proc/cpuinfo"),
            sys_vendor=host.text("sys/class/dmi/id/sys_vendor"),
            logical_cpus=host.logical_cpus(),
        )
        if self._first:
            if host.is_apple():
                self._try("apple", "cpu", partial(open_apple, self._clock, options.period_s))
            self._try_rapl(identity.model_name or "")
        gpus = self._of_rank(gpu_search.result(self._refusals))
        self._meters += self._claimed(gpus)
        if self._first:
            self._try_sensors()
            self._try_models(identity)
        gauge = LoadGauge(host, _gpu_percent(gpus), _sharing(host, gpus, launched=options.launched))
        facts = self._facts(identity)
        meters = self._of_job()
        if self._claims is not None:
            meters = kept_with(meters, self._claims)
        return Detection(tuple(meters), tuple(self._refusals), facts, gauge)

    def _try(self, name: str, component: Component, opener: Callable[[], Meter]) -> Meter | None:
        """Keep a meter, or the reason why there is none."""
        try:
            meter = opener()
        except MeterError as error:
            self._refusals.append(Refusal(name, component, error.reason, error.remedy))
            return None
        self._meters.append(meter)
        return meter

    def _missing(self) -> set[Component]:
        """Return the components that nothing measures yet and that the settings do not model."""
        options = self._options
        found = {device.component for meter in self._meters for device in meter.devices}
        if options.force_cpu_power_w is not None or options.force_cpu_load:
            found.add("cpu")
        if options.force_ram_power_w is not None:
            found.add("ram")
        return set(COMPONENTS) - found

    def _try_rapl(self, cpu_model: str) -> None:
        """Read the files of powercap; where they show less than packages, perf events."""
        if "cpu" not in self._missing():
            return
        files = self._rapl("rapl", open_rapl, cpu_model)
        if files is not None and any(d.method is not RAPL_CORE for d in files.devices):
            return
        events = self._rapl("rapl by perf", open_rapl_perf, cpu_model)
        if files is not None and events is not None:
            self._meters.remove(files)
            files.close()
            reason = "its files show the cores only, perf events the whole package"
            self._refusals.append(Refusal("rapl", "cpu", reason))

    def _rapl(
        self, name: str, opener: Callable[..., RaplMeter], cpu_model: str
    ) -> RaplMeter | None:
        def opened() -> RaplMeter:
            meter = opener(
                self._host.root,
                self._clock,
                self._options.period_s,
                cpu_model,
                dram="ram" in self._missing(),
                on_problem=self._on_problem,
            )
            self._refusals.extend(meter.dropped)
            return meter

        meter = self._try(name, "cpu", opened)
        return meter if isinstance(meter, RaplMeter) else None

    def _try_sensors(self) -> None:
        missing = self._missing()
        if missing:
            options = self._options
            meters, refusals = open_hwmon(
                self._host.root,
                self._clock,
                options.period_s,
                missing,
                gpu_ids=options.gpu_ids,
                environ=options.gpu_environ,
            )
            self._meters += meters
            self._refusals += refusals

    def _try_models(self, identity: CpuIdentity) -> None:
        host, clock, options = self._host, self._clock, self._options
        known = {device.component for meter in self._meters for device in meter.devices}
        if "cpu" not in known:
            rated_w = options.force_cpu_power_w
            self._try("cpu load", "cpu", partial(CpuLoadMeter, host, clock, identity, rated_w))
        if "ram" not in known:
            forced_w = options.force_ram_power_w
            size_gb, dimms = host.ram_total_gb(), read_dimms(host.root)
            opener = partial(RamMeter, clock, size_gb, options.period_s, forced_w, dimms)
            self._try("ram model", "ram", opener)

    def _of_rank(self, gpus: Sequence[GpuMeter]) -> Sequence[GpuMeter]:
        """Return the meters of GPUs that no other rank of the node counts, and close the others."""
        if self._claims is not None:
            self._claims.take(device.id for meter in gpus for device in meter.devices)
        elif self._first:
            return gpus
        held = self._claims.held if self._claims else frozenset()
        kept = [meter for meter in gpus if any(one.id in held for one in meter.devices)]
        for meter in gpus:
            if meter not in kept:
                self._refusals.append(Refusal("nvml", "gpu", "another rank of the node counts it"))
                meter.close()
        return kept

    def _claimed(self, gpus: Sequence[GpuMeter]) -> Sequence[Meter]:
        if self._claims is None:
            return gpus
        return [Claimed(meter, self._claims) for meter in gpus]

    def _of_job(self) -> Sequence[Meter]:
        if not self._options.only_job:
            return self._meters
        try:
            return share_of(self._meters, JobUse(self._host, self._clock), self._clock)
        except MeterError as error:
            refusal = Refusal("share of the job", "cpu", error.reason, error.remedy)
            self._refusals.append(refusal)
            return self._meters

    def _facts(self, identity: CpuIdentity) -> HostFacts:
        host, idle_file = self._host, self._options.idle_file
        devices = [device for meter in self._meters for device in meter.devices]
        return HostFacts(
            cpu_model=identity.model_name,
            cpu_count=host.logical_cpus(),
            ram_total_gb=host.ram_total_gb(),
            gpu_models=tuple(device.name for device in devices if device.component == "gpu"),
            facts={
                "cpu_tdp_w": f"{identity.tdp_w:g}",
                "cpu_tdp_match": identity.match,
                **zone_facts(host.root),
            },
            idle_w=read_idle(idle_file) if idle_file and not self._options.only_job else {},
        )


def _gpu_percent(gpus: Sequence[GpuMeter]) -> Callable[[], float | None] | None:
    if not gpus:
        return None

    def mean_percent() -> float | None:
        loads = [load for meter in gpus if (load := meter.utilization_percent()) is not None]
        return sum(loads) / len(loads) if loads else None

    return mean_percent


def _sharing(host: Host, gpus: Sequence[GpuMeter], *, launched: bool) -> GpuSharing | None:
    meters = [meter for meter in gpus if isinstance(meter, NvmlMeter)]
    if not meters or not host.sees_all_processes():
        return None
    boards = [board for meter in meters for board in meter.boards]
    return GpuSharing(meters[0].nvml, boards, JobProcesses(launched=launched).__contains__)
