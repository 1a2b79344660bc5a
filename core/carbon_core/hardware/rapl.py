"""Intel and AMD processors' own energy counters, through Linux powercap (RAPL).

Which zones count is decided in `rapl_zones`; here their counters are opened.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.rapl_meter import (
    Counter,
    RaplMeter,
    close_all,
    core_device,
    dram_device,
    package_device,
    why,
)
from carbon_core.hardware.rapl_zones import MICROJOULES_PER_JOULE, Zone, choose_zones
from carbon_core.records import Device

# A 15 µJ counter of 32 bits wraps after 65 kJ: two minutes at 500 W. Half a minute is safe for all.
_LONGEST_PERIOD_S = 30.0
# What no counter reaches before its machine is scrapped; broken drivers show 2**63 and the like.
_MOST_UJ = 2**60
_SHOWN_BYTES = 24
_REMEDY = (
    "let this user read it: `sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`, "
    "which holds until the next start of the machine, or a udev rule"
)


def open_rapl(
    root: Path,
    clock: Clock,
    period_s: float,
    cpu_model: str = "",
    *,
    dram: bool = True,
    on_problem: Callable[[str], None] = lambda line: None,
    pause: Callable[[float], object] = lambda seconds: threading.Event().wait(seconds),
) -> RaplMeter:
    """Return a meter over the readable packages and their DRAM.

    Args:
        root: Directory that holds ``sys``.
        clock: Source of the readings' times.
        period_s: Wanted time between reads in seconds; shortened where a counter might wrap twice.
        cpu_model: The processor's name, which decides how far its counter is to be trusted.
        dram: Whether to count memory, too.
        on_problem: Told in words when a counter fails later on.
        pause: Waits so many seconds between two looks at counters that may be one and the same.

    Raises:
        MeterError: There is no powercap tree, or what must be counted may not be read.
    """
    choice = choose_zones(root, pause)
    counters: list[Counter] = []
    for zone in choice.counted:
        if zone.name == "dram" and not dram:
            continue
        try:
            counters.append(_open(zone, cpu_model))
        except (OSError, ValueError) as error:
            if zone.name == "dram":
                continue  # memory falls back to its model; the package still counts
            close_all(counters)
            raise _refused(zone, error) from error
    period_s = min(period_s, _LONGEST_PERIOD_S)
    return RaplMeter(counters, clock, period_s, on_problem, choice.dropped)


def _open(zone: Zone, cpu_model: str) -> Counter:
    """Open a zone's counter and prove that it can be read."""
    descriptor = _descriptor(zone.path)
    try:
        _read_joules(descriptor)
    except (OSError, ValueError):
        os.close(descriptor)
        raise
    again = functools.partial(_descriptor, zone.path)
    return Counter(_device(zone, cpu_model), _place(zone), descriptor, _read_joules, again)


def _descriptor(zone: Path) -> int:
    return os.open(zone / "energy_uj", os.O_RDONLY | os.O_CLOEXEC)


def _device(zone: Zone, cpu_model: str) -> Device:
    if zone.is_package:
        return package_device(zone.name, cpu_model, zone.range_j)
    label = f"{zone.parent or zone.path.name} {zone.name}"
    make = dram_device if zone.name == "dram" else core_device
    return make(label, zone.range_j)


def _read_joules(descriptor: int) -> float:
    shown = os.pread(descriptor, _SHOWN_BYTES, 0)
    try:
        energy_uj = int(shown)
    except ValueError:
        raise ValueError(f"it shows {ascii(shown)[2:-1] or 'nothing'}") from None
    if not 0 <= energy_uj < _MOST_UJ:
        raise ValueError(f"it shows {energy_uj}, which no counter can")
    return energy_uj / MICROJOULES_PER_JOULE


def _place(zone: Zone) -> str:
    return f"{zone.path.name}/energy_uj"


def _refused(zone: Zone, error: OSError | ValueError) -> MeterError:
    remedy = _REMEDY if isinstance(error, PermissionError) else ""
    return MeterError(f"cannot read {_place(zone)}: {why(error)}", remedy=remedy)
