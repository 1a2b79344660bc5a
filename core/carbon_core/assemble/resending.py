"""Telling services what they were not told of runs that are over, from the journals of a directory."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from carbon_core.assemble.outputs import services_of
from carbon_core.clock import Clock
from carbon_core.config.schema import Settings
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
    """What became of one run's rest at one service.

    Attributes:
        run_id: The run.
        service: Its name, such as ``api``.
        energy_kwh: What it had not been told.
        accepted: Whether it has accepted that now.
    """

    run_id: str
    service: str
    energy_kwh: float
    accepted: bool


def resend(
    directory: Path,
    settings: Settings,
    environ: Mapping[str, str],
    clock: Clock,
    messages: Messages,
) -> Iterator[Resent]:
    """Tell the services of finished runs what they have not accepted yet; what they accept is noted.

    A run that goes on is passed over, and so is a service that the settings no longer name.

    Args:
        directory: The output directory.
        settings: The effective settings: addresses and keys.
        environ: Environment variables.
        clock: Source of time.
        messages: Gets what went wrong.
    """
    for path in sorted((directory / RUNS_DIRECTORY).glob(f"*{journal.SUFFIX}")):
        with journal.held(path) as free:
            if not free:
                continue
            with contextlib.suppress(OutputError, OSError):
                report, before = journal.read(path), journal.deliveries(path)
                for name, output in services_of(settings, environ, clock, before):
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
