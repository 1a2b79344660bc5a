"""What amdsmi answers, whose figures may be missing in many ways."""

from __future__ import annotations

import math
from typing import Any

_MICROJOULES_PER_JOULE = 1e6


def names(smi: Any, handle: Any, index: int) -> tuple[str, str]:
    """Return a board's name and its serial, as ROCm's variables spell it."""
    try:
        facts = smi.amdsmi_get_gpu_asic_info(handle)
    except smi.AmdSmiException:
        facts = {}
    serial = str(facts.get("asic_serial") or "").lower().removeprefix("0x")
    name = str(facts.get("market_name") or "AMD GPU")
    return name, serial if serial not in ("", "n/a") else f"index-{index}"


def joules(smi: Any, handle: Any) -> float | None:
    """Return a board's energy counter in joules, or None."""
    try:
        told = smi.amdsmi_get_energy_count(handle)
    except smi.AmdSmiException:
        return None
    # Called `power` before ROCm 6.
    count = _number(told.get("energy_accumulator", told.get("power")))
    resolution_uj = _number(told.get("counter_resolution"))
    if count is None or not resolution_uj:
        return None
    return count * resolution_uj / _MICROJOULES_PER_JOULE


def watts(smi: Any, handle: Any) -> float | None:
    """Return a board's power in watts, or None."""
    try:
        told = smi.amdsmi_get_power_info(handle)
    except smi.AmdSmiException:
        return None
    fields = ("current_socket_power", "average_socket_power", "socket_power")
    values = [_number(told.get(field)) for field in fields]
    return next((value for value in values if value), None)


def _number(value: Any) -> float | None:
    """Return a figure, or None for ``N/A`` and for the largest number of its width."""
    is_figure = isinstance(value, (int, float)) and math.isfinite(value)
    absent = (0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)
    return float(value) if is_figure and value >= 0 and value not in absent else None


def line(error: Exception) -> str:
    """Return an error in one line."""
    return " ".join(str(error).split())
