"""Types of the rows of the table of meters (`meters.METERS`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from carbon_core.clock import Clock
from carbon_core.hardware.base import DetectionOptions, Meter
from carbon_core.hardware.cpu_identity import CpuIdentity
from carbon_core.hardware.host import Host
from carbon_core.hardware.load_gauge import Sharing
from carbon_core.methods import Method
from carbon_core.record import record
from carbon_core.records import Component, Refusal


@record(frozen=True)
class OpenContext:
    """What the function that opens a meter may use.

    Attributes:
        host: The machine.
        clock: Source of the readings' times.
        options: Options of the detection.
        cpu: Returns the processor and its thermal design power.
        on_problem: Callback that receives messages for the user.
        missing: Components that no better meter measures.
    """

    host: Host
    clock: Clock
    options: DetectionOptions
    cpu: Callable[[], CpuIdentity]
    on_problem: Callable[[str], None]
    missing: AbstractSet[Component] = frozenset()


class Opened(NamedTuple):
    """Result of opening a kind of meter.

    Attributes:
        meters: The open meters; none where there is nothing to measure.
        refusals: Devices that were found and are not used, each with the reason.
    """

    meters: Sequence[Meter]
    refusals: Sequence[Refusal] = ()


class GpuMeter(Meter, Protocol):
    """A meter of GPUs."""

    @property
    def dropped(self) -> Sequence[Refusal]:
        """Boards that were found and are not used, each with the reason."""
        ...

    def utilization_percent(self) -> Mapping[str, float]:
        """Return the utilisation of the boards in percent by device id, where it is known."""
        ...

    def sharing(self, is_own: Callable[[int], bool]) -> Sharing | None:
        """Return a sampler of other users' processes on the boards; None where unsupported.

        Args:
            is_own: True for the ids of processes that belong to the job.
        """
        ...


def _always(host: Host) -> bool:
    return True


def _none(host: Host) -> int:
    return 0


@record(frozen=True, kw_only=True)
class _Spec:
    """Fields of every row.

    Attributes:
        name: Name in refusals and results, such as ``rapl``.
        module: The module that opens it; the only one that may import `vendor_module`.
        methods: Methods that its devices may have.
        vendor_module: Python module of the vendor's library, or an empty string.
        distribution: Distribution that provides `vendor_module`, or an empty string.
        extra: Extra of this package that installs the distribution; empty where it is required.
        variables: Environment variables that select its devices.
        present: False where the machine cannot have such a meter; it is then not tried.
        load: Imports its vendor module ahead of a detection.
    """

    name: str
    module: str
    methods: tuple[Method, ...]
    vendor_module: str = ""
    distribution: str = ""
    extra: str = ""
    variables: tuple[str, ...] = ()
    present: Callable[[Host], bool] = _always
    load: Callable[[], None] | None = None


@record(frozen=True, kw_only=True)
class MeterSpec(_Spec):
    """A kind of meter, one row of the table.

    Attributes:
        components: It is tried while one of these has no meter; the first one is that of refusals.
        open: Opens it; raises `MeterError` where it cannot be used.
        also: Components that it measures beside them.
        better_than: Methods of which it replaces a meter that measures the same component.
        is_model: A model, which is also used where the settings require one.
    """

    components: tuple[Component, ...]
    open: Callable[[OpenContext], Opened]
    also: tuple[Component, ...] = ()
    better_than: tuple[Method, ...] = ()
    is_model: bool = False


@record(frozen=True, kw_only=True)
class GpuBackend(_Spec):
    """A GPU maker's library, one row of the table; searched by `GpuSearch` on a thread.

    Attributes:
        label: Name of the library in messages.
        open: Opens a meter for each period; raises `MeterError` where there is nothing to read.
        boards: Number of its boards that the operating system shows, without the library.
    """

    label: str
    open: Callable[[OpenContext], Sequence[GpuMeter]]
    boards: Callable[[Host], int] = _none
    components: tuple[Component, ...] = ("gpu",)
    also: tuple[Component, ...] = ()
