"""Resends results of finished runs that services have not accepted, from a directory's journals."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from carbon_core.assemble.outputs import services_of
from carbon_core.config.output_table import OutputArguments
from carbon_core.input_files import InputFileError
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
    for path in sorted((given.directory / RUNS_DIRECTORY).glob(f"*{journal.SUFFIX}")):
        with journal.locked(path) as free:
            if not free:
                continue
            try:
                report, before = journal.read(path), journal.deliveries(path)
            except InputFileError as error:
                messages.warn(f"skipped {error}")
                continue
            except OSError as error:
                messages.warn(f"skipped {InputFileError(path, error)}")
                continue
            yield from _resent(path, report, before, given, messages)


def _resent(
    path: Path,
    report: Report,
    before: dict[str, Delivered],
    given: OutputArguments,
    messages: Messages,
) -> Iterator[Resent]:
    for name, output in services_of(given, before):
        known = before.get(name, Delivered(name))
        if name not in report.run.told or _is_complete(report, known):
            continue
        confirm = functools.partial(journal.note_delivered, path)
        delivery = Delivery(
            name, output, clock=given.clock, warn=messages.warn, confirm=confirm, before=known
        )
        delivery.close(report)
        rest_kwh = report.amounts.energy_kwh - known.amounts.energy_kwh
        yield Resent(report.run.run_id, name, rest_kwh, not delivery.failed)


def _is_complete(report: Report, delivered: Delivered) -> bool:
    left = report.amounts.minus(delivered.amounts)
    return left.duration_s < _NOTHING_S and left.energy_kwh < _NOTHING_KWH
