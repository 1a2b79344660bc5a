"""Detects the meters of this machine: tries the rows of the table of meters in order."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware import meters as table
from carbon_core.hardware.base import GPU_WAIT_S, Detection, DetectionOptions, LateGpus, Meter
from carbon_core.hardware.calibrated_meter import calibrated, calibrated_idle, unknown_devices
from carbon_core.hardware.claims import Claimed, Claims, kept_with
from carbon_core.hardware.driver_calls import attempt
from carbon_core.hardware.gpu_search import FoundGpus, GpuSearch
from carbon_core.hardware.host import Host, JobProcesses
from carbon_core.hardware.host_facts import host_facts, identity_of
from carbon_core.hardware.idle import read_idle
from carbon_core.hardware.load_gauge import LoadGauge, Sharing
from carbon_core.hardware.meter_spec import GpuBackend, GpuMeter, MeterSpec, OpenContext
from carbon_core.hardware.process_share import JobUse, share_of
from carbon_core.methods import WITH_MEMORY
from carbon_core.optional_facts import OptionalFact
from carbon_core.record import replace
from carbon_core.records import COMPONENTS, Component, Device, HostFacts, Refusal

__all__ = ["DetectionOptions", "discover", "load_libraries", "with_late_gpus"]

# A machine without GPUs, or with a driver that is loaded, responds within that.
_QUICK_S = 0.02
# A home directory on a server that does not respond must not delay the measurement.
_IDLE_LIMIT_S = 1.0

_MAYBE_TWICE = (
    "the node's first rank was not found: if it runs, in a container for example, its GPUs are counted "
    "twice; the interval includes this"
)


def discover(
    host: Host,
    clock: Clock,
    options: DetectionOptions,
    on_problem: Callable[[str], None],
    *,
    waits: bool = True,
) -> Detection:
    """Try every meter and keep, for each component, the best that works.

    Args:
        host: The machine.
        clock: Source of the readings' times.
        options: The options, from the settings.
        on_problem: Callback that receives messages for the user.
        waits: Whether to wait for GPUs whose driver takes a moment; else the `late` of the result does.
    """
    found = _Detector(host, clock, options, on_problem).detection()
    return found.late.settled() if waits and found.late is not None else found


def with_late_gpus(detection: Detection, timeout_s: float) -> Detection:
    """Wait for a slow search for GPUs, and return the detection with what it found.

    Args:
        detection: Result of `discover`.
        timeout_s: Longest time to wait in seconds; GPUs that are found after it are closed.
    """
    if detection.late is None:
        return detection
    ready = threading.Event()
    given_up = threading.Event()
    found = [detection]

    def use(later: Detection) -> None:
        found.append(later.completing(settled))
        ready.set()
        if given_up.is_set():
            for meter in later.meters[len(detection.meters) :]:
                meter.close()

    settled = detection.late.settled().completing(detection)
    if settled.late is None:
        return settled
    detection = settled
    found[:] = [settled]
    settled.late.on_ready(use)
    if not ready.wait(timeout_s):
        given_up.set()
        return detection
    return found[-1]


def load_libraries() -> None:
    """Import the vendor libraries that a detection uses on every machine."""
    for spec in table.METERS:
        if spec.load is not None:
            spec.load()


def _in_order(not_tried: dict[str, str]) -> dict[str, str]:
    """Return reasons in the order of the table, however long the search for GPUs took."""
    names = (spec.name for spec in table.METERS)
    return {name: not_tried[name] for name in names if name in not_tried}


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
            host, clock, options, functools.cache(lambda: identity_of(host)), on_problem
        )
        self._options = options
        self._found: list[_Found] = []
        self._refusals: list[Refusal] = []
        self._not_tried: dict[str, str] = {}
        self._gpus_are_pending = self._is_contested = False
        self._of_gpus: Sequence[Refusal] = ()
        self._unsaid: Sequence[str] = ()
        self._kept: Sequence[Meter] = ()
        self._claims = self._rank_claims()
        self._is_first = self._claims.first if self._claims else options.first

    def _rank_claims(self) -> Claims | None:
        try:
            return self._options.claims() if self._options.claims else None
        except OSError as error:
            self._context.on_problem(f"the ranks cannot divide the devices: {error}")
            return None

    def detection(self) -> Detection:
        """Try the table from top to bottom; slow GPUs are found later, unless there is nothing else."""
        backends = [spec for spec in table.METERS if isinstance(spec, GpuBackend)]
        search = GpuSearch(backends, self._context)
        gpus: Sequence[GpuMeter] | None = None
        for spec in table.METERS:
            if isinstance(spec, MeterSpec):
                self._try(spec)
            elif not self._gpus_are_pending and gpus is None:  # all backends are searched together
                if search.settled(_QUICK_S):
                    gpus = self._keep_gpus(search.result(0.0))
                self._gpus_are_pending = gpus is None
        late = _Late(search, self) if self._gpus_are_pending and self._is_first else None
        if late is None:
            if self._gpus_are_pending:
                gpus = self._wait_for(search)
            if search.is_late:
                search.when_late(_close_all)
            self._warn_unsaid()
        self._load_gauge = LoadGauge(self._context.host, *self._gpu_load(gpus or ()))
        return self._detection(self._all_meters(), late=late)

    def settled(self, search: GpuSearch, late: LateGpus | None) -> Detection:
        """Return the detection again, with the GPUs that a slow search has found within its time."""
        before = len(self._found)
        gpus = self._wait_for(search)
        if not search.is_late:
            self._warn_unsaid()
            late = None
        return self._with_new(before, gpus, late)

    def late_detection(self, result: FoundGpus) -> Detection:
        """Return the detection again, with GPUs that were found after it."""
        if "gpu" in {
            device.component for device in _devices(self._found)
        }:  # by a sensor, perhaps the same
            _close_all(result)
            result = replace(result, backend=None, meters=())
        before = len(self._found)
        self._refusals = [one for one in self._refusals if one not in self._of_gpus]
        gpus = self._keep_gpus(result)
        self._warn_unsaid()
        return self._with_new(before, gpus)

    def _with_new(
        self, before: int, gpus: Sequence[GpuMeter], late: LateGpus | None = None
    ) -> Detection:
        """Return the detection with the meters that were found after the first `before` ones."""
        self._load_gauge.add_gpus(*self._gpu_load(gpus))
        new: Sequence[Meter] = [found.meter for found in self._found[before:]]
        new = self._adjusted(new)
        if self._claims is not None and not self._kept:
            new = kept_with(new, self._claims)
        self._kept = (*self._kept, *new)
        return self._detection(self._kept, late=late)

    def _detection(self, meters: Sequence[Meter], late: LateGpus | None = None) -> Detection:
        found = tuple(meters), tuple(self._refusals), self._facts()
        gauge, not_tried = self._load_gauge, _in_order(self._not_tried)
        return Detection(*found, gauge, not_tried, late=late, contested=self._is_contested)

    def _all_meters(self) -> Sequence[Meter]:
        meters = self._adjusted([found.meter for found in self._found])
        self._kept = meters if self._claims is None else kept_with(meters, self._claims)
        return self._kept

    def _wait_for(self, search: GpuSearch) -> Sequence[GpuMeter]:
        """Return the GPUs of a slow search; without any, try the other meters of GPUs."""
        limit_s = self._options.gpu_search_limit_s
        gpus = self._keep_gpus(
            search.result(min(limit_s, GPU_WAIT_S) if self._is_first else limit_s)
        )
        self._gpus_are_pending = False
        for spec in table.METERS:
            if isinstance(spec, MeterSpec) and "gpu" in self._missing(spec) & {*spec.components}:
                self._try(spec)
        return gpus

    def _warn_unsaid(self) -> None:
        """Warn about GPUs that no meter counts, and about calibrations of devices that are not there."""
        devices, texts = _devices(self._found), list(self._unsaid)
        if "gpu" in {device.component for device in devices}:
            texts.clear()
        if self._claims is None and self._is_first:  # other ranks may count them
            texts += unknown_devices(self._options.calibrations, devices)
        for text in texts:
            self._context.on_problem(text)

    def _try(self, spec: MeterSpec) -> None:
        """Open a kind of meter if it is needed and can exist here."""
        missing = self._missing(spec)
        worse = [found for found in self._found if _is_replaced(found, spec)]
        if not self._is_first:
            self._not_tried[spec.name] = "the node's first rank measures it"
        elif not attempt(lambda: spec.present(self._context.host), True):
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
        except Exception as error:  # noqa: BLE001 - the surprise of one row must not cost the others
            reason = f"it cannot be used: {error!r}"
            self._refusals.append(Refusal(spec.name, spec.components[0], reason))
            self._context.on_problem(f"the meter {spec.name}: {reason}")
            return False
        self._refusals += [one for one in opened.refusals if one not in self._refusals]
        self._found += [_Found(spec, meter) for meter in opened.meters]
        if opened.meters:
            self._not_tried.pop(spec.name, None)
        elif not opened.refusals:
            self._not_tried[spec.name] = "nothing found for what is not measured yet"
        return bool(opened.meters)

    def _missing(self, spec: MeterSpec) -> frozenset[Component]:
        """Return the components without a meter; models come last and replace what was refused."""
        found: set[Component] = {device.component for device in _devices(self._found)}
        if any(device.method in WITH_MEMORY for device in _devices(self._found)):
            found.add("ram")
        modelled = frozenset() if spec.is_model else self._options.modelled
        pending: frozenset[Component] = frozenset({"gpu"} if self._gpus_are_pending else ())
        return frozenset(COMPONENTS) - found - modelled - pending

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
        self._of_gpus, self._unsaid = result.refusals, result.unsaid
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
                self._is_contested = True
                reason = "another rank of the node counts it"
                component = result.backend.components[0]
                self._refusals.append(Refusal(result.backend.name, component, reason))
                meter.close()
        return kept

    def _claim(self, gpus: Sequence[GpuMeter]) -> AbstractSet[str] | None:
        """Claim GPUs for this rank and return the ids of its own; None where all are."""
        if self._claims is not None:
            self._claims.take(device.id for meter in gpus for device in meter.devices)
            self._is_contested |= self._claims.doubtful
            if self._claims.doubtful and self._claims.held:
                self._context.on_problem(_MAYBE_TWICE)
            return self._claims.held
        return None if self._is_first else frozenset()

    def _gpu_load(
        self, gpus: Sequence[GpuMeter]
    ) -> tuple[Callable[[], float | None] | None, Sequence[Sharing]]:
        """Return what gives the mean utilisation of GPUs, and the samplers of their other users."""
        if not gpus:
            return None, ()
        sharings: list[Sharing] = []
        if self._context.host.sees_all_processes():
            is_own = JobProcesses(launched=self._options.launched).__contains__
            sharings = [one for meter in gpus if (one := meter.sharing(is_own)) is not None]
        counted = {device.id for device in _devices(self._found)}
        return functools.partial(_mean_percent, gpus, counted), sharings

    def _adjusted(self, meters: Sequence[Meter]) -> Sequence[Meter]:
        """Return the meters, calibrated, and reduced to the shares that the options require."""
        meters, divided = calibrated(meters, self._options.calibrations), COMPONENTS
        host, clock = self._context.host, self._context.clock
        try:
            if self._options.only_job:
                use = JobUse(host, clock)
                meters = share_of(meters, use, clock)
                divided = COMPONENTS if use.is_group else ("gpu",)
        except MeterError as error:
            refusal = Refusal("share of the job", "cpu", error.reason, error.remedy)
            self._refusals.append(refusal)
        return _in_study(meters, self._options.study_id, divided, clock)

    def _facts(self) -> HostFacts:
        devices = _devices(self._found)
        return host_facts(self._context.host, self._context.cpu(), devices, self._idle_w())

    def _idle_w(self) -> Mapping[str, float]:
        """Return the idle power of the machine; empty where it is unknown or not applicable."""
        path = self._options.idle_file
        if path is None or self._options.only_job:
            return {}
        idle_w = OptionalFact(lambda: read_idle(path), "carbon-idle").result(_IDLE_LIMIT_S, {})
        return calibrated_idle(idle_w, _devices(self._found), self._options.calibrations)


class _Late:
    """The search for GPUs of a detection that did not wait for it."""

    def __init__(self, search: GpuSearch, detector: _Detector) -> None:
        self._search, self._detector = search, detector

    def settled(self) -> Detection:
        return self._detector.settled(self._search, self)

    def on_ready(self, use: Callable[[Detection], object]) -> None:
        self._search.when_late(lambda result: use(self._detector.late_detection(result)))


def _close_all(result: FoundGpus) -> None:
    for meter in result.meters:
        meter.close()


def _is_replaced(found: _Found, spec: MeterSpec) -> bool:
    methods = [device.method for device in found.meter.devices]
    return bool(methods) and all(method in spec.better_than for method in methods)


def _mean_percent(gpus: Sequence[GpuMeter], counted: AbstractSet[str]) -> float | None:
    """Return the mean utilisation of the counted GPUs in percent, or None when it is unknown."""
    by_device = [item for meter in gpus for item in meter.utilization_percent().items()]
    loads = [load for device_id, load in by_device if device_id in counted]
    return sum(loads) / len(loads) if loads else None


def _devices(found: Sequence[_Found]) -> list[Device]:
    return [device for _, meter in found for device in meter.devices]


def _in_study(
    meters: Sequence[Meter], study_id: str | None, divided: Collection[Component], clock: Clock
) -> Sequence[Meter]:
    if study_id is None:
        return meters
    from carbon_core.hardware.study_shares import shared_in_study  # needed only in a study

    return shared_in_study(meters, study_id, divided, clock.monotonic_ns())
