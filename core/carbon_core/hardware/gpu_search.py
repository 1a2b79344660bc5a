"""Searches for GPUs on a thread, so that a driver that hangs does not delay the other meters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from carbon_core.errors import MeterError
from carbon_core.hardware.driver_calls import attempt
from carbon_core.hardware.meter_spec import GpuBackend, GpuMeter, OpenContext
from carbon_core.record import field, record, replace
from carbon_core.records import Refusal
from carbon_core.threads import LazyThread


@record
class FoundGpus:
    """Result of a search for GPUs.

    Attributes:
        backend: The backend that found GPUs, or None.
        meters: Its meters, open.
        refusals: Backends and boards that are not used, each with the reason.
        not_tried: Names of the other backends, each with the reason why it was not tried.
        unsaid: Warnings about boards that the system shows, unless another meter counts GPUs.
    """

    backend: GpuBackend | None = None
    meters: Sequence[GpuMeter] = ()
    refusals: list[Refusal] = field(default_factory=list)
    not_tried: dict[str, str] = field(default_factory=dict)
    unsaid: list[str] = field(default_factory=list)


class GpuSearch:
    """Tries the backends in turn until one finds GPUs; starts at once.

    Args:
        backends: The backends, in order of preference.
        context: What they are opened with.
    """

    def __init__(self, backends: Sequence[GpuBackend], context: OpenContext) -> None:
        self._backends = backends
        self._said: list[str] = []
        self._on_problem = context.on_problem
        self._context = replace(context, on_problem=self._say)
        self._found = FoundGpus()
        self._given_up = self._is_done = False
        self._use: Callable[[FoundGpus], object] | None = None
        self._current: GpuBackend | None = None
        self._lock = threading.Lock()
        self._thread = LazyThread(self._search, "carbon-gpus")
        if not self._thread.start():
            self._search()

    @property
    def is_late(self) -> bool:
        """Whether `result` was returned before the search had ended."""
        return self._given_up

    def settled(self, timeout_s: float) -> bool:
        """Return whether the search ends within some seconds."""
        return not self._thread.exists or self._thread.join(timeout_s)

    def result(self, limit_s: float) -> FoundGpus:
        """Wait for the search and return what it found by then.

        Args:
            limit_s: Longest time to wait in seconds.
        """
        if not self.settled(limit_s):
            with self._lock:
                self._given_up = not self._is_done
        return self._after_timeout(limit_s) if self._given_up else self._found

    def when_late(self, use: Callable[[FoundGpus], object]) -> None:
        """Call a function with the result of a search that took too long; on the search's thread.

        Args:
            use: Takes over the meters; called at once where the search has ended since.
        """
        with self._lock:
            self._use = use
            is_done = self._is_done
        if is_done and self._given_up:
            use(self._found)

    def _after_timeout(self, limit_s: float) -> FoundGpus:
        """Return a copy of what is known while a driver still hangs, without its meters."""
        refusals, not_tried = list(self._found.refusals), dict(self._found.not_tried)
        current = self._current
        if current is not None:
            reason = f"{current.label} did not respond within {limit_s:g} s"
            self._on_problem(f"{reason}; its GPUs are counted once it does")
            refusals.append(Refusal(current.name, current.components[0], reason))
            later = self._backends[self._backends.index(current) + 1 :]
            not_tried |= {one.name: f"{current.label} did not respond" for one in later}
        return FoundGpus(refusals=refusals, not_tried=not_tried, unsaid=list(self._found.unsaid))

    def _search(self) -> None:
        backend, meters = self._first_with_gpus()
        with self._lock:
            self._is_done = True
            self._found.backend, self._found.meters = backend, meters
            use = self._use if self._given_up else None
        if use is not None:
            use(self._found)

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
        self._said.clear()
        try:
            if not backend.present(self._context.host):
                self._found.not_tried[backend.name] = "not on this machine"
                return ()
            meters = backend.open(self._context)
            refusals += [refusal for meter in meters for refusal in meter.dropped]
        except MeterError as error:
            refusals.append(Refusal(backend.name, component, error.reason, error.remedy))
            self._note_unsaid(backend, error)
        except Exception as error:  # noqa: BLE001 - the thread's guard: a driver may raise anything
            reason = f"it cannot be used: {error!r}"
            refusals.append(Refusal(backend.name, component, reason))
            self._say(f"{backend.label}: {reason}; its GPUs are not counted")
        else:
            return meters
        return ()

    def _say(self, text: str) -> None:
        self._said.append(text)
        self._on_problem(text)

    def _note_unsaid(self, backend: GpuBackend, error: MeterError) -> None:
        """Note boards that the system shows and the backend refuses, unless the user was warned."""
        boards = attempt(lambda: backend.boards(self._context.host), 0)
        if boards and not error.by_choice and not self._said:
            remedy = f": {error.remedy}" if error.remedy else ""
            count = "1 GPU is" if boards == 1 else f"{boards} GPUs are"
            self._found.unsaid.append(f"{count} not counted: {error.reason}{remedy}")
