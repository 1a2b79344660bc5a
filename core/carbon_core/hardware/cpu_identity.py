"""Identity and rated power of the processor, from the text of /proc/cpuinfo.

The order: exact name, Arm part number or the word in a virtual machine's processor name, x86
family and model, watts per thread. There is no fuzzy matching: one digit off is another TDP. The
tables and their quality are described in data/SOURCES.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

from carbon_core.data import rows
from carbon_core.hardware.cpu_names import other_name
from carbon_core.plausible import one_line, whole_number
from carbon_core.record import record

Vendor = Literal["intel", "amd", "arm", ""]
Match = Literal["exact", "arm part", "family", "per thread"]

# Median of TDP by thread over the 1,185 server processors of cpu_tdp.csv whose cores are known, with two
# threads a core. On eight measured machines it is 3.9 to 10 W.
W_PER_THREAD = 4.5
# A socket without simultaneous multithreading shows half of its threads. One that shows less is not a
# socket of the machine: virtual machines and system containers report one for each processor.
_LEAST_SHOWN = 0.4
# Where the threads of a socket are unknown: the highest rated power of a thread in a machine with
# several sockets (a Xeon X5272 has 40 W).
_MOST_W_PER_THREAD = 50.0

_VENDORS: dict[str, Vendor] = {"GenuineIntel": "intel", "AuthenticAMD": "amd"}
_FIRST_WORDS: dict[str, Vendor] = {"intel": "intel", "amd": "amd", "apple": "arm", "ampere": "arm"}
_SERVER = re.compile(r"xeon|epyc|opteron|altra")
# Made for machines with one socket.
_CLIENT = re.compile(
    r"intel (?:core|pentium|celeron|atom|n\d|[ui]\d)|ryzen|athlon|sempron|phenom|amd (?:fx|a\d)|apple"
)
_LONG_FIELDS = ("flags", "features")
# s390x has a field for each processor.
_MOST_FIELDS = 10_000
_MARKS = re.compile(r"\((?:r|tm|c)\)|[®™©]", re.IGNORECASE)
_CORES = r"\b(?:\d+|dual|triple|quad|six|eight|twelve|sixteen)[- ]cores?\b"
_EDITS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"@.*$", ""),
        (r" (?:with|w/) .*$", ""),  # "with Radeon Graphics", "w/ Radeon 780M Graphics"
        (r" radeon r\d+, .*$", ""),  # "A10-7850K Radeon R7, 12 Compute Cores 4C+8G"
        (r"\b\d+(?:st|nd|rd|th) gen\b|,", ""),
        (_CORES, ""),
        (r"\b(?:genuine|cpu|processor|apu)\b", ""),
        (r"\s+", " "),
        (r"\bcore2\b", "core 2"),
        (r"\b(i[357]) (\d{3})\b", r"\1-\2"),  # "Core(TM) i7 CPU 920"
        (r"\b(e7-) (\d)", r"\1\2"),  # "E7- 4870"
        (r"\b(e5-\d{4}l?) 0\b", r"\1"),  # the first generation of E5 has " 0" as its version
    )
)


@record(frozen=True)
class CpuIdentity:
    """A processor and its rated power.

    Attributes:
        model_name: Name as the operating system gives it, or that of the core; None if unknown.
        vendor: Its designer, an empty string if unknown.
        tdp_w: Rated watts of the processors that the operating system can see: all sockets, or a
            virtual machine's share of one.
        match: How the rated power was found.
        note: How it was derived, as text.
    """

    model_name: str | None
    vendor: Vendor
    tdp_w: float
    match: Match
    note: str


@record(frozen=True)
class _CpuInfo:
    """Contents of /proc/cpuinfo: the fields of the first processor, and counts over all."""

    fields: dict[str, str]
    parts: frozenset[tuple[str, str]]
    sockets: int

    @property
    def name(self) -> str:
        return self.fields.get("model name", "")

    @property
    def is_virtual(self) -> bool:
        return "hypervisor" in self.fields.get("flags", "").split()


def identify(cpuinfo: str, *, sys_vendor: str = "", logical_cpus: int) -> CpuIdentity:
    """Return the processor that a /proc/cpuinfo describes, with its rated power.

    Args:
        cpuinfo: Text of /proc/cpuinfo. A single ``model name: …`` line is enough.
        sys_vendor: Text of /sys/class/dmi/id/sys_vendor; distinguishes the Arm processors of clouds.
        logical_cpus: Processors that the operating system sees.

    Returns:
        The processor; the rated power of an unknown one is estimated from its threads.
    """
    cpu = _read(cpuinfo)
    arm = _arm_row(cpu, sys_vendor)
    name = cpu.name or (arm["core"] if arm else other_name(cpu.fields, cpu.parts)) or None
    watts, match, note = (
        _exact(cpu, logical_cpus)
        or (_arm(arm, cpu, logical_cpus) if arm else None)
        or _family(cpu, logical_cpus)
        or _per_thread(logical_cpus)
    )
    return CpuIdentity(name, _vendor(cpu), watts, match, note)


def sockets_of(cpuinfo: str) -> int:
    """Return the number of processor packages that a /proc/cpuinfo describes, at least 1."""
    return _read(cpuinfo).sockets


def normalise(brand: str) -> str:
    """Return a processor's brand string in the spelling of cpu_tdp.csv."""
    # Marks are removed first: NFKC would turn the trade mark sign into the letters TM.
    text = unicodedata.normalize("NFKC", _MARKS.sub("", brand)).lower()
    for pattern, replacement in _EDITS:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


_Found = tuple[float, Match, str]


def _read(cpuinfo: str) -> _CpuInfo:
    fields: dict[str, str] = {}
    parts, sockets, implementer = set(), set(), ""
    for key, value in _pairs(cpuinfo):
        if key not in fields and len(fields) < _MOST_FIELDS:
            fields[key] = value if key in _LONG_FIELDS else one_line(value)
        if key == "physical id":
            sockets.add(value)
        elif key == "cpu implementer":
            implementer = value.lower()
        elif key == "cpu part":
            parts.add((implementer, value.lower()))
    return _CpuInfo(fields, frozenset(parts), len(sockets) or 1)


def _pairs(cpuinfo: str) -> Iterator[tuple[str, str]]:
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            yield key.strip().lower(), value.strip()


def _vendor(cpu: _CpuInfo) -> Vendor:
    if cpu.parts or "neoverse" in cpu.name.lower():
        return "arm"
    first_word = normalise(cpu.name).partition(" ")[0]
    return _VENDORS.get(cpu.fields.get("vendor_id", "")) or _FIRST_WORDS.get(first_word, "")


def _exact(cpu: _CpuInfo, logical_cpus: int) -> _Found | None:
    key = normalise(cpu.name)
    if not re.search(r"\d", key):  # masked: "Intel Xeon", "AMD EPYC"
        return None
    row = next((row for row in rows("cpu_tdp") if row["key"] == key), None)
    if row is None:
        return None
    tdp_w = float(row["tdp_w"])
    rated = f"{tdp_w:g} W by name" + (" (estimated)" if row["est"] else "")
    is_server = bool(_SERVER.search(key))
    threads = _threads(row, cpu, is_server)
    if not cpu.is_virtual:
        is_client = bool(_CLIENT.search(key))
        sockets = 1 if is_client else _plausible_sockets(cpu, tdp_w, threads, logical_cpus)
        if sockets:
            return tdp_w * sockets, "exact", f"{rated}, {_sockets(sockets)}"
    share, how = _visible_share(row, threads, logical_cpus, is_server=is_server)
    return tdp_w * share, "exact", f"{rated}, {_kind(cpu)} with {how}"


def _plausible_sockets(cpu: _CpuInfo, tdp_w: float, threads: int, logical_cpus: int) -> int:
    """Return the number of sockets; 0 where the reported ones have too few threads to be sockets.

    Args:
        cpu: The processor.
        tdp_w: Rated power of a socket in watts.
        threads: Threads of a socket; 0 if unknown.
        logical_cpus: Processors that the operating system sees.
    """
    least = _LEAST_SHOWN * threads if threads else tdp_w / _MOST_W_PER_THREAD
    return cpu.sockets if cpu.sockets == 1 or logical_cpus >= cpu.sockets * least else 0


def _threads(row: dict[str, str], cpu: _CpuInfo, is_server: bool) -> int:
    """Return the threads of a socket of a part; 0 if unknown."""
    cores = int(row["cores"] or 0)
    # Nearly every server part has two threads a core.
    threads = int(row["threads"] or 0) or (2 * cores if is_server else cores)
    if not threads and is_server:
        family = _family_row(cpu)
        threads = int(family["threads"]) if family else 0
    return threads


def _visible_share(
    row: dict[str, str], threads: int, logical_cpus: int, *, is_server: bool
) -> tuple[float, str]:
    """Return the share of a socket that a guest sees, and how it was computed."""
    # The guest on a desktop part (WSL2, a local virtual machine) mostly sees all of it, and there is
    # one socket.
    if not threads:
        bound = f"{logical_cpus} threads of an unknown number"
        tdp_w = float(row["tdp_w"])
        return (min(1.0, W_PER_THREAD * logical_cpus / tdp_w) if is_server else 1.0), bound
    share = logical_cpus / threads
    return (share if is_server else min(1.0, share)), f"{logical_cpus} of {threads} threads"


def _arm_row(cpu: _CpuInfo, sys_vendor: str) -> dict[str, str] | None:
    """Return the row of the core with the highest TDP; rows of a known system vendor come first."""
    found: dict[str, dict[str, str]] = {}
    for row in rows("arm_part"):
        is_core = (row["implementer"], row["part"]) in cpu.parts
        is_named = not cpu.parts and row["core"].lower() == cpu.name.lower()
        if (is_core or is_named) and sys_vendor.lower().startswith(row["sys_vendor"].lower()):
            found.setdefault(row["part"], row)
    return max(found.values(), key=lambda row: float(row["tdp_w"] or 0), default=None)


def _arm(row: dict[str, str], cpu: _CpuInfo, logical_cpus: int) -> _Found | None:
    if not row["tdp_w"]:
        return None
    tdp_w, threads = float(row["tdp_w"]), int(row["threads"])
    share = logical_cpus / threads
    if len(cpu.parts) > 1:  # cores of two kinds are one system on a chip, not two sockets
        share = min(1.0, share)
    note = f"{row['product']}, {tdp_w:g} W (estimated), {logical_cpus} of {threads} threads"
    return tdp_w * share, "arm part", note


def _family(cpu: _CpuInfo, logical_cpus: int) -> _Found | None:
    row = _family_row(cpu)
    if row is None:
        return None
    tdp_w, threads = float(row["tdp_w"]), int(row["threads"])
    rated = f"{row['microarchitecture']}, as {row['typical_sku']} with {tdp_w:g} W"
    sockets = _plausible_sockets(cpu, tdp_w, threads, logical_cpus)
    if sockets and not cpu.is_virtual:
        return tdp_w * sockets, "family", f"{rated}, {_sockets(sockets)}"
    watts = tdp_w * logical_cpus / threads
    return watts, "family", f"{rated}, {_kind(cpu)} with {logical_cpus} of {threads} threads"


def _family_row(cpu: _CpuInfo) -> dict[str, str] | None:
    """Return the family by QEMU's name, else by id: a QEMU guest may have the ids of a client part."""
    word = _qemu_word(cpu.name)
    by_word = (row for row in rows("cpu_family") if word in _letters(row["microarchitecture"]))
    by_id = (row for row in rows("cpu_family") if _has_id(row, cpu.fields))
    # Among families of the same name, the server part is first in the table.
    return (next(by_word, None) if word else None) or next(by_id, None)


def _qemu_word(name: str) -> str:
    """Return ``icelake`` of ``Intel Xeon Processor (Icelake)``, ``genoa`` of ``AMD EPYC-Genoa``."""
    found = re.search(r"\(([^,()]{4,})|epyc-([a-z]{4,})", _MARKS.sub("", name).lower())
    return _letters(found[1] or found[2]) if found else ""


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def _has_id(row: dict[str, str], fields: dict[str, str]) -> bool:
    names = {"vendor_id": "vendor_id", "family": "cpu family", "model": "model"}
    if any(row[column] != fields.get(name) for column, name in names.items()):
        return False
    stepping = whole_number(fields.get("stepping")) or 0
    low, high = int(row["stepping_min"]), int(row["stepping_max"])
    return low <= stepping <= high


def _per_thread(logical_cpus: int) -> _Found:
    note = f"not in the tables: {W_PER_THREAD} W per thread, the median of server processors"
    return W_PER_THREAD * logical_cpus, "per thread", note


def _sockets(sockets: int) -> str:
    return "1 socket" if sockets == 1 else f"{sockets} sockets"


def _kind(cpu: _CpuInfo) -> str:
    return "virtual machine" if cpu.is_virtual else f"{cpu.sockets} sockets that are not real"
