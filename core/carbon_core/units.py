"""Exact unit conversions."""

from __future__ import annotations

JOULES_PER_KWH = 3_600_000.0
NANOSECONDS_PER_SECOND = 1_000_000_000
BYTES_PER_GIB = 1024**3
GRAMS_PER_KG = 1000.0
WATTS_PER_KILOWATT = 1000.0


def kwh(joules: float) -> float:
    """Convert joules to kilowatt-hours (1 kWh = 3.6 MJ, exactly)."""
    return joules / JOULES_PER_KWH


def joules(kwh: float) -> float:
    """Convert kilowatt-hours to joules."""
    return kwh * JOULES_PER_KWH


def grams(kilograms: float) -> float:
    """Convert kilograms to grams."""
    return kilograms * GRAMS_PER_KG


def seconds(nanoseconds: int) -> float:
    """Convert integer nanoseconds to seconds."""
    return nanoseconds / NANOSECONDS_PER_SECOND


def nanoseconds(seconds: float) -> int:
    """Convert seconds to integer nanoseconds."""
    return round(seconds * NANOSECONDS_PER_SECOND)
