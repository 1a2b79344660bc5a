"""Emissions of a run: its location, and the grid intensity of each joule.

All requests are made by the network worker. An intensity may arrive late: it applies to the joules since
the previous one. After `settle`, it is discarded.
"""

from __future__ import annotations

from datetime import timedelta

from carbon_core import units
from carbon_core.emissions_curve import EmissionsCurve
from carbon_core.errors import IntensityError
from carbon_core.formatting import formatted
from carbon_core.hours import HourlyJoules, iso_hour
from carbon_core.intensity.live import by_hour
from carbon_core.records import Intensity, Marginal, Snapshot, Window
from carbon_core.report import RunFacts
from carbon_core.sampler import Sampler
from carbon_core.tracker.parts import Parts
from carbon_core.tracker.run_lines import announce
from carbon_core.tracker.stage import RunState, Stage
from carbon_core.workers import Worker


class RunEmissions:
    """The emissions curve of a run, and the requests that feed it.

    Attributes:
        curve: Grams by cumulative joules.
        hours: Cumulative joules at the ends of the hours.
        marginal: Marginal intensity during the run, once it is known; not part of the emissions.

    Args:
        parts: Location, intensity and sources that the run begins with.
        sampler: Has the joules so far.
        network: Worker that makes the requests.
        state: Stage of the run.
    """

    def __init__(self, parts: Parts, sampler: Sampler, network: Worker, state: RunState) -> None:
        self._sampler = sampler
        self._network = network
        self._state = state
        self._clock = parts.clock
        self._messages = parts.messages
        self._opened_at = parts.clock.now()
        # With the location that was learned; assigned by the network worker only.
        self._located = parts
        self._offline = False
        self.curve = EmissionsCurve(parts.assumed, pue=parts.facts.pue)
        self.hours = HourlyJoules(self._opened_at)
        self.marginal: Marginal | None = None

    @property
    def facts(self) -> RunFacts:
        """Facts of the run, with its location as far as that is known."""
        return self._located.facts

    @property
    def assumed(self) -> Intensity:
        """Intensity that applies until a live value arrives."""
        return self._located.assumed

    def grams(self, window: Window) -> float:
        """Return the grams of CO2e of a window's energy, with the intensities known so far."""
        return self.curve.grams(window.end.joules) - self.curve.grams(window.start.joules)

    def note_hour(self, snapshot: Snapshot) -> None:
        """Record the cumulative joules of a snapshot at its own time, for hourly intensities."""
        late_s = units.seconds(self._clock.monotonic_ns() - snapshot.t_ns)
        self.hours.note(self._clock.now() - timedelta(seconds=late_s), snapshot.joules)

    def go_offline(self) -> None:
        """Make no request: another rank reports this machine."""
        self._offline = True

    def request_location(self) -> None:
        """Request the location, on which all other requests depend."""
        if self._located.learn_place is not None and not self._offline:
            self._network.submit(self._locate)

    def request_intensity(self) -> None:
        """Request the current intensity, for the energy since the last one."""
        self._network.submit(self._update)

    def settle(self, end: Snapshot, timeout_s: float) -> None:
        """Make the last requests and fix the emissions of the run.

        Args:
            end: The last snapshot.
            timeout_s: Longest time to wait for responses; without one, the last intensity applies.
        """
        live, learn = self._located.live, self._located.learn_place
        if self._offline or not any((live, learn, self._located.marginal)):
            return
        self._network.submit(lambda: self._update_end(end))
        self._network.submit(self._request_marginal)
        if not self._network.settle(timeout_s):
            what = "live grid intensity" if live else "place or marginal intensity"
            self._warn(f"no {what}: no response in time", self.curve.assumed)
        self._state.stage = Stage.FINAL
        self.curve.apply(end.joules, self.curve.assumed)

    # --- called by the network worker ------------------------------------------------------------

    def _locate(self) -> None:
        before = self._located
        if before.learn_place is None:
            return
        located = before.learn_place(before)
        if located is before or self._state.final:
            return
        self._located = located
        self.curve = EmissionsCurve(located.assumed, pue=located.facts.pue)
        announce(self._messages, "place", f"{described(located.assumed)}; {located.assumed.note}")

    def _update(self, *, insist: bool = False) -> bool:
        """Apply the current intensity; return whether the source responded.

        Args:
            insist: Request even soon after a failure.
        """
        live = self._located.live
        if live is None or self._offline or self._state.final:
            return False
        up_to_j = self._sampler.latest.joules
        responded = False
        try:
            intensity = live.latest(insist=insist)
            responded = True
        except IntensityError as error:
            intensity = live.held or self.assumed
            self._warn(f"no live grid intensity: {error}", intensity)
        if not self._state.final:
            self.curve.apply(up_to_j, intensity)
        return responded

    def _update_end(self, end: Snapshot) -> None:
        """Apply the last intensity, and to past hours their own where it is known."""
        live, spans = self._located.live, self.hours.spans(end.joules)
        if live is None or not self._update(insist=True) or len(spans) == 1:
            return
        try:
            values = by_hour(live.between(spans[0].start, self._clock.now()))
        except IntensityError:
            return  # these hours keep the value that was current at the time
        known = [(span, values.get(iso_hour(span.start))) for span in spans]
        if not self._state.final:
            self.curve.apply(end.joules, self.curve.assumed)
            self.curve.revise([(span.begin_j, span.end_j, one) for span, one in known if one])

    def _request_marginal(self) -> None:
        source = self._located.marginal
        if source is None or self._state.final:
            return
        try:
            self.marginal = source.marginal(self._opened_at, self._clock.now())
        except IntensityError as error:
            self._messages.warn(f"no marginal intensity: {error}")

    def _warn(self, problem: str, instead: Intensity) -> None:
        held = f"{formatted(instead.g_per_kwh)} g CO2e/kWh ({instead.source})"
        self._messages.warn(f"{problem}; {held} is used")


def described(intensity: Intensity) -> str:
    """Return an intensity and its place as text for a message."""
    return f"{formatted(intensity.g_per_kwh)} g CO2e/kWh ({intensity.place})"
