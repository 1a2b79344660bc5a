"""Random identifiers; Python's `uuid` loads `platform` and searches the system for libraries."""

from __future__ import annotations

import os

_VERSION, _VERSION_BITS = 0x4 << 76, 0xF << 76
_VARIANT, _VARIANT_BITS = 0x2 << 62, 0x3 << 62


def random_uuid() -> str:
    """Return a random UUID (version 4), as text."""
    number = int.from_bytes(os.urandom(16), "big")
    number = number & ~_VERSION_BITS & ~_VARIANT_BITS | _VERSION | _VARIANT
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
