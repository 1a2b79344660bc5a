"""Detects the meters of this machine: tries the rows of the table of meters in order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import NamedTuple

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware import meters as table
from carbon_core.hardware.base import Detection, DetectionOptions, Meter
from carbon_core.hardware.claims import Claimed, Claims, kept_with
from carbon_core.hardware.cpu_identity import CpuIdentity, identify
from carbon_core.hardware.gpu_search import FoundGpus, GpuSearch
from carbon_core.hardware.host import Host, JobProcesses
from carbon_core.hardware.idle import read_idle
from carbon_core.hardware.load_gauge import LoadGauge, Sharing
from carbon_core.hardware.meter_spec import GpuBackend, GpuMeter, MeterSpec, OpenContext
from carbon_core.hardware.process_share import JobUse, share_of
from carbon_core.hardware.rapl_zones import zone_facts
from carbon_core.methods import WITH_MEMORY
from carbon_core.records import COMPONENTS, Component, HostFacts, Refusal

__all__ = ["DetectionOptions", "discover", "load_libraries"]

_MAYBE_TWICE = (
    "the node's first rank was not found: if it runs, in a container for example, its GPUs are counted "
    "twice; the interval includes this"
)


def discover(
    host: Host, clock: Clock, options: DetectionOptions, on_problem: Callable[[str], None]
) -> Detection:
    """Try every meter and keep, for each component, the best that works.

    Args:
        host: The machine.
        clock: Source of the readings' times.
        options: The options, from the settings.
        on_problem: Callback that receives messages for the user.
    """
    return _Detector(host, clock, options, on_problem).detection()


def load_libraries() -> None:
    """Import the vendor libraries that a detection uses on every machine."""
    for spec in table.METERS:
        if spec.load is not None:
            spec.load()


class _Found(NamedTuple):
    """A meter that is used, with its row of the table."""

    spec: MeterSpec | GpuBackend
    meter: Meter


class _Detector:
    """One detection: the meters found so far, the refusals, and what was not tried."""

    def __init__(
        self, host: Host, clock: Clock, options: DetectionOptions, on_problem: Callable[[str], None]
    ) -> None:
        self._context = OpenContext(
            host, clock, options, functools.cache(lambda: _identity(host)), on_problem
        )
        self._options = options
        self._found: list[_Found] = []
        self._refusals: list[Refusal] = []
        self._not_tried: dict[str, str] = {}
        self._claims = self._rank_claims()
        self._is_first = self._claims.first if self._claims else options.first

    def _rank_claims(self) -> Claims | None:
        try:
            return self._options.claims() if self._options.claims else None
        except OSError as error:
            self._context.on_problem(f"the ranks cannot divide the devices: {error}")
            return None

    def detection(self) -> Detection:
        """Try the table from top to bottom: counters first, models last."""
        backends = [spec for spec in table.METERS if isinstance(spec, GpuBackend)]
        search = GpuSearch(backends, self._context)
        gpus: Sequence[GpuMeter] | None = None
        for spec in table.METERS:
            if isinstance(spec, MeterSpec):
                self._try(spec)
            elif gpus is None:  # all backends are searched together
                gpus = self._keep_gpus(search.result())
        gauge = self._gauge(gpus or ())
        facts = self._facts()
        meters = self._reduced_to_job([found.meter for found in self._found])
        if self._claims is not None:
            meters = kept_with(meters, self._claims)
        return Detection(tuple(meters), tuple(self._refusals), facts, gauge, self._not_tried)

    def _try(self, spec: MeterSpec) -> None:
        """Open a kind of meter if it is needed and can exist here."""
        missing = self._missing(spec)
        worse = [found for found in self._found if _is_replaced(found, spec)]
        if not self._is_first:
            self._not_tried[spec.name] = "the node's first rank measures it"
        elif not spec.present(self._context.host):
            self._not_tried[spec.name] = "not on this machine"
        elif not (worse or missing.intersection(spec.components)):
            self._not_tried[spec.name] = "not needed"
        elif self._open(spec, missing):
            self._replace(worse, spec)

    def _open(self, spec: MeterSpec, missing: AbstractSet[Component]) -> bool:
        """Keep the meters of a kind, or the reason why there is none; return whether there are any."""
        try:
            opened = spec.open(replace(self._context, missing=missing))
        except MeterError as error:
            refusal = Refusal(spec.name, spec.components[0], error.reason, error.remedy)
            self._refusals.append(refusal)
            return False
        self._refusals += opened.refusals
        self._found += [_Found(spec, meter) for meter in opened.meters]
        if not opened.meters and not opened.refusals:
            self._not_tried[spec.name] = "nothing found for what is not measured yet"
        return bool(opened.meters)

    def _missing(self, spec: MeterSpec) -> frozenset[Component]:
        """Return the components without a meter; models come last and replace what was refused."""
        devices = [device for _, meter in self._found for device in meter.devices]
        found: set[Component] = {device.component for device in devices}
        if any(device.method in WITH_MEMORY for device in devices):
            found.add("ram")
        modelled = frozenset() if spec.is_model else self._options.modelled
        return frozenset(COMPONENTS) - found - modelled

    def _replace(self, worse: Sequence[_Found], spec: MeterSpec) -> None:
        """Close the meters that a better one replaces: RAPL's core counters, by perf events."""
        for found in worse:
            self._found.remove(found)
            found.meter.close()
            (device, *_) = found.meter.devices
            reason = f"{device.method.summary}; {spec.name} measures all of it"
            self._refusals.append(Refusal(found.spec.name, device.component, reason))

    def _keep_gpus(self, result: FoundGpus) -> Sequence[GpuMeter]:
        """Keep the meters of GPUs that no other rank of the node counts, and close the others."""
        self._refusals += result.refusals
        self._not_tried |= result.not_tried
        if result.backend is None:
            return ()
        kept: list[GpuMeter] = []
        held = self._claim(result.meters)
        for meter in result.meters:
            if held is None or any(device.id in held for device in meter.devices):
                kept.append(meter)
                counted = meter if self._claims is None else Claimed(meter, self._claims)
                self._found.append(_Found(result.backend, counted))
            else:
                reason = "another rank of the node counts it"
                component = result.backend.components[0]
                self._refusals.append(Refusal(result.backend.name, component, reason))
                meter.close()
        return kept

    def _claim(self, gpus: Sequence[GpuMeter]) -> AbstractSet[str] | None:
        """Claim GPUs for this rank and return the ids of its own; None where all are."""
        if self._claims is not None:
            self._claims.take(device.id for meter in gpus for device in meter.devices)
            if self._claims.doubtful and self._claims.held:
                self._context.on_problem(_MAYBE_TWICE)
            return self._claims.held
        return None if self._is_first else frozenset()

    def _gauge(self, gpus: Sequence[GpuMeter]) -> LoadGauge:
        host = self._context.host
        sharings: list[Sharing] = []
        if gpus and host.sees_all_processes():
            is_own = JobProcesses(launched=self._options.launched).__contains__
            sharings = [one for meter in gpus if (one := meter.sharing(is_own)) is not None]
        counted = {device.id for _, meter in self._found for device in meter.devices}
        percent = functools.partial(_mean_percent, gpus, counted) if gpus else None
        return LoadGauge(host, percent, sharings)

    def _reduced_to_job(self, meters: Sequence[Meter]) -> Sequence[Meter]:
        """Return the meters, each reduced to the job's share if the options require it."""
        if not self._options.only_job:
            return meters
        host, clock = self._context.host, self._context.clock
        try:
            return share_of(meters, JobUse(host, clock), clock)
        except MeterError as error:
            refusal = Refusal("share of the job", "cpu", error.reason, error.remedy)
            self._refusals.append(refusal)
            return meters

    def _facts(self) -> HostFacts:
        host, idle_file = self._context.host, self._options.idle_file
        cpu = self._context.cpu()
        devices = [device for _, meter in self._found for device in meter.devices]
        return HostFacts(
            cpu_model=cpu.model_name,
            cpu_count=host.logical_cpus(),
            ram_total_gb=host.ram_total_gb(),
            gpu_models=tuple(device.name for device in devices if device.component == "gpu"),
            facts={
                "cpu_tdp_w": f"{cpu.tdp_w:g}",
                "cpu_tdp_match": cpu.match,
                **zone_facts(host.root),
            },
            idle_w=read_idle(idle_file) if idle_file and not self._options.only_job else {},
        )


def _identity(host: Host) -> CpuIdentity:
    return identify(
        host.text("proc/cpuinfo"),
        sys_vendor=host.text("sys/class/dmi/id/sys_vendor"),
        logical_cpus=host.logical_cpus(),
    )


def _is_replaced(found: _Found, spec: MeterSpec) -> bool:
    methods = [device.method for device in found.meter.devices]
    return bool(methods) and all(method in spec.better_than for method in methods)


def _mean_percent(gpus: Sequence[GpuMeter], counted: AbstractSet[str]) -> float | None:
    """Return the mean utilisation of the counted GPUs in percent, or None when it is unknown."""
    by_device = [item for meter in gpus for item in meter.utilization_percent().items()]
    loads = [load for device_id, load in by_device if device_id in counted]
    return sum(loads) / len(loads) if loads else None
