"""Delivers results to one output and retries what was not accepted.

submit_update() ──▶ waiting ──▶ open (once) ──▶ update(report, delta) ──▶ accepted += delta
└── raises: one warning, backoff, retry
submit_flush() does the same with the output's method for flushes, if it has one
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from carbon_core.backoff import Backoff
from carbon_core.clock import Clock
from carbon_core.errors import CarbonError
from carbon_core.outputs.base import Delivered, Output
from carbon_core.records import Amounts
from carbon_core.report import Report
from carbon_core.threads import program_signals

_OWN_PACKAGE = "carbon_core."


class Delivery:
    """Delivers the results of one run to one output.

    Attributes:
        name: Name of the output in messages and in the journal.
        failed: Whether the last delivery failed.

    Args:
        name: As above.
        output: The output.
        clock: Times the retries.
        warn: Called with a message when a delivery fails, once until one succeeds.
        confirm: Called with the accepted amounts, so that `carbon-callbacks resend` can send the
            rest; None for an output that is not retried after the run.
        before: Amounts that the output accepted earlier.
        flush: Called with the totals when the user flushes; None for the output's ``update``.
    """

    def __init__(
        self,
        name: str,
        output: Output,
        *,
        clock: Clock,
        warn: Callable[[str], None],
        confirm: Callable[[Delivered], None] | None = None,
        before: Delivered | None = None,
        flush: Callable[[Report, Amounts], Amounts | None] | None = None,
    ) -> None:
        self._flush = flush
        self.name = name
        self._output = output
        self._warn = warn
        self._confirm = confirm
        self._accepted = before.amounts if before else Amounts()
        self._backoff = Backoff(clock)
        # Only code of the program starts processes, which inherit the mask. While it is lifted, a signal
        # that is pending for the process may be delivered here.
        is_own = type(output).__module__.startswith(_OWN_PACKAGE)
        calls_program = getattr(output, "calls_program", not is_own)
        self._signals = program_signals if calls_program else contextlib.nullcontext
        self._opened = self.failed = False
        self._waiting: Report | None = None
        self._scheduled = False
        self._ended = False

    def submit_update(
        self, report: Report, submit: Callable[[Callable[[], object]], object]
    ) -> None:
        """Schedule a delivery; totals that are not yet delivered are replaced by newer ones.

        Args:
            report: The totals so far.
            submit: Runs a job on another thread.
        """
        # In this order, and `update` in the reverse one: whichever thread is first, no totals are left.
        self._waiting = report
        if not self._scheduled:
            self._scheduled = True
            if submit(self.update) is False:
                self._scheduled = False

    def submit_flush(
        self, report: Report, submit: Callable[[Callable[[], object]], object]
    ) -> None:
        """Schedule the delivery of a flush; no flush is replaced by a later one.

        Args:
            report: The totals so far.
            submit: Runs a job on another thread.
        """
        if self._flush is None:
            self.submit_update(report, submit)
        else:
            submit(functools.partial(self._flush_now, report, self._flush))

    def _flush_now(
        self, report: Report, flush: Callable[[Report, Amounts], Amounts | None]
    ) -> None:
        if not self._ended and self._backoff.may_request():
            self._deliver(report, flush)

    def update(self) -> None:
        """Deliver the waiting totals, unless the output is backed off after a failure."""
        self._scheduled = False
        report, self._waiting = self._waiting, None
        if report is not None and not self._ended and self._backoff.may_request():
            self._deliver(report, self._output.update)

    def close(self, report: Report, *, update_due: bool = False) -> None:
        """Deliver the final totals, unless `give_up` was called or the service set a retry delay.

        Args:
            report: The final totals.
            update_due: Whether an ``update`` is due at the last reading, too.
        """
        if self._ended:
            return
        self._ended = True
        if update_due and self._backoff.may_request():
            self._deliver(report, self._output.update)
        if self._backoff.may_request(insist=True):
            self._deliver(report, self._output.close)

    @property
    def _remedy(self) -> str:
        later = "; it is retried during the run"
        return f"{later}, and afterwards by `carbon-callbacks resend`" if self._confirm else later

    def give_up(self) -> None:
        """Deliver nothing more."""
        self._ended = True

    def _deliver(self, report: Report, send: Callable[[Report, Amounts], Amounts | None]) -> None:
        try:
            if not self._opened:
                with self._signals():
                    self._output.open(report)
                self._opened = True
                self._confirm_progress()
            delta = report.amounts.minus(self._accepted)
            with self._signals():
                accepted = send(report, delta)
        except Exception as error:  # noqa: BLE001 - may be the user's code; no output stops another
            self._backoff.failed(getattr(error, "retry_after_s", None))
            reason = str(error) if isinstance(error, CarbonError) else repr(error)
            if not self.failed:
                self._warn(f"delivery to {self.name} failed: {reason}{self._remedy}")
            self.failed = True
            return
        self.failed = False
        self._backoff.succeeded()
        self._accepted = self._accepted.plus(delta if accepted is None else accepted)
        self._confirm_progress()

    def _confirm_progress(self) -> None:
        if self._confirm is not None:
            remote_id: Any = getattr(self._output, "remote_id", None)
            self._confirm(Delivered(self.name, self._accepted, remote_id))
