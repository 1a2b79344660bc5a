"""``carbon-callbacks baseline``: measure idle power once, so that results include net energy."""

from __future__ import annotations

import math
import threading
from typing import NamedTuple, NoReturn

import typer
from rich.progress import track

from carbon_callbacks.cli.idle_check import LoadWatch, gpu_problems, variations
from carbon_callbacks.cli.tables import Column, show
from carbon_callbacks.cli.terminal import PlainConsole, say, warn
from carbon_core import EmissionsTracker
from carbon_core.clock import SystemClock
from carbon_core.config import sources
from carbon_core.formatting import power
from carbon_core.hardware.host import Host
from carbon_core.hardware.idle import as_json, idle_file
from carbon_core.outputs.base import make_directory, replace
from carbon_core.records import Device

# Windows whose power is compared: about one a second.
_FEWEST_WINDOWS = 5
# A machine that is at work is refused after so many seconds, and not at the end.
_FIRST_CHECK_S = 3.0
_ADVICE = (
    "end other programs or wait until they have ended, and run this again; --even-if-busy saves the "
    "baseline nevertheless, with this note"
)
_COLUMNS = (
    Column("component", dropped=1),
    Column("device", folds=True),
    Column("idle power", wraps=True),
    Column("grade"),
)


class _Measured(NamedTuple):
    """Result of a measurement.

    Attributes:
        idle_w: Mean power of each measured device.
        problems: Why the machine was not idle; empty if it was.
    """

    idle_w: dict[Device, float]
    problems: list[str]


def run(*, seconds: float, even_if_busy: bool = False, host: Host | None = None) -> None:
    """Measure the mean power of each device and save it; exit with 1 if the machine is not idle.

    Args:
        seconds: Duration of the measurement.
        even_if_busy: Save it in any case; the file then has what was seen.
        host: The machine; tests pass another.
    """
    home = sources.home_directory()
    if home is None:
        _fail("no home directory to save the baseline in; set HOME")
    idle_w, problems = _measure(seconds, host or Host(), may_stop=not even_if_busy)
    if problems:
        warn("carbon-callbacks: this machine is not idle:")
        for problem in problems:
            warn(f"  {problem}")
        if not even_if_busy:
            _fail(f"no baseline saved: {_ADVICE}")
    if not idle_w:
        _fail("no device was measured; run carbon-callbacks detect for the reasons")
    path = idle_file(home)
    watts: dict[str, float] = {}
    for device, power_w in idle_w.items():
        watts[device.id] = watts.get(device.id, 0.0) + power_w
    now = SystemClock().now().isoformat(timespec="seconds")
    try:
        make_directory(path.parent)
        replace(path, as_json(watts, seconds, now, not_idle=problems).encode())
    except OSError as error:
        _fail(f"{path}: cannot be written ({error.strerror})")
    _print(idle_w)
    note = ", with the note that the machine was not idle" if problems else ""
    say(f"saved to {path}{note}; results now include net energy (above idle)")


def _measure(seconds: float, host: Host, *, may_stop: bool) -> _Measured:
    # The file has what the meters report; a run calibrates it as it does its energy.
    tracker = EmissionsTracker(
        save_to_file=False, tracking_mode="machine", log_level="WARNING", calibration=None
    )
    # The bar is shown in terminals only; the duration is the same without it.
    console = PlainConsole(stderr=True)
    never_set = threading.Event()
    count = max(_FEWEST_WINDOWS, round(seconds))
    first_check = math.ceil(_FIRST_CHECK_S * count / seconds)
    watts: dict[Device, list[float]] = {}
    problems: list[str] = []
    with tracker:
        load = LoadWatch(host)
        bar = track(range(count), "keep the machine idle", console=console, transient=True)
        for number in bar:
            window = tracker.window()
            never_set.wait(seconds / count)
            closed = window.close()
            for device, energy in closed.by_device.items():
                watts.setdefault(device, []).append(energy.joules / closed.duration_s)
            if may_stop and number + 1 == first_check and (problems := list(load.problems())):
                break
        problems = problems or list(load.problems())
    report = tracker.final_report
    if report is None:
        return _Measured({}, problems)
    energies = report.window.by_device
    idle_w = {
        device: energy.joules / report.duration_s
        for device, energy in energies.items()
        if energy.measured_j > 0
    }
    measured = {device: values for device, values in watts.items() if device in idle_w}
    problems += [*variations(measured), *gpu_problems(report.utilization.gpu_percent)]
    return _Measured(idle_w, problems)


def _print(idle_w: dict[Device, float]) -> None:
    rows = [
        (device.component, device.name, power(power_w), device.method.grade)
        for device, power_w in idle_w.items()
    ]
    show(PlainConsole(), _COLUMNS, rows, title="Idle power of this machine")


def _fail(text: str) -> NoReturn:
    warn(f"carbon-callbacks: {text}")
    raise typer.Exit(1)
