"""The outputs of a run: files on one worker, services and the user's own objects on another."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from carbon_core.errors import CarbonError
from carbon_core.formatting import duration, emissions, energy
from carbon_core.messages import WARNING, Messages
from carbon_core.outputs.base import FileOutput, WithReceipt, WithTrials
from carbon_core.outputs.delivery import Delivery
from carbon_core.record import replace
from carbon_core.report import Report
from carbon_core.sampler.trace import Trace
from carbon_core.tracker.stage import RunState
from carbon_core.trials import TrialResult
from carbon_core.workers import Workers

# Of a result that no file has.
_LOST_DIGITS = 6


class RunOutputs:
    """Opens, updates and closes all outputs of a run; nothing here waits for them.

    Args:
        workers: Run the writing and the sending.
        messages: Receives warnings.
        state: Stage of the run.
        trace: Trace data, for the files.
        min_duration_s: A shorter run never opens its outputs, so nothing has to be removed again: no
            directory, no lock.
    """

    def __init__(
        self,
        workers: Workers,
        messages: Messages,
        state: RunState,
        trace: Trace,
        min_duration_s: float,
    ) -> None:
        self._workers = workers
        self._messages = messages
        self._state = state
        self._trace = trace
        self._min_duration_s = min_duration_s
        self._files: Sequence[FileOutput] = ()
        self._deliveries: Sequence[Delivery] = ()
        # Those that the files' worker has yet to open: before any other job, whichever thread queued it.
        self._unopened: deque[FileOutput] = deque()
        self._opened = self._used = False
        self._lost = False
        # Whether an update became due while the run was closing.
        self._update_due = False

    @property
    def is_open(self) -> bool:
        """Whether the outputs were opened."""
        return self._opened

    @property
    def is_closing(self) -> bool:
        """Whether the run is ending, or has ended."""
        return self._state.closing

    def use(self, files: Sequence[FileOutput], deliveries: Sequence[Delivery]) -> None:
        """Set the outputs, before any is opened."""
        self._unopened.extend(files)
        self._files, self._deliveries = files, deliveries
        self._used = True

    def open(self, report: Report, on_first: Callable[[], None] = lambda: None) -> bool:
        """Open the outputs, once they are set and the run is long enough; return whether they are open.

        Args:
            report: The totals so far.
            on_first: Called before they are opened.
        """
        if report.duration_s < self._min_duration_s or not self._used:
            return False
        if not self._opened:
            self._opened = True
            on_first()
        if self._unopened:
            self._queue_or_warn((), report)
        return True

    def update(self, report: Report) -> None:
        """Write a heartbeat to the files, with the trace data since the last one."""
        report = replace(report, trace=self._trace.take())
        self._queue_or_warn([functools.partial(one.update, report) for one in self._files], report)

    def note_trial(self, facts: TrialResult) -> None:
        """Note in the files that a trial has begun or ended: a killed process has no later heartbeat."""
        outputs = [one for one in self._files if isinstance(one, WithTrials)]
        self.submit(*[functools.partial(one.note_trial, facts) for one in outputs])

    def deliver(self, report: Report) -> None:
        """Send the totals so far; while the run is closing, together with the final ones."""
        if self._state.closing:
            self._update_due = True
            return
        for delivery in self._deliveries:
            delivery.submit_update(report, self._workers.network.submit)

    def flush(self, report: Report) -> None:
        """Write and send the totals so far, on the user's request."""
        self._queue_or_warn([functools.partial(one.flush, report) for one in self._files], report)
        for delivery in self._deliveries:
            delivery.submit_flush(report, self._workers.network.submit)

    def close(self, report: Report) -> None:
        """Write and send the final totals, with the rest of the trace data."""
        report = replace(report, trace=self._trace.take())
        closings = [functools.partial(output.close, report) for output in self._files]
        if not self._queue(closings, report, is_final=True):
            self.note_lost(report, "the files are too slow")
        for delivery in self._deliveries:
            self._workers.network.submit(
                functools.partial(delivery.close, report, update_due=self._update_due)
            )

    def give_up(self) -> None:
        """Stop sending: the run is over, and its journal has what was not delivered."""
        for delivery in self._deliveries:
            delivery.give_up()
        if self._deliveries and self._opened:
            names = ", ".join(delivery.name for delivery in self._deliveries)
            self._messages.warn(f"no response in time: {names} may not have received the whole run")

    def note_lost(self, report: Report, reason: str) -> None:
        """Log that the final totals are not in the files, with the totals. Only the first time."""
        if self._lost:
            return
        self._lost = True
        figures = "energy unknown"
        if report.is_known:
            kwh, kg = report.energy_kwh.value, report.emissions_kg.value
            figures = f"{energy(kwh, _LOST_DIGITS)}, {emissions(kg, _LOST_DIGITS)}"
        self._messages.error(
            f"result not written ({reason}): {figures} in {duration(report.duration_s)}, "
            f"run {report.run.run_id}"
        )

    def receipt_path(self, report: Report) -> str:
        """Return the path of a run's receipt for a message; an empty string where there is none."""
        path_of = next(
            (one.receipt_path for one in self._files if isinstance(one, WithReceipt)), None
        )
        return "" if self._lost or path_of is None else _short(path_of(report.run.run_id))

    def submit(self, *writes: Callable[[], None]) -> None:
        """Run jobs on the files' worker, one after the other."""
        self._queue_or_warn(writes)

    def _queue_or_warn(
        self, writes: Sequence[Callable[[], None]], report: Report | None = None
    ) -> None:
        if not self._queue(writes, report):
            self._messages.warn("files are too slow: some journal records were left out")

    def _queue(
        self,
        writes: Sequence[Callable[[], None]],
        report: Report | None = None,
        *,
        is_final: bool = False,
    ) -> bool:
        """Have the files' worker call functions; return whether there was room.

        Args:
            writes: The functions.
            report: The totals so far, with which files that are not open yet are opened before.
            is_final: Whether these are the final totals.
        """

        def job() -> None:
            try:
                if report is not None:
                    self._open_all(report)
            finally:
                self._write(writes, report if is_final else None)

        return self._workers.files.submit(job)

    def _open_all(self, report: Report) -> None:
        unopened = [self._unopened.popleft() for _ in range(len(self._unopened))]
        self._write([functools.partial(output.open, report) for output in unopened])

    def _write(self, writes: Sequence[Callable[[], None]], final: Report | None = None) -> None:
        """Call all functions; one that fails does not stop the others.

        Args:
            writes: The functions.
            final: The final totals, if these are written.
        """
        unexpected: Exception | None = None
        for write in writes:
            try:
                write()
            except CarbonError as error:
                self._report_failure(str(error), final)
            except Exception as error:  # noqa: BLE001 - reported by the worker
                unexpected = unexpected or error
                if final is not None:
                    self.note_lost(final, f"unexpected {type(error).__name__}")
        if unexpected is not None:
            raise unexpected

    def _report_failure(self, reason: str, final: Report | None) -> None:
        """Warn once about a reason; if the final totals are not written, log that as an error."""
        if final is None or self._messages.shows(WARNING):
            self._messages.warn(f"{reason}; the run is still measured and returned")
            reason = "see the warning"
        if final is not None:
            self.note_lost(final, reason)


def _short(path: Path) -> str:
    """Return a path as seen from the working directory, if it is below that."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)
