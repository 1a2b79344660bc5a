"""Energy counters of Intel and AMD processors, through Linux powercap (RAPL).

`rapl_zones` selects the zones; this module opens their counters.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.hardware.driver_calls import Pause, again, lasts, wait
from carbon_core.hardware.rapl_meter import (
    Counter,
    ModelsW,
    RaplMeter,
    close_all,
    core_device,
    dram_device,
    package_device,
    why,
)
from carbon_core.hardware.rapl_zones import (
    MAX_UJ,
    MICROJOULES_PER_JOULE,
    Zone,
    choose_zones,
    find_zone,
    is_taken,
    name_files,
)
from carbon_core.records import Device
from carbon_core.system_files import open_regular

# A counter of 32 bits and 15 µJ wraps after 65 kJ: two minutes at 500 W. Half a minute is always safe.
_LONGEST_PERIOD_S = 30.0
_SHOWN_BYTES = 24
_REMEDY = (
    "make it readable: `sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj` until the next "
    "reboot, or a udev rule"
)


def open_rapl(
    root: Path,
    clock: Clock,
    period_s: float,
    cpu_model: str = "",
    *,
    dram: bool = True,
    on_problem: Callable[[str], None] = lambda line: None,
    models_w: ModelsW | None = None,
    pause: Pause = wait,
) -> RaplMeter:
    """Return a meter of the packages and their DRAM.

    Args:
        root: Directory that holds ``sys``.
        clock: Source of the readings' times.
        period_s: Requested time between reads in seconds; shortened where a counter might wrap twice.
        cpu_model: Name of the processor, which determines the method and its uncertainty.
        dram: Whether to count the memory as well.
        on_problem: Callback that receives a message when a counter fails later.
        models_w: Models of the power of all packages, and of all memory; for counters that never move.
        pause: Waits for some seconds, between two reads that compare the counters of dies, and
            before a counter that failed is opened again.

    Raises:
        MeterError: There is no powercap tree, or a package may not be read.
    """
    choice = choose_zones(root, pause)
    counters: list[Counter] = []
    for zone in choice.counted:
        if zone.name == "dram" and not dram:
            continue
        try:
            counters.append(again(partial(_open, root, zone, cpu_model), lasts, pause))
        except (OSError, ValueError) as error:
            if zone.name == "dram":
                continue  # memory is modelled instead; the package is still counted
            close_all(counters)
            raise _refused(zone, error) from error
    period_s = min(period_s, _LONGEST_PERIOD_S)
    return RaplMeter(counters, clock, period_s, on_problem, choice.dropped, models_w)


def _open(root: Path, zone: Zone, cpu_model: str) -> Counter:
    """Open a zone's counter and read it once."""
    descriptor = _descriptor(zone.path)
    try:
        _read_joules(descriptor)
    except (OSError, ValueError):
        os.close(descriptor)
        raise
    return Counter(
        _device(zone, cpu_model),
        _place(zone),
        descriptor,
        _read_joules,
        partial(_found_again, root, zone),
        _Place(root, zone).is_of,
    )


def _found_again(root: Path, zone: Zone) -> int:
    """Open the counter of a zone by its name, wherever the kernel shows it now."""
    return _descriptor(find_zone(root, zone).path)


def _is_same(root: Path, zone: Zone, descriptor: int) -> bool:
    """Return whether an open counter is the one of the zone that has its name now.

    True as well where that is unknown, because the zone is gone: then reading it gives the reason.
    """
    try:
        there = (find_zone(root, zone).path / "energy_uj").stat()
        return os.path.samestat(there, os.fstat(descriptor))
    except OSError:
        return not is_taken(zone)


class _Place:
    """Where a zone is: its names are read again only once a file there is another or has changed.

    Args:
        root: Directory that holds ``sys``.
        zone: The zone.
    """

    def __init__(self, root: Path, zone: Zone) -> None:
        self._root, self._zone = root, zone
        self._counter = str(zone.path / "energy_uj")
        self._names = [str(path) for path in name_files(zone)]
        self._checked: Sequence[tuple[int, ...]] | None = None

    def is_of(self, descriptor: int) -> bool:
        """Return whether an open counter is the one of the zone; also as `_is_same` where unknown."""
        names = [_version(path) for path in self._names]
        try:
            there = os.stat(self._counter)  # noqa: PTH116 - as below
            is_here = os.path.samestat(there, os.fstat(descriptor))
        except OSError:
            is_here = False
        if is_here and names == self._checked:
            return True
        is_same = _is_same(self._root, self._zone, descriptor)
        self._checked = names if is_here and is_same else None
        return is_same


def _version(path: str) -> tuple[int, ...]:
    """Return what changes with a file's contents; nothing where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - that of a path object takes twice as long
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _descriptor(zone: Path) -> int:
    return open_regular(zone / "energy_uj")


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
    if not 0 <= energy_uj < MAX_UJ:
        raise ValueError(f"it shows {energy_uj}, which is implausible")
    return energy_uj / MICROJOULES_PER_JOULE


def _place(zone: Zone) -> str:
    return f"{zone.path.name}/energy_uj"


def _refused(zone: Zone, error: OSError | ValueError) -> MeterError:
    remedy = _REMEDY if isinstance(error, PermissionError) else ""
    return MeterError(f"cannot read {_place(zone)}: {why(error)}", remedy=remedy)
