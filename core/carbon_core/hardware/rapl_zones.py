"""Zones of Linux powercap, and the selection of zones that counts every joule once.

Zones overlap. A package contains its core and uncore planes, and psys contains packages and more;
DRAM is not part of its package, although it is below it in the tree. ``intel-rapl-mmio`` repeats the
packages of ``intel-rapl``, and some processors show one counter on each of their dies.
See https://www.kernel.org/doc/html/latest/power/powercap/powercap.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from carbon_core.errors import MeterError
from carbon_core.plausible import number, whole_number
from carbon_core.record import field, record
from carbon_core.records import Refusal
from carbon_core.system_files import matches, text_in

MICROJOULES_PER_JOULE = 1e6
# Upper plausibility bound: broken drivers show values such as 2**63.
MAX_UJ = 2**60
POWERCAP = "sys/class/powercap"
# Counters are updated about every millisecond: two dies may differ by two steps at 500 W.
_SLACK_J = 1.0
_ROUNDS = 4
_PAUSE_S = 0.01
# Counters of 32 bits wrap after 65 kJ or more.
_LEAST_RANGE_J = 1e3
_MOST_RANGE_J = 1e13
_HIDDEN = (
    "start the container with `--security-opt systempaths=unconfined` and make "
    "/sys/devices/virtual/powercap readable in it"
)


@record(frozen=True)
class Zone:
    """One directory of the powercap tree.

    Attributes:
        path: The directory.
        name: Contents of its ``name`` file, such as ``package-0`` or ``dram``.
        parent: Name of the zone that contains it, or an empty string.
        range_j: Where its counter wraps, in joules; None when that cannot be read.
    """

    path: Path
    name: str
    parent: str = ""
    range_j: float | None = None

    @property
    def is_package(self) -> bool:
        """Whether this is a whole processor package, or a die of one."""
        return self.name.startswith("package")

    def is_readable(self) -> bool:
        """Return whether the counter can be read now."""
        return self.joules() is not None

    def joules(self) -> float | None:
        """Read the counter; None where that fails."""
        shown_uj = whole_number(text_in(self.path / "energy_uj"), 0, MAX_UJ)
        return None if shown_uj is None else shown_uj / MICROJOULES_PER_JOULE


@record
class Choice:
    """The selected zones.

    Attributes:
        counted: Zones that do not overlap.
        dropped: Zones that a user might expect and that are not counted, each with the reason.
    """

    counted: list[Zone] = field(default_factory=list)
    dropped: list[Refusal] = field(default_factory=list)

    def drop(self, zone: Zone, reason: str) -> None:
        """Exclude a zone."""
        place = f"{zone.path.name} ({zone.name})"
        self.dropped.append(Refusal("rapl", "cpu", f"{place} is not counted: {reason}"))


def zone_facts(root: Path) -> dict[str, str]:
    """Return facts about the zones of a machine for the results."""
    psys = [zone.path.name for zone in _zones(root / POWERCAP) if zone.name == "psys"]
    return {"rapl_psys": f"present ({', '.join(psys)}), not counted"} if psys else {}


def choose_zones(root: Path, pause: Callable[[float], object]) -> Choice:
    """Choose the packages and their DRAM; without any package, the core planes.

    Args:
        root: Directory that holds ``sys``.
        pause: Waits for some seconds; used only where a package has several dies.

    Raises:
        MeterError: No zone can be counted.
    """
    zones = list(_zones(root / POWERCAP))
    choice = Choice()
    for zone in zones:
        if zone.name == "psys":
            choice.drop(
                zone, "it contains the packages and other parts, which differ between boards"
            )
    packages = _without_mirrors(_without_twins(zones, choice), choice, pause)
    choice.counted += [zone for package in packages for zone in (package, *_dram(zones, package))]
    if not packages:
        choice.counted += [zone for zone in zones if zone.name == "core"]
    if not choice.counted:
        raise _nothing(root / POWERCAP, zones)
    return choice


def name_files(zone: Zone) -> list[Path]:
    """Return the files that have a zone's name, and its parent's where it has one: in either place."""
    above = zone.path.parent
    parents = (above / zone.path.name.rpartition(":")[0], above) if zone.parent else ()
    return [place / "name" for place in (zone.path, *parents)]


def find_zone(root: Path, zone: Zone) -> Zone:
    """Return a zone that may have another number by now, recognised by its name and its parent's.

    Args:
        root: Directory that holds ``sys``.
        zone: The zone as it was found first.

    Raises:
        FileNotFoundError: No zone of the same kind has that name any more.
    """
    own, *parents = name_files(zone)
    if text_in(own) == zone.name and (not parents or zone.parent in map(text_in, parents)):
        return zone
    kind = zone.path.name.partition(":")[0]
    for other in _zones(root / POWERCAP):
        is_kind = other.path.name.partition(":")[0] == kind
        if is_kind and (other.name, other.parent) == (zone.name, zone.parent):
            return other
    raise FileNotFoundError(f"no zone is called {zone.name} any more")


def is_taken(zone: Zone) -> bool:
    """Return whether another zone has the place of this one by now."""
    return text_in(zone.path / "name") not in ("", zone.name)


def _zones(powercap: Path) -> Iterator[Zone]:
    """Yield every zone with a name; nested ones may also appear at the top of the tree."""
    paths = {path.name: path for path in matches(powercap, "*rapl*:*/*rapl*:*:*")}
    paths |= {path.name: path for path in matches(powercap, "*rapl*:*")}
    names = {directory: text_in(path / "name") for directory, path in paths.items()}
    for directory in sorted(paths, key=_order):
        if names[directory]:
            parent = names.get(directory.rpartition(":")[0], "")
            range_j = _range_j(paths[directory])
            yield Zone(paths[directory], names[directory], parent, range_j)


def _order(directory: str) -> tuple[bool, list[int], str]:
    # A package of `intel-rapl` precedes its twin of `intel-rapl-mmio`.
    parts = [whole_number(part) for part in directory.split(":")[1:]]
    numbers = [part for part in parts if part is not None]
    return "mmio" in directory, numbers, directory


def _without_twins(zones: Sequence[Zone], choice: Choice) -> list[Zone]:
    twins: dict[str, list[Zone]] = {}
    for zone in zones:
        if zone.is_package:
            twins.setdefault(zone.name, []).append(zone)
    kept = [_readable(group) for group in twins.values()]
    for zone in kept:
        for twin in twins[zone.name]:
            if twin is not zone:
                choice.drop(twin, f"{zone.path.name} is the same package")
    return kept


def _dram(zones: Sequence[Zone], package: Zone) -> list[Zone]:
    """Return the DRAM of a package, from the first of its twins where it is readable."""
    drams = [zone for zone in zones if zone.name == "dram" and zone.parent == package.name]
    return [_readable(drams)] if drams else []


def _readable(twins: Sequence[Zone]) -> Zone:
    """Return the first zone of several twins that can be read, else the first."""
    return next((zone for zone in twins if zone.is_readable()), twins[0])


# --- dies that share a counter --------------------------------------------------------------------


def _without_mirrors(
    packages: Sequence[Zone], choice: Choice, pause: Callable[[float], object]
) -> list[Zone]:
    dies: dict[str, list[Zone]] = {}
    for zone in packages:
        dies.setdefault(zone.name.partition("-die-")[0], []).append(zone)
    mirrored: dict[Zone, Zone] = {}
    for group in dies.values():
        mirrored |= _mirrors(group, pause)
    for die, first in mirrored.items():
        choice.drop(die, f"it shows the counter of {first.path.name} ({first.name})")
    return [zone for zone in packages if zone not in mirrored]


def _mirrors(dies: Sequence[Zone], pause: Callable[[float], object]) -> dict[Zone, Zone]:
    """Return the dies that show the counter of an earlier one, found by comparing their values.

    Separate counters differ by kilojoules: in a range of 65 kJ or more, two of them agree by chance
    once in tens of thousands.
    """
    alike = [(first, other) for i, other in enumerate(dies) for first in dies[:i]]
    for i in range(_ROUNDS):
        if alike and i:
            pause(_PAUSE_S)
        alike = [pair for pair in alike if _agree(*pair)]
    mirrored: dict[Zone, Zone] = {}
    for first, other in alike:
        mirrored.setdefault(other, first)  # the earliest, which is kept
    return mirrored


def _agree(first: Zone, other: Zone) -> bool:
    """Return whether one counter's value is between two values of the other, read before and after.

    For a shared counter this is true however long the thread is delayed between the reads. Two
    counters at zero do not agree.
    """
    before_j, value_j, after_j = first.joules(), other.joules(), first.joules()
    if before_j is None or value_j is None or after_j is None:
        return False
    wrap_j = first.range_j or float("inf")
    span_j = (after_j - before_j) % wrap_j
    return value_j > 0.0 and (value_j - before_j + _SLACK_J) % wrap_j <= span_j + 2 * _SLACK_J


# --- refusal ----------------------------------------------------------------------------------------


def _nothing(powercap: Path, zones: Sequence[Zone]) -> MeterError:
    if any(zone.name == "psys" for zone in zones):
        return MeterError(
            "only a psys zone under /sys/class/powercap: it is not counted, because what it measures "
            "differs between boards"
        )
    if not zones and matches(powercap, "*rapl*:*"):
        return MeterError("the zones under /sys/class/powercap are hidden", remedy=_HIDDEN)
    return MeterError(
        "no RAPL package zone under /sys/class/powercap (a virtual machine, another "
        "processor, or a kernel without the intel_rapl driver)"
    )


def _range_j(path: Path) -> float | None:
    shown_uj = number(
        text_in(path / "max_energy_range_uj"), 0.0, _MOST_RANGE_J * MICROJOULES_PER_JOULE
    )
    range_j = (shown_uj or 0.0) / MICROJOULES_PER_JOULE
    return range_j if range_j >= _LEAST_RANGE_J else None
