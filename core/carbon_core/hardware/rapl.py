"""Intel and AMD processors' own energy counters, through Linux powercap (RAPL).

Zones overlap: psys and package contain others, ``intel-rapl-mmio`` shows the same package a second
time, and some AMD parts show one socket's counter once for each die. Only packages and their DRAM
are counted, each once. See https://www.kernel.org/doc/html/latest/power/powercap/powercap.html.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from carbon_core.clock import Clock
from carbon_core.errors import MeterError
from carbon_core.methods import (
    RAPL_AMD,
    RAPL_DRAM,
    RAPL_INTEL_CLIENT,
    RAPL_INTEL_SERVER,
    Method,
)
from carbon_core.records import Device, Reading

MICROJOULES_PER_JOULE = 1e6
_POWERCAP = "sys/class/powercap"
# A 15 µJ counter of 32 bits wraps after 65 kJ: two minutes at 500 W. Half a minute is safe for all.
_LONGEST_PERIOD_S = 30.0
_MAX_PACKAGE_W = 1500.0
_MAX_DRAM_W = 500.0
_REMEDY = (
    "let this user read it, for instance with a udev rule or "
    "`sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`, "
    "and once more for the zones below"
)


@dataclass(frozen=True)
class Zone:
    """One directory of the powercap tree.

    Attributes:
        path: The directory.
        name: Contents of its ``name`` file, such as ``package-0`` or ``dram``.
        parent: Name of the package zone it lies in, or an empty string.
    """

    path: Path
    name: str
    parent: str = ""


def open_rapl(
    root: Path, clock: Clock, period_s: float, cpu_model: str = "", *, dram: bool = True
) -> RaplMeter:
    """Return a meter over the readable packages and their DRAM.

    Args:
        root: Directory that holds ``sys``.
        clock: Source of the readings' times.
        period_s: Wanted time between reads in seconds; shortened where a counter might wrap twice.
        cpu_model: The processor's name, which decides how far its counter is to be trusted.
        dram: Whether to count memory, too.

    Raises:
        MeterError: There is no powercap tree, or nothing in it may be read.
    """
    zones = list(_counted_zones(root / _POWERCAP, mirrored_dies="amd" in cpu_model.lower()))
    if not dram:
        zones = [zone for zone in zones if not zone.parent]
    if not zones:
        raise MeterError(
            "no RAPL package zone under /sys/class/powercap (a virtual machine, another kind of "
            "processor, or a kernel without the intel_rapl driver)"
        )
    files: list[tuple[Device, int]] = []
    for zone in zones:
        try:
            files.append((_device(zone, cpu_model), _open_counter(zone)))
        except (OSError, ValueError) as error:
            if zone.parent:
                continue  # memory falls back to its model; the package still counts
            for _, descriptor in files:
                os.close(descriptor)
            raise _refused(zone, error) from error
    return RaplMeter(files, clock, min(period_s, _LONGEST_PERIOD_S))


class RaplMeter:
    """Reads open ``energy_uj`` files.

    Args:
        files: Each device with the descriptor of its counter; closed by the meter.
        clock: Source of the readings' times.
        period_s: Longest time between two reads in seconds.
    """

    def __init__(self, files: Sequence[tuple[Device, int]], clock: Clock, period_s: float) -> None:
        self.devices = tuple(device for device, _ in files)
        self.period_s = period_s
        self._clock = clock
        self._files = [(device.id, descriptor) for device, descriptor in files]

    def read(self) -> list[Reading]:
        """Read every counter, in joules."""
        return [
            Reading(device_id, self._clock.monotonic_ns(), _read_joules(descriptor))
            for device_id, descriptor in self._files
        ]

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.pop()[1])


def _counted_zones(powercap: Path, *, mirrored_dies: bool) -> Iterator[Zone]:
    """Yield each package once, with its DRAM."""
    seen: set[str] = set()
    # Sorted, so that the MSR's view of a package comes before its twin of `intel-rapl-mmio`.
    for directory in sorted(powercap.glob("intel-rapl*:*"), key=_depth_and_name):
        name = _text(directory / "name")
        if directory.name.count(":") == 1 and name.startswith("package"):
            counter = name.split("-die-")[0] if mirrored_dies else name
            if counter not in seen:
                seen.add(counter)
                yield Zone(directory, name)
                yield from _dram_of(directory, name)


def _depth_and_name(path: Path) -> tuple[int, bool, str]:
    return path.name.count(":"), "mmio" in path.name, path.name


def _dram_of(package: Path, package_name: str) -> Iterator[Zone]:
    for directory in sorted(package.glob(package.name + ":*")):
        if _text(directory / "name") == "dram":
            yield Zone(directory, "dram", package_name)


def _device(zone: Zone, cpu_model: str) -> Device:
    range_uj = _text(zone.path / "max_energy_range_uj")
    range_j = int(range_uj) / MICROJOULES_PER_JOULE if range_uj.isdecimal() else 0.0
    if zone.parent:
        label = f"{zone.parent} {zone.name}"
        return Device(
            f"ram:{label}", "ram", label, RAPL_DRAM, wrap_j=range_j or None, max_power_w=_MAX_DRAM_W
        )
    return Device(
        f"cpu:{zone.name}",
        "cpu",
        zone.name,
        _package_method(cpu_model),
        wrap_j=range_j or None,
        max_power_w=_MAX_PACKAGE_W,
    )


def _package_method(cpu_model: str) -> Method:
    model = cpu_model.lower()
    if "amd" in model:
        return RAPL_AMD
    return RAPL_INTEL_SERVER if "xeon" in model else RAPL_INTEL_CLIENT


def _open_counter(zone: Zone) -> int:
    """Open a zone's counter and prove that it can be read."""
    descriptor = os.open(zone.path / "energy_uj", os.O_RDONLY | os.O_CLOEXEC)
    try:
        int(os.pread(descriptor, 32, 0))
    except (OSError, ValueError):
        os.close(descriptor)
        raise
    return descriptor


def _read_joules(descriptor: int) -> float | None:
    try:
        return int(os.pread(descriptor, 32, 0)) / MICROJOULES_PER_JOULE
    except (OSError, ValueError):
        # Permission withdrawn, zone unplugged, or garbage: a missing value, not an end.
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _refused(zone: Zone, error: OSError | ValueError) -> MeterError:
    place = f"{zone.path.name}/energy_uj"
    if isinstance(error, PermissionError):
        return MeterError(f"cannot read {place}: permission denied", remedy=_REMEDY)
    return MeterError(f"cannot read {place}: {getattr(error, 'strerror', None) or error}")
