"""``carbon-callbacks monitor``: what this machine draws, while it draws it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from carbon_callbacks.cli.tracking import tracker_of
from carbon_core import EmissionsTracker, Report, Window
from carbon_core.clock import SystemClock
from carbon_core.formatting import formatted
from carbon_core.units import GRAMS_PER_KG, kwh

_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
_PERCENT = 100.0
_S_PER_HOUR = 3600.0


class View(NamedTuple):
    """What is shown: the run so far, and what the last moment drew.

    Attributes:
        report: The run so far.
        moment: Since the last look.
        budget: How much of the budget is used up, in words; an empty string without one.
    """

    report: Report
    moment: Window
    budget: str


def run(settings: Sequence[str], *, every_s: float, seconds: float | None) -> None:
    """Measure and show it until a signal comes, or for a while.

    Args:
        settings: Settings as ``key=value``.
        every_s: Seconds between two looks.
        seconds: How long; None for until Ctrl-C or SIGTERM.
    """
    tracker = tracker_of(settings)
    console = Console()
    with _until_told() as told, tracker:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                for view in _views(tracker, told, every_s, seconds):
                    live.update(_table(view), refresh=True)
        else:
            for view in _views(tracker, told, every_s, seconds):
                print(_line(view), flush=True)


@contextlib.contextmanager
def _until_told() -> Iterator[threading.Event]:
    """Give an event that is set by the signals which end a program."""
    told = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, end) for number in _ENDING}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _views(
    tracker: EmissionsTracker, told: threading.Event, every_s: float, seconds: float | None
) -> Iterator[View]:
    looks = 0
    moment = tracker.window()
    while not told.wait(every_s):
        drawn, moment = moment.close(), tracker.window()
        report = tracker.report(drawn.end)
        if report is not None:
            yield View(report, drawn, _budget(tracker, report))
        looks += 1
        if seconds is not None and looks * every_s >= seconds:
            return


def _budget(tracker: EmissionsTracker, report: Report) -> str:
    settings, hours = tracker.settings, report.duration_s / _S_PER_HOUR
    limits = [
        (used / limit, f"{limit:g} {unit}", (limit - used) / own * hours if own > 0 else None)
        for used, own, limit, unit in (
            (report.training_kwh, report.energy_kwh.value, settings.budget_kwh, "kWh"),
            (report.training_kg, report.emissions_kg.value, settings.budget_kg_co2e, "kg CO2e"),
        )
        if limit
    ]
    if not limits:
        return ""
    share, limit_text, left_h = max(limits, key=lambda one: one[0])
    lasts = (
        f", lasts {formatted(left_h)} h at this rate" if left_h is not None and left_h > 0 else ""
    )
    return f"{share * _PERCENT:.0f} % of {limit_text}{lasts}"


def _line(view: View) -> str:
    report = view.report
    grams = report.emissions_kg.value * GRAMS_PER_KG
    time = SystemClock().now().astimezone().strftime("%H:%M:%S")
    power_w = view.moment.power_w * report.run.pue
    rest = f"; {view.budget}" if view.budget else ""
    return (
        f"{time} {power_w:.1f} W, {formatted(report.energy_kwh.value)} kWh, {formatted(grams)} gCO2e "
        f"({formatted(report.intensity_g_per_kwh)} g/kWh, {report.place}){rest}"
    )


def _table(view: View) -> Group:
    table = Table("device", "meter", "grade", "W now", "kWh")
    now, pue = view.moment.by_device, view.report.run.pue
    for device, energy in view.report.window.by_device.items():
        joules = now[device].joules if device in now else 0.0
        watts = joules * pue / view.moment.duration_s if view.moment.duration_s > 0 else 0.0
        table.add_row(
            device.name,
            str(device.method),
            device.method.grade,
            f"{watts:.1f}",
            formatted(kwh(energy.joules) * pue),
        )
    emissions = view.report.emissions_kg.scaled(GRAMS_PER_KG)
    interval = f"95 %: {formatted(emissions.low)} to {formatted(emissions.high)} gCO2e"
    return Group(table, Text(_line(view)), Text(f"{interval}; Ctrl-C ends it", style="dim"))
