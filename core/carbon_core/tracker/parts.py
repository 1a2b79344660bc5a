"""What a run is made of: `carbon_core.assemble` fills it in from settings, tests put fakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from carbon_core.budget import Budget
from carbon_core.clock import Clock
from carbon_core.hardware.base import Detection
from carbon_core.messages import Messages
from carbon_core.outputs.archive import Archive
from carbon_core.outputs.base import FileOutput
from carbon_core.outputs.delivery import Delivery
from carbon_core.records import Intensity, Marginal
from carbon_core.report import RunFacts


class LiveIntensity(Protocol):
    """A source of grid intensity that answers over the network."""

    def latest(self, *, insist: bool = False) -> Intensity:
        """Return the value that holds now, or raise `IntensityError`.

        Args:
            insist: Ask even where the source would rather be left alone after a failure.
        """
        ...

    def between(self, start: datetime, end: datetime) -> Sequence[Intensity]:
        """Return the values of a span, each with its time, or raise `IntensityError`."""
        ...

    @property
    def held(self) -> Intensity | None:
        """Its last answer, as far as that still holds, or None."""
        ...


class MarginalIntensity(Protocol):
    """A source of marginal intensity that answers over the network."""

    def marginal(self, start: datetime, end: datetime) -> Marginal:
        """Return the mean over a span, or raise `IntensityError`."""
        ...


@dataclass(frozen=True)
class Parts:
    """Everything a run is made of; `carbon_core.assemble` fills it in, tests put fakes.

    Attributes:
        clock: Source of time.
        facts: What is known before anything is measured.
        detect: Finds the meters; slow, so it runs on the sampler's thread.
        assumed: The intensity that holds until a live source says otherwise.
        heartbeat_s: Seconds between two journal records.
        make_outputs: Gives the files of the results; on the sampler's thread, for it may be slow.
        make_deliveries: Gives the outputs that are told over the network, or are the user's own.
        live: A live source of intensity, if the settings ask for one.
        marginal: A source of marginal intensity, if the settings ask for one; asked at the end.
        live_every: Heartbeats between two live look-ups, and between two deliveries; None for only at
            the end.
        shutdown_timeout_s: Longest time that closing may take.
        start_patience_s: Longest time that starting waits for the first readings.
        min_duration_s: A run shorter than this reaches no output and shows no line but warnings.
        messages: Lines for people.
        first_phase: The phase that the run begins with.
        budget: What the run may use, if the settings limit it.
        only_with_meters: Whether a run that finds no meter leaves no file and asks nobody: that of a
            rank whose node another one measures.
        archive: The runs that came before, in the same directory; None where no files are kept.
        learn_place: Finds out over the network where the machine is; returns the parts with that place's
            facts, intensity and live source. None where the settings say it, or forbid to ask.
    """

    clock: Clock
    facts: RunFacts
    detect: Callable[[], Detection]
    assumed: Intensity
    heartbeat_s: float = 15.0
    make_outputs: Callable[[], Sequence[FileOutput]] = tuple
    make_deliveries: Callable[[], Sequence[Delivery]] = tuple
    live: LiveIntensity | None = None
    marginal: MarginalIntensity | None = None
    live_every: int | None = None
    shutdown_timeout_s: float = 2.0
    start_patience_s: float = 0.01
    min_duration_s: float = 0.0
    messages: Messages = field(default_factory=Messages)
    first_phase: str = "run"
    budget: Budget | None = None
    only_with_meters: bool = False
    archive: Archive | None = None
    learn_place: Callable[[Parts], Parts] | None = None
