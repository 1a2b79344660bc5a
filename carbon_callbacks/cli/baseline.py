"""``carbon-callbacks baseline``: measure the idle machine once, so that results can show net energy."""

from __future__ import annotations

import sys
import threading
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from carbon_core import EmissionsTracker
from carbon_core.clock import SystemClock
from carbon_core.config import sources
from carbon_core.hardware.idle import as_json, idle_file
from carbon_core.outputs.base import replace
from carbon_core.records import Device

_STEPS = 100


def run(*, seconds: float) -> None:
    """Measure for some seconds and keep each device's mean draw."""
    home = sources.home_directory()
    if home is None:
        _fail("there is no home directory to keep the baseline in; set HOME")
    idle_w = _measure(seconds)
    if not idle_w:
        _fail("nothing was measured; see carbon-callbacks detect")
    path = idle_file(home)
    watts = {device.id: power_w for device, power_w in idle_w.items()}
    text = as_json(watts, seconds, SystemClock().now().isoformat(timespec="seconds"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text.encode())
    except OSError as error:
        _fail(f"{path}: cannot be written ({error.strerror})")
    _print(idle_w)
    print(f"kept in {path}; results now show energy above idle, too")


def _measure(seconds: float) -> dict[Device, float]:
    tracker = EmissionsTracker(save_to_file=False, tracking_mode="machine", log_level="WARNING")
    # Only a terminal shows the bar; the seconds pass all the same.
    console = Console(stderr=True)
    nobody = threading.Event()
    with tracker:
        for _ in track(range(_STEPS), "leave the machine idle", console=console, transient=True):
            nobody.wait(seconds / _STEPS)
    report = tracker.final_report
    if report is None:
        return {}
    energies = report.window.by_device
    return {
        device: energy.joules / report.duration_s
        for device, energy in energies.items()
        if energy.measured_j > 0
    }


def _print(idle_w: dict[Device, float]) -> None:
    table = Table("component", "device", "idle draw", "grade", title="The idle machine")
    for device, power_w in idle_w.items():
        table.add_row(device.component, device.name, f"{power_w:.1f} W", device.method.grade)
    Console().print(table)


def _fail(text: str) -> NoReturn:
    print(f"carbon-callbacks: {text}", file=sys.stderr)
    raise typer.Exit(1)
