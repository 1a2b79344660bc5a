"""The parts of a run: `carbon_core.assemble` makes them from settings, tests use fakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from carbon_core.budget import Budget
from carbon_core.clock import Clock
from carbon_core.hardware.base import Detection
from carbon_core.intensity.live import MarginalSource
from carbon_core.messages import Messages
from carbon_core.outputs.archive import Archive
from carbon_core.outputs.base import FileOutput
from carbon_core.outputs.delivery import Delivery
from carbon_core.record import field, record
from carbon_core.records import Intensity
from carbon_core.report import Report, RunFacts


class LiveIntensity(Protocol):
    """A live source of grid intensity, requested over the network."""

    def latest(self, *, insist: bool = False) -> Intensity:
        """Return the current value, or raise `IntensityError`.

        Args:
            insist: Request even while the source is backed off after a failure.
        """
        ...

    def between(self, start: datetime, end: datetime) -> Sequence[Intensity]:
        """Return the values of a span, each with its time, or raise `IntensityError`."""
        ...

    @property
    def held(self) -> Intensity | None:
        """Its last value, while it is valid, or None."""
        ...


@record(frozen=True)
class Parts:
    """The parts of a run; `carbon_core.assemble` makes them, tests use fakes.

    Attributes:
        clock: Source of time.
        facts: Facts of the run before anything is measured.
        detect: Finds the meters; slow, so it runs on the sampler's thread.
        assumed: Intensity that applies until a live value arrives.
        heartbeat_s: Seconds between two journal records.
        make_outputs: Makes the files of the results; slow, so it runs on the sampler's thread.
        make_deliveries: Makes the outputs that are sent over the network, and the user's own.
        live: Live source of grid intensity, if the settings enable one.
        marginal: Source of marginal intensity, if the settings enable one; requested at the end.
        live_every: Heartbeats between two live requests, and between two deliveries; None for only at
            the end.
        shutdown_timeout_s: Longest time that closing may take.
        start_patience_s: Longest time that starting waits for readings, at which the run then begins.
        meter_patience_s: Longest time that a read of a meter may take; one that takes longer is
            abandoned, and the other meters are still read.
        min_duration_s: A shorter run is sent to no output and logs warnings only.
        messages: Log messages.
        first_phase: The phase that the run begins with.
        budget: Limits of energy and emissions, if the settings have any.
        only_with_meters: Whether a run that finds no meter writes no file and makes no request: that
            of a rank whose node another rank measures.
        archive: Earlier runs of the same directory; None where no files are kept.
        learn_place: Locates the machine over the network; returns the parts with the facts, intensity
            and live source of that place. None where the settings set the place, or forbid requests.
        detection_key: What the detection depends on; equal for runs that may use the same meters.
        load_modules: Loads the other modules of a run, so that it imports none; must not raise.
        completed: Returns a report of the run with what is measured beside it: the trials of a study.
    """

    clock: Clock
    facts: RunFacts
    detect: Callable[[], Detection]
    assumed: Intensity
    heartbeat_s: float = 15.0
    make_outputs: Callable[[], Sequence[FileOutput]] = tuple
    make_deliveries: Callable[[], Sequence[Delivery]] = tuple
    live: LiveIntensity | None = None
    marginal: MarginalSource | None = None
    live_every: int | None = None
    shutdown_timeout_s: float = 2.0
    start_patience_s: float = 0.05
    meter_patience_s: float = 2.0
    min_duration_s: float = 0.0
    messages: Messages = field(default_factory=Messages)
    first_phase: str = "run"
    budget: Budget | None = None
    only_with_meters: bool = False
    archive: Archive | None = None
    learn_place: Callable[[Parts], Parts] | None = None
    detection_key: object = None
    load_modules: Callable[[], object] = lambda: None
    completed: Callable[[Report], Report] = lambda report: report
