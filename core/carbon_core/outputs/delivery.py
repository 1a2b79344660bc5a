"""Telling one output what a run came to: what it does not accept, it is told again.

submit_update() ──▶ waiting ──▶ open (once) ──▶ update(report, delta) ──▶ accepted += delta
└── raises: told once, left alone for a while, tried again
submit_flush() does the same with the method for flushes, if the output has one
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from carbon_core.backoff import Backoff
from carbon_core.clock import Clock
from carbon_core.errors import CarbonError
from carbon_core.outputs.base import Delivered, Output
from carbon_core.records import Amounts
from carbon_core.report import Report


class Delivery:
    """One output of one run.

    Attributes:
        name: What it is called in messages and in the journal.
        failed: Whether it did not accept what it was told last.

    Args:
        name: As above.
        output: Whom to tell.
        clock: Tells when it may be tried again.
        warn: Gets in words what went wrong, once for each kind.
        confirm: Told what has been accepted, so that `carbon-callbacks resend` can send the rest; None
            where a later day's totals would be of no use.
        before: What it had accepted earlier.
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
        self._opened = self.failed = False
        self._waiting: Report | None = None
        self._over = False

    def submit_update(
        self, report: Report, submit: Callable[[Callable[[], object]], object]
    ) -> None:
        """Have the output told soon; the newest totals count, however long it takes.

        Args:
            report: The totals so far.
            submit: Has a job done on another thread.
        """
        idle, self._waiting = self._waiting is None, report
        if idle:
            submit(self.update)

    def submit_flush(
        self, report: Report, submit: Callable[[Callable[[], object]], object]
    ) -> None:
        """Deliver the totals because the user flushes: each flush is delivered on its own.

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
        if not self._over and self._backoff.may_request():
            self._tell(report, flush)

    def update(self) -> None:
        """Tell the output the totals that wait for it, unless it is left alone after a failure."""
        report, self._waiting = self._waiting, None
        if report is not None and not self._over and self._backoff.may_request():
            self._tell(report, self._output.update)

    def close(self, report: Report, *, update_due: bool = False) -> None:
        """Tell the output the final totals, unless `give_up` came first or it asked for patience.

        Args:
            report: The final totals.
            update_due: Whether the last reading is one that is delivered on the way, too.
        """
        if self._over:
            return
        self._over = True
        if update_due and self._backoff.may_request():
            self._tell(report, self._output.update)
        if self._backoff.may_request(insist=True):
            self._tell(report, self._output.close)

    @property
    def _remedy(self) -> str:
        later = "; it is tried again while the run goes on"
        return f"{later}, then by `carbon-callbacks resend`" if self._confirm else later

    def give_up(self) -> None:
        """Tell the output nothing more."""
        self._over = True

    def _tell(self, report: Report, tell: Callable[[Report, Amounts], Amounts | None]) -> None:
        try:
            if not self._opened:
                self._output.open(report)
                self._opened = True
                self._note()
            delta = report.amounts.minus(self._accepted)
            accepted = tell(report, delta)
        except Exception as error:  # noqa: BLE001 - an output may be the user's own; none stops another
            self._backoff.failed(getattr(error, "retry_after_s", None))
            reason = str(error) if isinstance(error, CarbonError) else repr(error)
            if not self.failed:
                self._warn(f"{self.name} was not told of the run: {reason}{self._remedy}")
            self.failed = True
            return
        self.failed = False
        self._backoff.succeeded()
        self._accepted = self._accepted.plus(delta if accepted is None else accepted)
        self._note()

    def _note(self) -> None:
        if self._confirm is not None:
            remote_id: Any = getattr(self._output, "remote_id", None)
            self._confirm(Delivered(self.name, self._accepted, remote_id))
