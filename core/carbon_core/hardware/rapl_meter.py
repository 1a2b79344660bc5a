"""The RAPL meter, for counters of powercap or perf events, and its devices."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter as Counts
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from carbon_core import units
from carbon_core.clock import Clock
from carbon_core.file_locks import OpenFile
from carbon_core.hardware.read_timer import ReadTimer
from carbon_core.hardware.still_counter import StillCounter
from carbon_core.methods import (
    RAPL_AMD,
    RAPL_CORE,
    RAPL_DRAM,
    RAPL_INTEL_CLIENT,
    RAPL_INTEL_SERVER,
    Method,
)
from carbon_core.record import field, record
from carbon_core.records import Component, Device, Reading, Refusal

ModelsW = Mapping[Component, Callable[[], "float | None"]]

_MAX_PACKAGE_W = 1500.0
_MAX_DRAM_W = 500.0
# Counters are updated about every millisecond, and no powered package or memory draws nothing.
_STILL_S = 1.0
# A counter whose power falls below this part is read again soon, for it may have stopped.
_FALLEN = 0.5
_SHORTEST_NS = units.nanoseconds(0.05)
_SOON_S = 1.02 * _STILL_S
# Names of zones are checked again after that time.
_CHECK_NS = units.nanoseconds(0.5)


@record
class Counter:
    """An open counter.

    Attributes:
        device: The device that it measures.
        place: Its name for messages.
        descriptor: The open file; closed by the meter.
        joules: Reads the descriptor; raises OSError or ValueError when that fails.
        opened_again: Reopens the file after a socket was offline or the zones were renumbered; None
            where that is impossible.
        is_same: Returns whether the open file still belongs to the device.
        still: Detects that the counter stands still.
        has_slowed: Whether its power has just fallen to less than half.
    """

    device: Device
    place: str
    descriptor: int
    joules: Callable[[int], float]
    opened_again: Callable[[], int] | None = None
    is_same: Callable[[int], bool] = lambda descriptor: True
    still: StillCounter = field(default_factory=lambda: StillCounter(_STILL_S))

    has_slowed: bool = False
    _last: tuple[int, float] | None = None
    _power_w: float | None = None

    def note(self, t_ns: int, joules: float) -> None:
        """Note a value, to detect a sudden fall of the power: the counter may have stopped."""
        before, self._last = self._last, (t_ns, joules)
        if before is None or t_ns - before[0] < _SHORTEST_NS:
            self._last = before or self._last
            return
        power_w = (joules - before[1]) / units.seconds(t_ns - before[0])
        if power_w < 0.0:  # it has wrapped, or was reset
            return
        has_fallen = self._power_w is not None and power_w < _FALLEN * self._power_w
        was_slow, self.has_slowed = self.has_slowed, has_fallen
        if power_w > 0.0 and (was_slow or not has_fallen):
            self._power_w, self.has_slowed = power_w, False

    def __post_init__(self) -> None:
        self._file = OpenFile(self.descriptor)

    def reopen(self) -> bool:
        """Reopen the file; return whether that succeeded."""
        if self.opened_again is None:
            return False
        try:
            descriptor = self.opened_again()
        except OSError:
            return False
        self.close()
        self.descriptor, self._file = descriptor, OpenFile(descriptor)
        return True

    def read(self) -> float:
        """Read the counter, in joules; of a descriptor that the program has closed, nothing is read."""
        if not self._file.is_ours:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self.joules(self.descriptor)

    def close(self) -> None:
        """Close the file, unless the program has closed it: the descriptor may be in use again."""
        if self._file.is_ours:
            os.close(self.descriptor)


class RaplMeter:
    """Reads open counters.

    Args:
        counters: The counters; closed by the meter.
        clock: Source of the readings' times.
        period_s: Longest time between two reads in seconds.
        on_problem: Callback that receives one message for each counter that can no longer be read.
        dropped: Counters that were found and are not used, each with the reason.
        models_w: Functions that return the power of all packages, and of all memory, since their last
            call; for counters that never move.
    """

    # It warns about failed reads itself, with the reason.
    reports_failures = True

    def __init__(
        self,
        counters: Sequence[Counter],
        clock: Clock,
        period_s: float,
        on_problem: Callable[[str], None],
        dropped: Sequence[Refusal] = (),
        models_w: ModelsW | None = None,
    ) -> None:
        self.devices = tuple(counter.device for counter in counters)
        self._period_s = period_s
        self.dropped = tuple(dropped)
        self._clock = clock
        self._counters = list(counters)
        self._reads = [
            (counter, ReadTimer(clock), partial(self._joules, counter)) for counter in counters
        ]
        self._on_problem = on_problem
        self._failed: set[str] = set()
        self._lost: set[str] = set()
        self._models_w = models_w or {}
        self._counts = Counts(device.component for device in self.devices)
        self._checked_ns = clock.monotonic_ns()

    @property
    def period_s(self) -> float:
        """Longest time between two reads in seconds; shorter while a counter may have stopped."""
        is_doubtful = any(counter.has_slowed for counter in self._counters)
        return min(self._period_s, _SOON_S) if is_doubtful else self._period_s

    def read(self) -> list[Reading]:
        """Read every counter, in joules."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._checked_ns >= _CHECK_NS:
            self._checked_ns = now_ns
            for counter in self._counters:
                self._check(counter)
        modelled_w: dict[Component, float | None] = {}
        if self._models_w:
            # From the first reading on, so that the model's mean begins there.
            unmoved = {one.device.component for one in self._counters if not one.still.has_moved}
            for component, model in self._models_w.items():
                if component in unmoved:
                    modelled_w[component] = model()
        return [self._reading(*one, modelled_w) for one in self._reads]

    def close(self) -> None:
        """Close the files."""
        close_all(self._counters)
        self._reads.clear()

    def _check(self, counter: Counter) -> None:
        """Reopen a counter whose file is another device's by now: the kernel renumbers zones."""
        if not counter.is_same(counter.descriptor) and not counter.reopen():
            self._lost.add(counter.place)
        else:
            self._lost.discard(counter.place)

    def _reading(
        self,
        counter: Counter,
        timer: ReadTimer,
        joules: Callable[[], float | None],
        modelled_w: Mapping[Component, float | None],
    ) -> Reading:
        t_ns, value = timer.read(joules)
        power_w = None
        if value is not None:
            counter.note(t_ns, value)
            if counter.still.stands_still(value, t_ns) and not counter.still.has_moved:
                component = counter.device.component
                all_w = modelled_w.get(component)
                power_w = None if all_w is None else all_w / self._counts[component]
        return Reading(counter.device.id, t_ns, value, None, power_w)

    def _joules(self, counter: Counter) -> float | None:
        try:
            if counter.place in self._lost:
                raise ValueError(f"no zone is called {counter.device.name} any more")
            return counter.read()
        except OSError as error:
            if counter.reopen():
                with contextlib.suppress(OSError, ValueError):
                    return counter.read()
            self._report_failure(counter, error)
        except ValueError as error:
            self._report_failure(counter, error)
        return None

    def _report_failure(self, counter: Counter, error: OSError | ValueError) -> None:
        """Report a failed counter once; it may work again later."""
        if counter.place not in self._failed:
            self._failed.add(counter.place)
            self._on_problem(_failure_message(counter, error))


def close_all(counters: list[Counter]) -> None:
    """Close counters and empty the list."""
    while counters:
        counters.pop().close()


def package_device(name: str, cpu_model: str, wrap_j: float | None = None) -> Device:
    """Return a processor package, or a die with its own counter."""
    method = _package_method(cpu_model.lower())
    return _device(f"cpu:{name}", "cpu", name, method, wrap_j, _MAX_PACKAGE_W)


def dram_device(label: str, wrap_j: float | None = None) -> Device:
    """Return the memory of a package."""
    return _device(f"ram:{label}", "ram", label, RAPL_DRAM, wrap_j, _MAX_DRAM_W)


def core_device(label: str, wrap_j: float | None = None) -> Device:
    """Return the cores of a package without a package counter."""
    return _device(f"cpu:{label}", "cpu", label, RAPL_CORE, wrap_j, _MAX_PACKAGE_W)


def _device(
    device_id: str,
    component: Component,
    name: str,
    method: Method,
    wrap_j: float | None,
    max_power_w: float,
) -> Device:
    return Device(
        device_id,
        component,
        name,
        method,
        wrap_j=wrap_j,
        max_power_w=max_power_w,
        still_s=_STILL_S,
    )


def why(error: OSError | ValueError) -> str:
    """Return the reason why a counter could not be read, as text."""
    if isinstance(error, PermissionError):
        return "permission denied"
    return getattr(error, "strerror", None) or str(error)


def _package_method(cpu_model: str) -> Method:
    if "amd" in cpu_model:
        return RAPL_AMD
    return RAPL_INTEL_SERVER if "xeon" in cpu_model else RAPL_INTEL_CLIENT


def _failure_message(counter: Counter, error: OSError | ValueError) -> str:
    return (
        f"cannot read {counter.place} of {counter.device.name} any more: {why(error)}; "
        "its energy is extrapolated from the previous power until it can"
    )
