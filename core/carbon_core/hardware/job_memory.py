"""Memory that a job uses, and the memory of the same kind that the whole machine uses.

Page cache is not counted as the job's: the kernel frees it when memory is needed. Pages that processes
share count once. Job and machine are compared in the same fields, whichever of them the system
reports: https://docs.kernel.org/admin-guide/cgroup-v2.html (``memory.stat``),
https://docs.kernel.org/filesystems/proc.html (``meminfo``, ``smaps_rollup``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from carbon_core.plausible import whole_number
from carbon_core.units import BYTES_PER_GIB

_BYTES_PER_KIB = 1024
# Fields of the job's file to the fields of /proc/meminfo that have the same on the whole machine.
_STAT_V2 = {
    "anon": "AnonPages",
    "shmem": "Shmem",
    "slab_unreclaimable": "SUnreclaim",
    "kernel_stack": "KernelStack",
    "pagetables": "PageTables",
    "percpu": "Percpu",
}
# "total" includes the groups below, such as the steps of a batch job.
_STAT_V1 = {"total_rss": "AnonPages", "total_shmem": "Shmem"}
_STAT_OF_ONE_GROUP = {"rss": "AnonPages", "shmem": "Shmem"}
_ROLLUP = {"Pss_Anon": "AnonPages", "Pss_Shmem": "Shmem"}
_OLD_ROLLUP = {"Pss": "AnonPages Mapped"}
WITH_CACHE = ("MemTotal", "-MemFree")


class Memory(NamedTuple):
    """Memory that a job uses.

    Attributes:
        gb: Memory in GiB.
        kinds: Fields of /proc/meminfo whose sum is the machine's memory of that kind; empty where
            the machine does not distinguish it.
    """

    gb: float
    kinds: tuple[str, ...] = ()


def of_stat(text: str) -> Memory | None:
    """Return the memory in the text of a control group's ``memory.stat``, or None."""
    fields = _fields(line.split() for line in text.splitlines())
    tables = (_STAT_V2, _STAT_V1, _STAT_OF_ONE_GROUP)
    return next(filter(None, (_sum(fields, table, 1) for table in tables)), None)


def of_rollup(text: str) -> Memory | None:
    """Return the memory in the text of a process's ``smaps_rollup``, or None."""
    fields = kib_fields(text)
    return _sum(fields, _ROLLUP, _BYTES_PER_KIB) or _sum(fields, _OLD_ROLLUP, _BYTES_PER_KIB)


def machine_gb(meminfo: str, kinds: tuple[str, ...]) -> float | None:
    """Return the machine's memory of some kinds in GiB; None where /proc/meminfo lacks one.

    Args:
        meminfo: Text of /proc/meminfo.
        kinds: Names of its fields; one that begins with a minus sign is subtracted.
    """
    fields = kib_fields(meminfo)
    signed = [(-1 if kind.startswith("-") else 1, kind.lstrip("-")) for kind in kinds]
    if not kinds or any(name not in fields for _, name in signed):
        return None
    total_gb = sum(sign * fields[name] for sign, name in signed) * _BYTES_PER_KIB / BYTES_PER_GIB
    return total_gb if total_gb >= 0 else None


def together(parts: Iterable[Memory]) -> Memory | None:
    """Return the sum of several processes' memory; None if there are none."""
    known = list(parts)
    # A process whose pages are not known by kind makes the kind of the sum unknown.
    kinds = {part.kinds for part in known}
    return Memory(sum(p.gb for p in known), *(kinds if len(kinds) == 1 else ())) if known else None


def _sum(fields: Mapping[str, int], kinds: Mapping[str, str], unit: int) -> Memory | None:
    """Return the sum of the fields that are there; None without the first, which every kernel has."""
    if next(iter(kinds)) not in fields:
        return None
    found = {name: kind for name, kind in kinds.items() if name in fields}
    total = sum(fields[name] for name in found) * unit
    return Memory(total / BYTES_PER_GIB, tuple(" ".join(found.values()).split()))


def kib_fields(text: str, beginnings: tuple[str, ...] = ("",)) -> dict[str, int]:
    """Return the fields of a text such as that of /proc/meminfo, in KiB.

    Args:
        text: One field a line.
        beginnings: Of the names of those that are needed: the file has some sixty.
    """
    lines = (line for line in text.splitlines() if line.startswith(beginnings))
    return _fields(line.replace(":", " ").split() for line in lines)


def _fields(lines: Iterable[list[str]]) -> dict[str, int]:
    named = {line[0]: whole_number(line[1]) for line in lines if len(line) > 1}
    return {name: value for name, value in named.items() if value is not None}
