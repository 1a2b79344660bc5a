"""``carbon-callbacks baseline``: measure idle power once, so that results include net energy."""

from __future__ import annotations

import threading
from typing import NoReturn

import typer
from rich.progress import track
from rich.table import Table

from carbon_callbacks.cli.terminal import PlainConsole, say, warn
from carbon_core import EmissionsTracker
from carbon_core.clock import SystemClock
from carbon_core.config import sources
from carbon_core.hardware.idle import as_json, idle_file
from carbon_core.outputs.base import make_directory, replace
from carbon_core.records import Device

_STEPS = 100


def run(*, seconds: float) -> None:
    """Measure the mean power of each device and save it.

    Args:
        seconds: Duration of the measurement.
    """
    home = sources.home_directory()
    if home is None:
        _fail("no home directory to save the baseline in; set HOME")
    idle_w = _measure(seconds)
    if not idle_w:
        _fail("no device was measured; run carbon-callbacks detect for the reasons")
    path = idle_file(home)
    watts: dict[str, float] = {}
    for device, power_w in idle_w.items():
        watts[device.id] = watts.get(device.id, 0.0) + power_w
    text = as_json(watts, seconds, SystemClock().now().isoformat(timespec="seconds"))
    try:
        make_directory(path.parent)
        replace(path, text.encode())
    except OSError as error:
        _fail(f"{path}: cannot be written ({error.strerror})")
    _print(idle_w)
    say(f"saved to {path}; results now include net energy (above idle)")


def _measure(seconds: float) -> dict[Device, float]:
    # The file has what the meters report; a run calibrates it as it does its energy.
    tracker = EmissionsTracker(
        save_to_file=False, tracking_mode="machine", log_level="WARNING", calibration=None
    )
    # The bar is shown in terminals only; the duration is the same without it.
    console = PlainConsole(stderr=True)
    never_set = threading.Event()
    with tracker:
        for _ in track(range(_STEPS), "keep the machine idle", console=console, transient=True):
            never_set.wait(seconds / _STEPS)
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
    table = Table("component", "device", "idle power", "grade", title="Idle power of this machine")
    for device, power_w in idle_w.items():
        table.add_row(device.component, device.name, f"{power_w:.1f} W", device.method.grade)
    PlainConsole().print(table)


def _fail(text: str) -> NoReturn:
    warn(f"carbon-callbacks: {text}")
    raise typer.Exit(1)
