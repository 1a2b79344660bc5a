"""Memory modules, from the tables that a firmware writes and the files of a kernel's driver."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_core.hardware.dimms import Dimms, _structures, read_dimms


def memory_device(size: int, extended_mib: int = 0, *, length: int = 0x22) -> bytes:
    part = bytearray(length)
    struct.pack_into("<BBH", part, 0, 17, length, 0x1100)
    struct.pack_into("<H", part, 0x0C, size)
    if length >= 0x20:
        struct.pack_into("<I", part, 0x1C, extended_mib)
    return bytes(part) + b"DIMM_A1\0Maker\0\0"


def other(kind: int) -> bytes:
    return struct.pack("<BBH", kind, 6, 0) + b"\0\0" + b"\0\0"


def smbios(root: Path, *structures: bytes) -> Path:
    tables = root / "sys/firmware/dmi/tables"
    tables.mkdir(parents=True)
    (tables / "DMI").write_bytes(b"".join(structures))
    return root


def edac(root: Path, *sizes_mib: object) -> Path:
    for i, size in enumerate(sizes_mib):
        dimm = root / f"sys/devices/system/edac/mc/mc{i // 2}/dimm{i % 2}"
        dimm.mkdir(parents=True)
        (dimm / "size").write_text(f"{size}\n")
    return root


def test_slots_with_a_module_count_and_empty_ones_do_not(tmp_path: Path) -> None:
    slots = [memory_device(16384), memory_device(0), memory_device(16384), memory_device(0xFFFF)]
    smbios(tmp_path, other(0), *slots, other(127), memory_device(16384))
    assert read_dimms(tmp_path) == Dimms(2, 32.0, "SMBIOS")


@pytest.mark.parametrize(
    ("structure", "size_gb"),
    [
        (memory_device(0x7FFF, 128 * 1024), 128.0),
        (memory_device(0x8000 | 512), 512 / 1024**2),
        (memory_device(2048, length=0x15), 2.0),
    ],
)
def test_sizes_of_every_kind(tmp_path: Path, structure: bytes, size_gb: float) -> None:
    assert read_dimms(smbios(tmp_path, structure)) == Dimms(1, size_gb, "SMBIOS")


def test_the_memory_controller_tells_who_may_not_read_the_firmware(tmp_path: Path) -> None:
    edac(tmp_path, 32768, 32768, 0, "garbage")
    assert read_dimms(tmp_path) == Dimms(2, 64.0, "EDAC")


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert read_dimms(tmp_path) is None
    assert read_dimms(smbios(tmp_path, b"")) is None


@given(st.binary(max_size=400))
def test_a_broken_table_is_read_to_its_end(table: bytes) -> None:
    assert all(len(part) >= 4 for _, part in _structures(table))
