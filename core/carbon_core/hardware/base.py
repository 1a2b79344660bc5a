"""Interfaces of meters and gauges, the options of a detection, and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from carbon_core.methods import Calibration
from carbon_core.record import field, record, replace
from carbon_core.records import Component, Device, HostFacts, Reading, Refusal, Utilization

if TYPE_CHECKING:
    from carbon_core.hardware.claims import Claims


# A healthy driver responds sooner, also after a cold start of eight boards.
GPU_WAIT_S = 1.0


class Meter(Protocol):
    """Reads the devices of one kind.

    The function that opens a meter takes a real reading first and raises `MeterError`, with the
    reason and the remedy, when there is nothing to read.

    """

    @property
    def devices(self) -> Sequence[Device]:
        """The devices that are read; fixed for the life of the meter."""
        ...

    @property
    def period_s(self) -> float:
        """Longest time between two reads that loses no energy, in seconds."""
        ...

    def read(self) -> Sequence[Reading]:
        """Read every device once; a failed device gives a reading of None, not an exception."""
        ...

    def close(self) -> None:
        """Release files and libraries. Never raises; idempotent."""
        ...


class Promotion(NamedTuple):
    """A device that a better method can read from now on.

    Attributes:
        device: The device as that method reads it, with the same id.
        readings: Its readings so far by that method.
        use: Makes the meter use the method. Not done yet: another thread may replace the present one
            while a driver blocks it.
    """

    device: Device
    readings: Sequence[Reading]
    use: Callable[[], object]


class WrappedMeter:
    """A meter around another one; subclasses change what is read.

    Attributes:
        devices: The devices that are read.

    Args:
        meter: The other meter, closed with this one.
        devices: As above.
    """

    def __init__(self, meter: Meter, devices: Sequence[Device]) -> None:
        self._meter = meter
        self.devices = devices

    @property
    def period_s(self) -> float:
        """The period of the meter."""
        return self._meter.period_s

    @property
    def reports_failures(self) -> bool:
        """Whether the meter warns about failed reads itself, with the reason."""
        return getattr(self._meter, "reports_failures", False)

    def read(self) -> Sequence[Reading]:
        """Read the meter."""
        return self._meter.read()

    def promoted(self) -> Sequence[Promotion]:
        """Return the devices that a better method can read now; most meters have none."""
        return promotions_of(self._meter)

    def close(self) -> None:
        """Close the meter."""
        self._meter.close()


def promotions_of(meter: Meter) -> Sequence[Promotion]:
    """Return the devices of a meter that a better method can read now."""
    promoted = getattr(meter, "promoted", None)
    return promoted() if promoted is not None else ()


class Gauge(Protocol):
    """Mean utilisation of the machine since the gauge was made."""

    def sample(self) -> None:
        """Take one sample of everything."""
        ...

    def sample_host(self) -> None:
        """Take one sample of processors and memory; fast."""
        ...

    def sample_gpus(self) -> None:
        """Take one sample of the GPUs; a driver may delay it, or hang."""
        ...

    def restart(self) -> None:
        """Forget the samples so far, at the start of a run."""
        ...

    def means(self) -> Utilization:
        """Return the means so far."""
        ...


@record(frozen=True)
class DetectionOptions:
    """What to detect and how, from the settings.

    Attributes:
        period_s: Time between two reads of a counter in seconds.
        gpu_ids: GPUs that the user selected, or None.
        gpu_environ: The environment variables that select GPUs (`meters.gpu_variables`).
        force_cpu_power_w: Rated CPU power for the load model, used instead of any counter, or None.
        force_ram_power_w: Constant RAM power in watts, or None.
        force_cpu_load: Use the load model even where a counter can be read.
        only_job: Count the share of this process and its children, or of its container or batch job.
        launched: Whether a launcher started this process together with others of the job.
        first: Whether this is the first process of its job on this node, as far as known; any other
            one counts only the GPUs that the first one cannot see.
        claims: Returns the locks by which the ranks of the job claim GPUs; None for a single process.
        idle_file: File with the idle power of the machine, or None.
        calibrations: Calibrations by the user, by `Device.id` or component.
        study_id: The study whose processes divide the machine, or None.
        gpu_search_limit_s: Longest time to wait for the GPU drivers, in seconds; of a process that
            counts more than GPUs, no longer than `GPU_WAIT_S`. GPUs that are found later join the run.
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
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    study_id: str | None = None
    gpu_search_limit_s: float = 5.0

    @property
    def modelled(self) -> frozenset[Component]:
        """The components for which the settings require a model, even if a meter could be used."""
        wanted: dict[Component, bool] = {
            "cpu": self.force_cpu_power_w is not None or self.force_cpu_load,
            "ram": self.force_ram_power_w is not None,
        }
        return frozenset(component for component, is_wanted in wanted.items() if is_wanted)


class LateGpus(Protocol):
    """A search for GPUs that takes longer than other meters."""

    def settled(self) -> Detection:
        """Wait as long as a healthy driver takes, and return the detection with what was found by then.

        Its `late` is None unless the driver still does not respond.
        """
        ...

    def on_ready(self, use: Callable[[Detection], object]) -> None:
        """Call a function, on the search's thread, with the detection that has the GPUs as well.

        Args:
            use: Takes over the new meters, which it has to close.
        """
        ...


@record(frozen=True)
class Detection:
    """Result of a detection.

    Attributes:
        meters: The meters to use; no device occurs twice.
        refusals: Meters that were tried and are not used, each with the reason.
        host: Facts about the machine for the results.
        gauge: Mean utilisation for the results.
        not_tried: The other meters by name, each with the reason why it was not tried.
        early: Readings made before a run began, so that nothing has to be extrapolated.
        late: The search for GPUs, where it has not ended yet; else None.
        contested: Whether another rank counts devices that were found: later, it may not.
    """

    meters: tuple[Meter, ...]
    refusals: tuple[Refusal, ...] = ()
    host: HostFacts = field(default_factory=HostFacts)
    gauge: Gauge | None = None
    not_tried: Mapping[str, str] = field(default_factory=dict)
    early: tuple[Reading, ...] = ()
    late: LateGpus | None = None
    contested: bool = False

    def completing(self, earlier: Detection) -> Detection:
        """Return this detection with those facts that only an earlier one has."""
        facts = {**earlier.host.facts, **self.host.facts}
        return replace(self, host=replace(self.host, facts=facts))
