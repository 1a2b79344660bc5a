"""One run, from `start()` to `stop()`: a sampler, worker threads, emissions and outputs.

    new ──open()──▶ running ──close(status)──▶ closed
                       │ mark(), snapshot(), report()

A run is used once; a tracker that starts again makes another. The first call of `close` wins: the
user's `stop()`, the collector of a forgotten tracker, or the interpreter's exit.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from carbon_core import units
from carbon_core.hardware.base import Meter
from carbon_core.outputs.base import occupy_standard_descriptors
from carbon_core.record import replace
from carbon_core.records import Segment, Snapshot, Window
from carbon_core.report import Phase, Report, of_window
from carbon_core.sampler import Mark, Sampler
from carbon_core.threads import Latch
from carbon_core.tracker import active_runs
from carbon_core.tracker.emissions import RunEmissions
from carbon_core.tracker.opening import Opening
from carbon_core.tracker.parts import Parts
from carbon_core.tracker.predecessors import Predecessors
from carbon_core.tracker.run_lines import announce_end
from carbon_core.tracker.run_meters import RunMeters
from carbon_core.tracker.run_outputs import RunOutputs
from carbon_core.tracker.shutdown import (
    Closing,
    Deadline,
    last_snapshot,
    on_own_thread,
)
from carbon_core.tracker.stage import RunState
from carbon_core.tracker.task_reports import TaskReports
from carbon_core.workers import Workers

if TYPE_CHECKING:
    from carbon_core.tracker.requests import RunRequests

# What start(), snapshot() and the end of a window may cost the training thread at worst.
PATIENCE_S = 0.05
# A window needs a reading before it that is not older, and waits so long for it.
_FRESH_S = 0.02
_BEGIN_WAIT_S = 0.002
_LEAST_FILE_S = 0.25
_TOO_LATE = "the files did not finish in time; the next run recovers the journal"


class Run:
    """One run of a tracker.

    Attributes:
        parts: Its clock, meters, sources and outputs.
        others: Segments that other ranks of the same training have measured.
        noted: Fields of its reports that the training sets, such as `logged_metrics` and `work`.
        pid: The process that it belongs to.
        predecessors: Earlier segments of the training that it continues.
        tasks: The results of its tasks.
        requests: The requests that were counted during it, if any were.
        finalizer: Closes it when its tracker is collected.
        start_wait_s: Longest time that opening waits, in seconds.
    """

    def __init__(self, parts: Parts) -> None:
        self.messages = parts.messages
        self.others: tuple[Segment, ...] = ()
        self.noted: dict[str, Any] = {}
        self.pid = os.getpid()
        self.finalizer: weakref.finalize[Any, Any] | None = None
        self.start_wait_s = parts.start_patience_s
        self.parts = parts
        self._opened_ns = parts.clock.monotonic_ns()
        self._meters = RunMeters(parts)
        self._beats = 0
        self.tasks = TaskReports(self.part_report, self.messages.warn)
        self._state = RunState()
        self.requests: RunRequests | None = None
        self._closing = Closing(self._state, self._close, self.messages.warn)
        self._end: Snapshot | None = None
        self._saved: Report | None = None
        self._workers = Workers(
            on_fault=self.messages.warn,
            watch=lambda: self._sampler.rescue(parts.meter_patience_s),
            watch_s=parts.heartbeat_s + parts.meter_patience_s,
        )
        self._sampler = Sampler(
            clock=parts.clock,
            opened_ns=self._opened_ns,
            first_phase=parts.first_phase,
            detect=self._detect,
            heartbeat_s=parts.heartbeat_s,
            on_heartbeat=self._heartbeat,
            on_fault=self.messages.warn,
            sample_gpus=self._meters.sample_gpus,
        )
        self._emissions = RunEmissions(parts, self._sampler, self._workers.network, self._state)
        self._outputs = RunOutputs(
            self._workers, self.messages, self._state, self._sampler.trace, parts.min_duration_s
        )
        self.note_trial = self._outputs.note_trial
        self.predecessors = Predecessors(parts.archive, self._outputs.submit)
        self._opening = Opening(
            parts, self._meters, self._emissions, self._outputs, self.predecessors, self.report
        )

    # --- called by the user's thread ------------------------------------------------------------

    def open(self) -> None:
        """Start measuring; wait a short time for the first readings, and log what is measured."""
        occupy_standard_descriptors()
        active_runs.begin(self.parts.facts, self._opened_ns)
        if not self.parts.only_with_meters:
            self._emissions.request_location()
        self._workers.files.start()
        if self._sampler.start():
            self._opening.done.wait(self.start_wait_s)
        else:
            self._sampler.begin()
        self._opening.greet_at_start()

    def mark(self, phase: str) -> None:
        """Begin a phase. Costs about a microsecond."""
        self._sampler.mark(Mark(self.parts.clock.monotonic_ns(), phase))

    def instant(self, *, after_reading: bool = False) -> Mark:
        """Mark this instant, on request right after a reading; wait on the mark for its totals."""
        if after_reading and self.seconds_since(self._sampler.latest) > _FRESH_S:
            self.instant().wait(_BEGIN_WAIT_S)
        mark = Mark(self.parts.clock.monotonic_ns(), None, Latch())
        self._sampler.mark(mark)
        return mark

    def seconds_since(self, past: Mark | Snapshot) -> float:
        """Return the seconds since a mark or a snapshot."""
        return units.seconds(self.parts.clock.monotonic_ns() - past.t_ns)

    def snapshot(self) -> Snapshot:
        """Return the totals now; extrapolated where no reading arrives in time."""
        mark = self.instant()
        self.wait_for(mark)
        return self.at(mark)

    def wait_for(self, mark: Mark) -> None:
        """Wait a moment for the reading of a mark; where a meter hangs, have the others continue."""
        if mark.wait(PATIENCE_S) is None:
            self._sampler.rescue(self.parts.meter_patience_s)

    def recent(self, max_age_s: float) -> Snapshot:
        """Return totals that are at most `max_age_s` seconds old."""
        latest = self._sampler.latest
        is_fresh = self.seconds_since(latest) <= max_age_s and max_age_s > 0
        return latest if is_fresh and latest.devices else self.snapshot()

    def at(self, mark: Mark) -> Snapshot:
        """Return the totals at a mark, extrapolated until its reading; none comes after the end."""
        if mark.snapshot is not None:
            known = self._sampler.completed(mark.snapshot)
            return known if self._end else _awaiting(known, self._sampler, self._meters)
        end_ns = mark.t_ns if self._end is None else min(mark.t_ns, self._end.t_ns)
        carried = self._sampler.carried_to(end_ns)
        return carried if self._closing.report else replace(carried, provisional=True)

    def note_window(self, name: str, begin: Mark, end: Mark) -> None:
        """Add a closed window to the trace."""
        self._sampler.trace.note_window(name, begin.t_ns, end.t_ns)

    def grams(self, window: Window) -> float:
        """Return the grams of CO2e of a window's energy, with the grid intensity known so far."""
        return self._emissions.grams(window)

    def report(self, snapshot: Snapshot | None = None, status: str = "running") -> Report:
        """Return the totals up to a snapshot (by default, the last known one)."""
        self.tasks.settle()
        report = self.parts.completed(self._report(snapshot or self._sampler.latest, status))
        if self.requests is None:
            return report
        return replace(report, requests=self.requests.requests(report.window.end))

    def _report(self, end: Snapshot, status: str = "running") -> Report:
        return Report(
            run=self._emissions.facts,
            status=status,
            ended_at=self.parts.clock.now().isoformat(timespec="milliseconds"),
            window=end - Snapshot(self._opened_ns),
            intensities=self._emissions.curve.shares(end.joules),
            phases=_phases(self._sampler),
            hours=self._emissions.hours.hours(end.joules, self._emissions.curve.grams),
            others=self.others,
            earlier=self.predecessors.segments(
                without=[self.parts.facts.run_id, *(one.run_id for one in self.others)]
            ),
            tasks=self.tasks.reports,
            marginal=self._emissions.marginal,
            host=self._meters.detection.host,
            refusals=self._meters.detection.refusals,
            utilization=self._meters.utilization(),
            counted_elsewhere=self.counted_elsewhere,
            **self.noted,
        )

    @property
    def counted_elsewhere(self) -> bool:
        """Whether other processes count every device."""
        return self._meters.counted_elsewhere

    @property
    def over_budget(self) -> bool:
        """Whether the budget was reached at the last check."""
        return self.parts.budget is not None and self.parts.budget.is_spent

    def check_budget(self, report: Report) -> None:
        """Compare totals with the budget."""
        if self.parts.budget is not None:
            self.parts.budget.check(report)

    def part_report(self, window: Window) -> Report:
        """Return a window's own totals as a report."""
        shares = self._emissions.curve.shares(window.end.joules, window.start.joules)
        return of_window(self._report(window.end), window, shares)

    def flush(self) -> Report:
        """Save the results so far; does not wait for the files."""
        report = self.report(self.snapshot())
        if self._outputs.open(report, self._opening.greet):
            self._outputs.flush(report)
        return report

    @property
    def final(self) -> Report | None:
        """Its report, once it is closed."""
        return self._closing.report

    @property
    def closing(self) -> bool:
        """Whether the run is ending, or has ended."""
        return self._state.closing

    def close(self, status: str) -> Report | None:
        """End the run, save it and return its report (see `Closing`); None in a forked child."""
        return self._closing.close(status) if self.pid == os.getpid() else None

    def finish(self, status: str) -> Report | None:
        """Close the run on the calling thread; otherwise like `close`."""
        return self._closing.finish(status) if self.pid == os.getpid() else None

    # --- called by the sampler's thread ---------------------------------------------------------

    def _detect(self) -> Sequence[Meter]:
        found = self._meters.detect()
        self._sampler.book_first(found.early)
        return found.meters

    def _heartbeat(self, snapshot: Snapshot) -> None:
        self._opening.begin(self._sampler.add)
        self._emissions.note_hour(snapshot)
        self._meters.sample_host()
        report = self.report(snapshot)
        self.check_budget(report)
        # The first greeting names the GPUs, too, whose driver takes a moment longer.
        may_open = not self._meters.is_pending or self._beats > 0
        if opened := may_open and self._outputs.open(report, self._opening.greet):
            self._outputs.update(report)
        every = self.parts.live_every
        if self._beats and every and self._beats % every == 0:
            self._emissions.request_intensity()
        # Readings are counted from the start on, as CodeCarbon counts them for its handlers.
        if opened and self._beats and every and (self._beats + 1) % every == 0:
            self._outputs.deliver(report)
        self._beats += 1

    def _close(self, status: str) -> Report:
        clock, timeout_s = self.parts.clock, self.parts.shutdown_timeout_s
        deadline = Deadline(clock, timeout_s)
        if self._end is None:
            self._meters.end_search()
            self._end = last_snapshot(self._sampler, clock, timeout_s, self.messages)
            self._emissions.note_hour(self._end)
        active_runs.end(self.parts.facts.run_id, self._end.t_ns)
        if self._saved is None:
            self._emissions.settle(self._end, deadline.step_s)
            if self.predecessors.requested and not on_own_thread():
                self._workers.files.settle(deadline.step_s)
            self.tasks.settle(is_last=True)
            report = self.report(self._end, status)
            if self._outputs.open(report, self._opening.greet):
                self._outputs.close(report)
            self._saved = report
        report = self._saved
        if not self._workers.network.close(deadline.step_s):
            self._outputs.give_up()
        self._sampler.stop(deadline.left_s)
        if not self._workers.files.close(max(_LEAST_FILE_S, deadline.left_s)):
            self._outputs.note_lost(report, _TOO_LATE)
        if self._outputs.is_open:
            receipt = self._outputs.receipt_path(report)
            announce_end(self.messages, report, clock.monotonic_ns(), receipt)
        self.messages.deliver_errors_at_exit()
        return report


def _awaiting(known: Snapshot, sampler: Sampler, meters: RunMeters) -> Snapshot:
    """Return totals as provisional while a device is searched or unread: it counts from the start on."""
    lacks_one = meters.is_searching or sampler.awaits_power
    return replace(known, provisional=True) if lacks_one else known


def _phases(sampler: Sampler) -> tuple[Phase, ...]:
    return tuple(
        Phase(total.name, total.duration_s, total.joules, total.count, total.sigma_ln)
        for total in sampler.phases.values()
    )
