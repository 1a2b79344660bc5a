"""Searches for GPUs on a thread, so that a driver that hangs does not delay the other meters."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from carbon_core.errors import MeterError
from carbon_core.hardware.meter_spec import GpuBackend, GpuMeter, OpenContext
from carbon_core.records import Refusal
from carbon_core.threads import LazyThread


@dataclass
class FoundGpus:
    """Result of a search for GPUs.

    Attributes:
        backend: The backend that found GPUs, or None.
        meters: Its meters, open.
        refusals: Backends and boards that are not used, each with the reason.
        not_tried: Names of the other backends, each with the reason why it was not tried.
    """

    backend: GpuBackend | None = None
    meters: Sequence[GpuMeter] = ()
    refusals: list[Refusal] = field(default_factory=list)
    not_tried: dict[str, str] = field(default_factory=dict)


class GpuSearch:
    """Tries the backends in turn until one finds GPUs; starts at once.

    Args:
        backends: The backends, in order of preference.
        context: What they are opened with; its options hold the time limit.
    """

    def __init__(self, backends: Sequence[GpuBackend], context: OpenContext) -> None:
        self._backends = backends
        self._context = context
        self._found = FoundGpus()
        self._given_up = self._is_done = False
        self._current: GpuBackend | None = None
        self._lock = threading.Lock()
        self._thread = LazyThread(self._search, "carbon-gpus")
        if not self._thread.start():
            self._search()

    def result(self) -> FoundGpus:
        """Wait for the search, at most for the time limit, and return what it found."""
        limit_s = self._context.options.gpu_search_limit_s
        if self._thread.exists and not self._thread.join(limit_s):
            with self._lock:
                self._given_up = not self._is_done
        return self._after_timeout(limit_s) if self._given_up else self._found

    def _after_timeout(self, limit_s: float) -> FoundGpus:
        """Return a copy of what is known while a driver still hangs, without its meters."""
        refusals, not_tried = list(self._found.refusals), dict(self._found.not_tried)
        current = self._current
        if current is not None:
            reason = f"{current.label} did not respond within {limit_s:g} s"
            refusals.append(Refusal(current.name, current.components[0], reason))
            later = self._backends[self._backends.index(current) + 1 :]
            not_tried |= {one.name: f"{current.label} did not respond" for one in later}
        return FoundGpus(refusals=refusals, not_tried=not_tried)

    def _search(self) -> None:
        backend, meters = self._first_with_gpus()
        with self._lock:
            self._is_done = True
            if not self._given_up:
                self._found.backend, self._found.meters = backend, meters
                return
        for meter in meters:  # found too late to be used
            meter.close()

    def _first_with_gpus(self) -> tuple[GpuBackend | None, Sequence[GpuMeter]]:
        found: tuple[GpuBackend | None, Sequence[GpuMeter]] = None, ()
        for backend in self._backends:
            if found[0] is not None:
                self._found.not_tried[backend.name] = f"not needed: {found[0].label} found GPUs"
            elif meters := self._open(backend):
                found = backend, meters
        return found

    def _open(self, backend: GpuBackend) -> Sequence[GpuMeter]:
        """Return the meters of a backend; note the reason where there are none."""
        self._current = backend
        refusals = self._found.refusals
        component = backend.components[0]
        try:
            if not backend.present(self._context.host):
                self._found.not_tried[backend.name] = "not on this machine"
                return ()
            meters = backend.open(self._context)
            refusals += [refusal for meter in meters for refusal in meter.dropped]
        except MeterError as error:
            refusals.append(Refusal(backend.name, component, error.reason, error.remedy))
        except Exception as error:  # noqa: BLE001 - the thread's guard: a driver may raise anything
            refusals.append(Refusal(backend.name, component, f"it cannot be used: {error!r}"))
        else:
            return meters
        return ()
