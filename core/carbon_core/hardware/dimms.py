"""Number and size of the memory modules, from the firmware or the memory controller.

SMBIOS type 17 (DMTF DSP0134, "Memory Device") has one structure for each slot; usually only the
administrator may read its table. EDAC, the kernel's memory controller drivers, is readable by all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from carbon_core.plausible import number
from carbon_core.record import record
from carbon_core.system_files import bytes_in, matches, text_in

_MEMORY_DEVICE = 17
_END_OF_TABLE = 127
_MAX_MODULES = 1024
_MAX_MODULE_GIB = 16_384.0
_MAX_TABLE_BYTES = 2**20
_KIB_FLAG = 0x8000
_UNKNOWN = 0xFFFF
_SEE_EXTENDED = 0x7FFF
_MIB_PER_GIB = 1024.0


@record(frozen=True)
class Dimms:
    """The installed modules.

    Attributes:
        count: Number of modules.
        size_gb: Total size in GiB.
        source: ``SMBIOS`` or ``EDAC``.
    """

    count: int
    size_gb: float
    source: str


def read_dimms(root: Path) -> Dimms | None:
    """Return the modules of a machine, or None where they are unknown.

    Args:
        root: Directory that holds ``sys``.
    """
    return _dimms_of(_smbios_gb(root), "SMBIOS") or _dimms_of(_edac_gb(root), "EDAC")


def _dimms_of(sizes_gb: list[float], source: str) -> Dimms | None:
    if not 0 < len(sizes_gb) <= _MAX_MODULES or max(sizes_gb) > _MAX_MODULE_GIB:
        return None
    return Dimms(len(sizes_gb), sum(sizes_gb), source)


def _smbios_gb(root: Path) -> list[float]:
    table = bytes_in(root / "sys/firmware/dmi/tables/DMI", _MAX_TABLE_BYTES) or b""
    sizes_gb = [_size_gb(part) for kind, part in _structures(table) if kind == _MEMORY_DEVICE]
    return [size_gb for size_gb in sizes_gb if size_gb]


def _structures(table: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the formatted part of each structure, as far as the table is valid."""
    at = 0
    while at + 4 <= len(table):
        kind, length = table[at], table[at + 1]
        end_of_strings = table.find(b"\0\0", at + length)
        if kind == _END_OF_TABLE or length < 4 or end_of_strings < 0:
            return
        yield kind, table[at : at + length]
        at = end_of_strings + 2


def _size_gb(part: bytes) -> float:
    """Return the size in a memory device's structure, or 0 for an empty or unknown slot."""
    if len(part) < 0x0E:
        return 0.0
    (size,) = struct.unpack_from("<H", part, 0x0C)
    if size in (0, _UNKNOWN):
        return 0.0
    if size == _SEE_EXTENDED and len(part) >= 0x20:
        (extended_mib,) = struct.unpack_from("<I", part, 0x1C)
        return float(extended_mib & 0x7FFF_FFFF) / _MIB_PER_GIB
    mib = (size & ~_KIB_FLAG) / 1024.0 if size & _KIB_FLAG else float(size)
    return mib / _MIB_PER_GIB


def _edac_gb(root: Path) -> list[float]:
    controllers = root / "sys/devices/system/edac/mc"
    sizes_mib = [number(text_in(path)) for path in matches(controllers, "mc*/dimm*/size")]
    return [mib / _MIB_PER_GIB for mib in sizes_mib if mib]
