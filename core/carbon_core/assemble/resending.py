"""Resends results of finished runs that services have not accepted, from a directory's journals."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import NamedTuple

from carbon_core.assemble.outputs import services_of
from carbon_core.config.output_table import OutputArguments
from carbon_core.errors import OutputError
from carbon_core.messages import Messages
from carbon_core.outputs import journal
from carbon_core.outputs.base import RUNS_DIRECTORY, Delivered
from carbon_core.outputs.delivery import Delivery
from carbon_core.report import Report

# What floating point leaves of a difference that is nothing.
_NOTHING_S = 1e-6
_NOTHING_KWH = 1e-15


class Resent(NamedTuple):
    """The result of resending one run to one service.

    Attributes:
        run_id: The run.
        service: Its name, such as ``api``.
        energy_kwh: What it had not accepted before.
        accepted: Whether it has accepted that now.
    """

    run_id: str
    service: str
    energy_kwh: float
    accepted: bool


def resend(given: OutputArguments, messages: Messages) -> Iterator[Resent]:
    """Send to the services of finished runs what they have not accepted yet; note what they accept.

    A run that continues is skipped, and so is a service that the settings no longer select.

    Args:
        given: The output directory, and the settings with addresses and keys.
        messages: Receives what went wrong.
    """
    clock = given.clock
    for path in sorted((given.directory / RUNS_DIRECTORY).glob(f"*{journal.SUFFIX}")):
        with journal.locked(path) as free:
            if not free:
                continue
            with contextlib.suppress(OutputError, OSError):
                report, before = journal.read(path), journal.deliveries(path)
                for name, output in services_of(given, before):
                    known = before.get(name, Delivered(name))
                    if name not in report.run.told or _is_complete(report, known):
                        continue
                    confirm = functools.partial(journal.note_delivered, path)
                    delivery = Delivery(
                        name, output, clock=clock, warn=messages.warn, confirm=confirm, before=known
                    )
                    delivery.close(report)
                    rest_kwh = report.amounts.energy_kwh - known.amounts.energy_kwh
                    yield Resent(report.run.run_id, name, rest_kwh, not delivery.failed)


def _is_complete(report: Report, delivered: Delivered) -> bool:
    left = report.amounts.minus(delivered.amounts)
    return left.duration_s < _NOTHING_S and left.energy_kwh < _NOTHING_KWH
