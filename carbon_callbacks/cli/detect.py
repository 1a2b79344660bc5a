"""``carbon-callbacks detect`` and ``doctor``: the meters of this machine and their quality.

Both print the same. `doctor` is for CI: its exit status is 1 below a grade, or if a check under load
fails.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from carbon_callbacks.cli import load_run, load_table
from carbon_callbacks.cli.tables import Column, show
from carbon_callbacks.cli.terminal import PlainConsole, warn, write_data
from carbon_core.assemble.build import detect_all
from carbon_core.assemble.making import messages_for
from carbon_core.config import sources
from carbon_core.config.resolve import resolve
from carbon_core.hardware.base import Detection
from carbon_core.records import COMPONENTS, Device
from carbon_core.uncertainty import interval

_COLUMNS = (
    Column("component"),
    Column("device", folds=True),
    Column("meter", folds=True),
    Column("grade"),
    Column("95 % interval", wraps=True, dropped=1),
)


class Grade(str, enum.Enum):
    """Grade of a meter, best first."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"


def run(
    *,
    as_json: bool,
    at_least: Grade | None = None,
    load_s: float | None = None,
    root: Path = Path("/"),
) -> None:
    """Detect once and print the result; exit with 1 where a device has a worse grade than required.

    Args:
        as_json: Print JSON instead of tables.
        at_least: Lowest grade that a device may have; None for any.
        load_s: Load the machine for so many seconds and check the meters meanwhile; exit with 1 if one
            is wrong.
        root: Directory that contains ``proc`` and ``sys``.
    """
    # A meter is checked as a whole, not the share of this process.
    settings = resolve({} if load_s is None else {"tracking_mode": "machine"}).settings
    messages = messages_for(settings)
    environ = sources.process_environment()
    detection = detect_all(settings, environ, root, messages)
    wrong = [] if at_least is None else _worse(detection, at_least)
    try:
        console = PlainConsole()
        if not as_json:
            _print_tables(detection, console)
        check = None if load_s is None else load_run.run_check(detection, load_s, _report_progress)
        if as_json:
            write_data(json.dumps(_data(detection, check), indent=2))
        elif check is not None:
            load_table.show(check, console)
    finally:
        for meter in detection.meters:
            meter.close()
        messages.deliver()
    if check is not None:
        wrong += check.problems
    if wrong:
        for text in wrong:
            warn(text)
        raise typer.Exit(1)


def _report_progress(text: str) -> None:
    warn(f"carbon-callbacks: {text}")


def _worse(detection: Detection, at_least: Grade) -> list[str]:
    """Return a line for each device with a worse grade, with the known remedies."""
    devices = _devices(detection)
    if not devices:
        return ["no meter found"]
    texts = []
    for device in devices:
        if device.method.grade > at_least.value:
            remedies = [
                refusal.remedy
                for refusal in detection.refusals
                if refusal.component == device.component and refusal.remedy
            ]
            known = f"; {'; '.join(remedies)}" if remedies else ""
            method = f"{device.method.name}, grade {device.method.grade}"
            texts.append(f"{device.component}: {device.name} is measured by {method}{known}")
    return texts


def _devices(detection: Detection) -> list[Device]:
    devices = [device for meter in detection.meters for device in meter.devices]
    return sorted(devices, key=lambda device: COMPONENTS.index(device.component))


def _data(detection: Detection, check: load_run.LoadCheck | None) -> dict[str, Any]:
    found = {} if check is None else {"load_check": load_table.as_data(check)}
    return {
        "devices": [asdict(device) for device in _devices(detection)],
        "refused_meters": [asdict(refusal) for refusal in detection.refusals],
        "meters_not_tried": dict(detection.not_tried),
        "host": asdict(detection.host),
        **found,
    }


def _print_tables(detection: Detection, console: PlainConsole) -> None:
    rows = [
        (
            device.component,
            device.name,
            device.method.summary,
            device.method.grade,
            _range(device.method.sigma_ln),
        )
        for device in _devices(detection)
    ]
    show(console, _COLUMNS, rows, title="Measured on this machine")
    for line in _lines(detection):
        console.print(line, markup=False)  # "[amd]" is the name of an extra, not a style


def _lines(detection: Detection) -> Iterator[str]:
    """Yield the notes on devices, and the meters that are not used, with reasons and remedies."""
    for device in _devices(detection):
        if device.note:
            yield f"{device.name}: {device.note}"
    for refusal in detection.refusals:
        yield f"not used: {refusal.meter} ({refusal.component}): {refusal.reason}"
        if refusal.remedy:
            yield f"  remedy: {refusal.remedy}"
    if detection.not_tried:
        reasons = [f"{name} ({reason})" for name, reason in detection.not_tried.items()]
        yield f"not tried: {', '.join(reasons)}"


def _range(sigma_ln: float) -> str:
    factor = interval(1.0, sigma_ln).high
    return f"± {factor - 1:.0%}" if factor < 1.5 else f"within a factor of {factor:.1f}"
