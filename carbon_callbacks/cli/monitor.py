"""``carbon-callbacks monitor``: live power and energy use of this machine."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Group
from rich.live import Live
from rich.styled import Styled

from carbon_callbacks.cli.tables import Column, fitted
from carbon_callbacks.cli.terminal import PlainConsole, say
from carbon_callbacks.cli.tracking import tracker_of
from carbon_core import EmissionsTracker, Report, Window
from carbon_core.clock import SystemClock
from carbon_core.formatting import (
    duration,
    emissions,
    emissions_range,
    energy,
    formatted,
    power,
)
from carbon_core.units import kwh

_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
_PERCENT = 100.0
_COLUMNS = (
    Column("device", folds=True),
    Column("meter", folds=True, dropped=2),
    Column("grade", dropped=1),
    Column("power now", wraps=True),
    Column("energy"),
)


class View(NamedTuple):
    """Data of one refresh.

    Attributes:
        report: Results of the run so far.
        window: The window since the previous refresh.
        budget: Used part of the budget and time left, as text; empty without a budget.
    """

    report: Report
    window: Window
    budget: str


def run(settings: Sequence[str], *, every_s: float, seconds: float | None) -> None:
    """Measure this machine and show the result until a signal arrives or the time is over.

    Args:
        settings: Settings as ``key=value``.
        every_s: Refresh interval.
        seconds: Duration; None for until Ctrl-C or SIGTERM.
    """
    tracker = tracker_of(settings)
    console = PlainConsole()
    with _stop_signal() as stop, tracker:
        if console.is_terminal and not console.is_dumb_terminal:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                for view in _views(tracker, stop, every_s, seconds):
                    live.update(_table(view, console.width), refresh=True)
        else:
            for view in _views(tracker, stop, every_s, seconds):
                say(_line(view))


class _StopSignal:
    """Waits for a terminating signal.

    A `threading.Event` has a lock, which its `wait` may hold when the handler interrupts it and sets it.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)

    def set(self) -> None:
        """End every wait; may be called by a signal handler."""
        with contextlib.suppress(OSError):  # full: it was set often enough
            self._writer.send(b"x")

    def wait(self, timeout_s: float) -> bool:
        """Wait for a signal, and return whether there was one."""
        return bool(select.select([self._reader], [], [], timeout_s)[0])

    def close(self) -> None:
        """Close the sockets."""
        self._reader.close()
        self._writer.close()


@contextlib.contextmanager
def _stop_signal() -> Iterator[_StopSignal]:
    """Yield what is set when a terminating signal arrives."""
    stop = _StopSignal()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in _ENDING}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def _views(
    tracker: EmissionsTracker, stop: _StopSignal, every_s: float, seconds: float | None
) -> Iterator[View]:
    refreshes = 0
    window = tracker.window()
    while not stop.wait(every_s):
        closed, window = window.close(), tracker.window()
        report = tracker.report(closed.end)
        if report is not None:
            yield View(report, closed, _budget(tracker, report))
        refreshes += 1
        if seconds is not None and refreshes * every_s >= seconds:
            return


def _budget(tracker: EmissionsTracker, report: Report) -> str:
    """Return the budget of which the larger part is used, as text; empty without a budget."""
    settings = tracker.settings
    energy_kwh, emissions_kg = report.energy_kwh.value, report.emissions_kg.value
    budgets = [
        ("energy", energy, settings.budget_kwh, report.training_kwh, energy_kwh),
        ("emissions", emissions, settings.budget_kg_co2e, report.training_kg, emissions_kg),
    ]
    texts = [
        (
            used / limit,
            f"{name} budget {used / limit * _PERCENT:.0f} % used "
            f"({as_text(used)} of {as_text(limit)}){_time_left(report, in_run, limit - used)}",
        )
        for name, as_text, limit, used, in_run in budgets
        if limit
    ]
    return max(texts)[1] if texts else ""


def _time_left(report: Report, used_in_run: float, remaining: float) -> str:
    """Return the time until a budget is used at the run's average rate, as text, or nothing."""
    if remaining <= 0 or used_in_run <= 0:
        return ""
    seconds = remaining / used_in_run * report.duration_s
    return f", about {duration(seconds)} left"


def _time() -> str:
    return SystemClock().now().astimezone().strftime("%H:%M:%S %Z")


def _line(view: View) -> str:
    report = view.report
    if not report.is_known:
        return f"{_time()} energy unknown: no meter gave a reading"
    power_w = view.window.power_w * report.run.pue
    rest = f"; {view.budget}" if view.budget else ""
    totals = f"{energy(report.energy_kwh.value)}, {emissions(report.emissions_kg.value)}"
    return (
        f"{_time()} {power(power_w)}, {totals} "
        f"({formatted(report.intensity_g_per_kwh)} g/kWh, {report.place}){rest}"
    )


def _table(view: View, width: int) -> Group:
    now, pue = view.window.by_device, view.report.run.pue
    rows = []
    for device, used in view.report.window.by_device.items():
        joules = now[device].joules if device in now else 0.0
        watts = joules * pue / view.window.duration_s if view.window.duration_s > 0 else 0.0
        method = device.method
        total = energy(kwh(used.joules) * pue)
        rows.append((device.name, str(method), method.grade, power(watts), total))
    table = fitted(width, _COLUMNS, rows)
    if not view.report.is_known:
        return Group(table, _line(view), Styled("press Ctrl-C to stop", "dim"))
    interval = f"95 %: {emissions_range(*view.report.emissions_kg[1:])}"
    return Group(table, _line(view), Styled(f"{interval}; press Ctrl-C to stop", "dim"))
