"""One run: from `start()` to `stop()`, made of a sampler, worker threads, a price curve and outputs.

    new ──open()──▶ running ──close(status)──▶ closed
                       │ mark(), snapshot(), report()

A run is used once; a tracker that starts again makes another. Whoever closes it first wins: the
user's `stop()`, the collector of a forgotten tracker, or the interpreter's exit.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from carbon_core import units
from carbon_core.errors import CarbonError, IntensityError
from carbon_core.hardware.base import Detection, Meter
from carbon_core.hours import HourlyJoules, iso_hour
from carbon_core.intensity.live import by_hour
from carbon_core.ledger import PriceCurve
from carbon_core.messages import printable
from carbon_core.outputs.base import FileOutput, occupy_standard_descriptors
from carbon_core.outputs.delivery import Delivery
from carbon_core.records import Intensity, Marginal, Segment, Snapshot, Utilization, Window
from carbon_core.report import Phase, Report
from carbon_core.sampler import Mark, Sampler
from carbon_core.segments import merged
from carbon_core.tracker.parts import Parts
from carbon_core.tracker.run_lines import of_process
from carbon_core.workers import Workers

# What start(), snapshot() and the end of a window may cost the training thread at worst.
PATIENCE_S = 0.05
# Of the time that stop() has left, what one step may take before the next gets its turn.
_SHARE = 0.5
_LEAST_FILE_S = 0.25
# A driver may take its time; one that takes longer is left to itself, and the others go on.
_METER_PATIENCE_S = 2.0


# Each is kept until the end.
_MOST_TASKS = 10_000


class Run:
    """A run that goes on.

    Attributes:
        final: Its report, once it is closed.
        others: What other ranks of the same training have told that they measured.
        pid: The process that it belongs to.

    Args:
        parts: What it is made of.
    """

    def __init__(self, parts: Parts) -> None:
        self.messages = parts.messages
        self.final: Report | None = None
        self.others: tuple[Segment, ...] = ()
        self.pid = os.getpid()
        self._parts = parts
        self._opened_ns = parts.clock.monotonic_ns()
        self._curve = PriceCurve(parts.assumed, pue=parts.facts.pue)
        self._opened_at = parts.clock.now()
        self._hours = HourlyJoules(self._opened_at)
        self._detection = Detection(())
        self._outputs: Sequence[FileOutput] = ()
        self._deliveries: Sequence[Delivery] = ()
        self._beats = 0
        # Whether a reading that outputs get on the way came while the run was closing.
        self._update_due = False
        # Re-entrant as `_closing` is; flush() opens outputs on the user's thread, a heartbeat elsewhere.
        self._opening = threading.RLock()
        self._outputs_open = False
        self._marginal: Marginal | None = None
        self._tasks: list[tuple[str, Report]] = []
        # What this run continues, as the user's thread was told and as the files' thread found it.
        self._continued: tuple[Segment, ...] = ()
        self._found: tuple[Segment, ...] = ()
        self._asked_the_past = False
        # Once the run is being summed up, an answer that comes late must change nothing any more.
        self._summing_up = False
        # Re-entrant: a signal's handler may stop the run on the very thread that is stopping it.
        self._closing = threading.RLock()
        self._closed = False
        self._workers = Workers(
            self.messages.warn, self._rescue, parts.heartbeat_s + _METER_PATIENCE_S
        )
        self._sampler = Sampler(
            clock=parts.clock,
            opened_ns=self._opened_ns,
            first_phase=parts.first_phase,
            detect=self._detect,
            heartbeat_s=parts.heartbeat_s,
            on_heartbeat=self._heartbeat,
            on_fault=self.messages.warn,
        )

    # --- called by the user's thread ------------------------------------------------------------

    def open(self) -> None:
        """Start measuring; wait a moment for the first readings, but no longer."""
        occupy_standard_descriptors()
        if not self._parts.only_with_meters:
            self._ask_for_the_place()
        if self._sampler.start():
            self._sampler.started.wait(self._parts.start_patience_s)
        else:
            self._sampler.begin()

    def mark(self, phase: str) -> None:
        """Note that a phase begins now. Costs about a microsecond."""
        self._sampler.mark(Mark(self._parts.clock.monotonic_ns(), phase))

    def instant(self) -> Mark:
        """Note this instant, to be resolved soon; wait on the mark for its totals."""
        mark = Mark(self._parts.clock.monotonic_ns(), None, threading.Event())
        self._sampler.mark(mark)
        return mark

    def snapshot(self) -> Snapshot:
        """Return the totals now, or the last known ones when no reading comes in time."""
        mark = self.instant()
        mark.wait(PATIENCE_S)
        return self.at(mark)

    def recent(self, max_age_s: float) -> Snapshot:
        """Return the totals as they were at most some seconds ago, or now."""
        latest, now_ns = self._sampler.latest, self._parts.clock.monotonic_ns()
        fresh = max_age_s > 0 and now_ns - latest.t_ns <= units.nanoseconds(max_age_s)
        return latest if fresh and latest.devices else self.snapshot()

    def at(self, mark: Mark) -> Snapshot:
        """Return the totals at an instant: read, or carried to it while its reading is on the way."""
        return mark.snapshot or self._sampler.carried_to(mark.t_ns)

    def note_window(self, name: str, begin: Mark, end: Mark) -> None:
        """Note that a window closed, for whoever draws the run."""
        self._sampler.trace.note_window(name, begin.t_ns, end.t_ns)

    def continue_from(self, segments: Sequence[Segment]) -> None:
        """Note what this run continues; what was measured of it later on is looked up in the files."""
        self._asked_the_past = True
        self._continued = merged((*self._continued, *segments))
        self._submit(self._find_tails)

    def continue_last(self, trial: str | None) -> None:
        """Note that this run continues the latest training in its directory, of a trial or of none."""
        self._asked_the_past = True
        self._submit(functools.partial(self._find_last, trial))

    @property
    def _earlier(self) -> tuple[Segment, ...]:
        if not self._continued and not self._found:
            return ()
        going_on = [self._parts.facts.run_id, *(one.run_id for one in self.others)]
        return merged((*self._continued, *self._found), without=going_on)

    def grams(self, window: Window) -> float:
        """Return the grams of CO2e that a window's energy stands for, as priced so far."""
        return self._curve.grams(window.end.joules) - self._curve.grams(window.start.joules)

    def report(self, snapshot: Snapshot | None = None, status: str = "running") -> Report:
        """Return the totals up to a snapshot (by default, the last known one)."""
        end = snapshot or self._sampler.latest
        gauge = self._detection.gauge
        return Report(
            run=self._parts.facts,
            status=status,
            ended_at=self._parts.clock.now().isoformat(timespec="milliseconds"),
            window=end - Snapshot(self._opened_ns),
            prices=self._curve.shares(end.joules),
            phases=tuple(
                Phase(total.name, total.duration_s, total.joules, total.count)
                for total in list(self._sampler.phases.values())
            ),
            hours=self._hours.hours(end.joules, self._curve.grams),
            others=self.others,
            earlier=self._earlier,
            tasks=tuple(self._tasks),
            marginal=self._marginal,
            host=self._detection.host,
            refusals=self._detection.refusals,
            utilization=gauge.means() if gauge else Utilization(),
        )

    @property
    def over_budget(self) -> bool:
        """Whether the run has used up what it may use, as far as was looked."""
        return self._parts.budget is not None and self._parts.budget.is_spent

    def look_at_budget(self, report: Report) -> None:
        """Compare totals with what the run may use."""
        if self._parts.budget is not None:
            self._parts.budget.look(report)

    def part_report(self, window: Window) -> Report:
        """Return a window's own totals in the shape of a whole run."""
        whole = self.report(window.end)
        joules, grams = window.joules, self.grams(window)
        prices = tuple(share._replace(joules=joules, grams=grams) for share in whole.prices[-1:])
        return replace(
            whole,
            window=window,
            prices=prices,
            phases=(),
            hours=(),
            others=(),
            earlier=(),
            tasks=(),
        )

    def note_task(self, name: str, window: Window) -> Report:
        """Keep what a task came to for the results, and return it."""
        report = self.part_report(window)
        if len(self._tasks) < _MOST_TASKS:
            self._tasks.append((name, report))
        else:
            self.messages.warn(f"only the first {_MOST_TASKS} tasks are kept for the results")
        return report

    def flush(self) -> Report:
        """Take a reading and have the results saved so far; does not wait for the files."""
        report = self.report(self.snapshot())
        if self._opened_outputs(report):
            self._submit(*(functools.partial(output.flush, report) for output in self._outputs))
            for delivery in self._deliveries:
                delivery.submit_flush(report, self._workers.network.submit)
        return report

    def close(self, status: str) -> Report | None:
        """End the run, save it and return its report. Only the first call does anything.

        Args:
            status: ``completed``, ``failed``, ``interrupted`` or ``pruned``.

        Returns:
            The report; None in a forked child, and within the very call that is closing the run.
        """
        if self.pid != os.getpid():
            return None
        with self._closing:
            if not self._closed:
                self._closed = True
                self.final = self._close(status)
        return self.final

    # --- called by the sampler's thread ---------------------------------------------------------

    def _detect(self) -> Sequence[Meter]:
        self._outputs = self._parts.make_outputs()
        self._deliveries = self._parts.make_deliveries()
        self._detection = self._parts.detect()
        if self._parts.only_with_meters:
            if not self._detection.meters:
                self._outputs = self._deliveries = ()
                self._parts = replace(self._parts, live=None, marginal=None, learn_place=None)
            self._ask_for_the_place()
        self._opened_outputs(self.report())
        # Opening has recovered what killed runs left.
        self._submit(self._find_tails)
        return self._detection.meters

    def _opened_outputs(self, report: Report) -> bool:
        """Open the outputs once the run has lasted `min_duration_s`; return whether they are open.

        A shorter run never opens them, so nothing has to be removed again: no directory, no lock.
        """
        if report.duration_s < self._parts.min_duration_s:
            return False
        with self._opening:
            if not self._outputs_open:
                self._outputs_open = True
                self._announce("greeting", self._greeting())
                self._submit(*(functools.partial(output.open, report) for output in self._outputs))
        return True

    def _greeting(self) -> str:
        devices = [device for meter in self._detection.meters for device in meter.devices]
        meters = dict.fromkeys(
            f"{device.component} by {device.method.summary} (grade {device.method.grade})"
            for device in devices
        )
        measuring = ", ".join(meters) or "nothing: no meter was found"
        return f"measuring {measuring}; {_priced_at(self._parts.assumed)}"

    def _heartbeat(self, snapshot: Snapshot) -> None:
        self._hours.note(self._parts.clock.now(), snapshot.joules)
        self._look_at_loads()
        report = self.report(snapshot)
        self.look_at_budget(report)
        opened = self._opened_outputs(report)
        if opened:
            drawn = replace(report, trace=self._sampler.trace.take())
            self._submit(*(functools.partial(output.update, drawn) for output in self._outputs))
        every = self._parts.live_every
        if self._beats and every and self._beats % every == 0:
            self._workers.network.submit(self._ask_price)
        # Readings are counted from the start on, as CodeCarbon counts them for its handlers.
        if opened and self._beats and every and (self._beats + 1) % every == 0:
            self._deliver(report)
        self._beats += 1

    def _deliver(self, report: Report) -> None:
        if self._closed:
            self._update_due = True  # with the final totals, a moment later
            return
        for delivery in self._deliveries:
            delivery.submit_update(report, self._workers.network.submit)

    def _look_at_loads(self) -> None:
        if self._detection.gauge is not None:
            self._detection.gauge.sample()

    # --- called by the worker threads ---------------------------------------------------------

    def _ask_for_the_place(self) -> None:
        """Have the place learned before anything asks for a price, which depends on it."""
        if self._parts.learn_place is not None:
            self._workers.network.submit(self._learn_place)

    def _learn_place(self) -> None:
        """Learn where the machine is, and price the run so far with what holds there."""
        if self._parts.learn_place is None:
            return
        learned = self._parts.learn_place(self._parts)
        if learned is self._parts or self._summing_up:
            return
        self._parts = learned
        self._curve = PriceCurve(learned.assumed, pue=learned.facts.pue)
        self._announce("place", f"{_priced_at(learned.assumed)}; {learned.assumed.note}")

    def _announce(self, kind: str, text: str) -> None:
        """Show a line, unless the previous run of this process showed the same."""
        line = self.messages.preamble + printable(text)
        self.messages.info(text, lambda: of_process().unless_repeated(kind, line))

    def _ask_price(self, *, insist: bool = False) -> bool:
        """Price what was drawn since the last look-up; tell whether the source said with what."""
        live = self._parts.live
        if live is None or self._summing_up:
            return False
        up_to_j = self._sampler.latest.joules
        answered = False
        try:
            intensity = live.latest(insist=insist)
            answered = True
        except IntensityError as error:
            intensity = live.held or self._parts.assumed
            self._tell(f"no live grid intensity: {error}", intensity)
        if not self._summing_up:
            self._curve.price(up_to_j, intensity)
        return answered

    def _tell(self, problem: str, instead: Intensity) -> None:
        held = f"{instead.g_per_kwh:g} g/kWh ({instead.source})"
        self.messages.warn(f"{problem}; {held} is used")

    def _ask_last_prices(self, end: Snapshot) -> None:
        """Ask for the last price, and give the hours that are over their own, where it is known."""
        live, spans = self._parts.live, self._hours.spans(end.joules)
        if live is None or not self._ask_price(insist=True) or len(spans) == 1:
            return
        try:
            values = by_hour(live.between(spans[0].start, self._parts.clock.now()))
        except IntensityError:
            return  # what held at the time has priced these hours
        known = [(span, values.get(iso_hour(span.start))) for span in spans]
        if not self._summing_up:
            self._curve.price(end.joules, self._curve.assumed)
            self._curve.revise([(span.begin_j, span.end_j, one) for span, one in known if one])

    def _ask_marginal(self) -> None:
        """Ask what one more kilowatt-hour would have caused meanwhile: told, and counted nowhere."""
        if self._parts.marginal is None or self._summing_up:
            return
        try:
            span = self._opened_at, self._parts.clock.now()
            self._marginal = self._parts.marginal.marginal(*span)
        except IntensityError as error:
            self.messages.warn(f"no marginal intensity: {error}")

    def _submit(self, *writes: Callable[[], None]) -> None:
        if not self._workers.files.submit(lambda: self._write(writes)):
            self.messages.warn("files are too slow: some journal records were left out")

    def _write(self, writes: Sequence[Callable[[], None]]) -> None:
        for write in writes:
            try:
                write()
            except CarbonError as error:
                self.messages.warn(f"{error}; the run is still measured and returned")

    def _find_tails(self) -> None:
        """Look up how far the segments that this run continues went after their last checkpoint."""
        if self._parts.archive is not None:
            found = [self._parts.archive.segment(one.run_id) for one in self._continued]
            self._found = merged((*self._found, *(one for one in found if one is not None)))

    def _find_last(self, trial: str | None) -> None:
        if self._parts.archive is not None:
            self._found = merged((*self._found, *self._parts.archive.last(trial)))

    def _rescue(self) -> None:
        self._sampler.rescue(_METER_PATIENCE_S)

    # --- the end ---------------------------------------------------------------------------------

    def _close(self, status: str) -> Report:
        deadline_ns = self._parts.clock.monotonic_ns() + units.nanoseconds(
            self._parts.shutdown_timeout_s
        )
        end = self._last_snapshot()
        self._hours.note(self._parts.clock.now(), end.joules)
        network, parts = self._workers.network, self._parts
        if any((parts.live, parts.learn_place, parts.marginal)):
            network.submit(lambda: self._ask_last_prices(end))
            network.submit(self._ask_marginal)
            if not network.settle(self._left_s(deadline_ns) * _SHARE):
                what = "live grid intensity" if parts.live else "place or marginal intensity"
                self._tell(f"no {what}: no answer in time", self._curve.assumed)
            self._summing_up = True
            self._curve.price(end.joules, self._curve.assumed)
        if self._asked_the_past and not _on_a_thread_of_ours():
            self._workers.files.settle(self._left_s(deadline_ns) * _SHARE)
        report = self.report(end, status)
        opened = self._opened_outputs(report)
        if opened:
            drawn = replace(report, trace=self._sampler.trace.take())
            self._submit(*(functools.partial(output.close, drawn) for output in self._outputs))
            for delivery in self._deliveries:
                network.submit(
                    functools.partial(delivery.close, report, update_due=self._update_due)
                )
        if not network.close(self._left_s(deadline_ns) * _SHARE):
            self._give_up()
        self._sampler.stop(self._left_s(deadline_ns))
        if not self._workers.files.close(max(_LEAST_FILE_S, self._left_s(deadline_ns))):
            self.messages.warn("the files did not finish in time; the journal will be recovered")
        if opened:
            preamble, t_ns = self.messages.preamble, self._parts.clock.monotonic_ns()
            self.messages.info(
                report.summary(), lambda: of_process().at_end(report, preamble, t_ns)
            )
        return report

    def _give_up(self) -> None:
        """Stop sending once the run is over; the journal holds what was not delivered."""
        for delivery in self._deliveries:
            delivery.give_up()
        if self._deliveries and self._outputs_open:
            names = ", ".join(delivery.name for delivery in self._deliveries)
            self.messages.warn(f"no answer in time: {names} may not have been told the whole run")

    def _last_snapshot(self) -> Snapshot:
        mark = Mark(self._parts.clock.monotonic_ns(), "end", threading.Event(), last=True)
        self._sampler.mark(mark)
        patience_s = self._parts.shutdown_timeout_s * _SHARE
        if _on_a_thread_of_ours() or not self._sampler.alive:
            # The collector may end a forgotten run on any thread, even the one that would answer;
            # and without a sampler nobody will.
            self._sampler.stop(0.0)
            patience_s = 0.0
        snapshot = mark.wait(patience_s)
        if snapshot is None and patience_s:
            self._sampler.rescue(patience_s * _SHARE)
            snapshot = mark.wait(patience_s * _SHARE)
        return snapshot or self._carried_on(mark.t_ns)

    def _carried_on(self, t_ns: int) -> Snapshot:
        if self._sampler.alive:
            self.messages.warn("a meter did not answer in time: the last known power is carried on")
        return self._sampler.carried_to(t_ns)

    def _left_s(self, deadline_ns: int) -> float:
        return max(0.0, units.seconds(deadline_ns - self._parts.clock.monotonic_ns()))


def _on_a_thread_of_ours() -> bool:
    return threading.current_thread().name.startswith("carbon-")


def _priced_at(intensity: Intensity) -> str:
    return f"{intensity.g_per_kwh:.0f} gCO2e/kWh ({intensity.place})"
