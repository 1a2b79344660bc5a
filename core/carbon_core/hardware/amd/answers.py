"""Values of amdsmi's responses, which mark missing ones in several ways."""

from __future__ import annotations

import math
from typing import Any

_MICROJOULES_PER_JOULE = 1e6


def names(smi: Any, handle: Any, index: int) -> tuple[str, str]:
    """Return the name of a GPU and its serial, spelled as in ROCm's variables."""
    try:
        facts = smi.amdsmi_get_gpu_asic_info(handle)
    except smi.AmdSmiException:
        facts = {}
    serial = str(facts.get("asic_serial") or "").lower().removeprefix("0x")
    name = str(facts.get("market_name") or "AMD GPU")
    return name, serial if serial not in ("", "n/a") else f"index-{index}"


def joules(smi: Any, handle: Any) -> float | None:
    """Return the energy counter of a GPU in joules, or None."""
    try:
        answer = smi.amdsmi_get_energy_count(handle)
    except smi.AmdSmiException:
        return None
    # Named `power` before ROCm 6.
    count = _number(answer.get("energy_accumulator", answer.get("power")))
    resolution_uj = _number(answer.get("counter_resolution"))
    if count is None or not resolution_uj:
        return None
    return count * resolution_uj / _MICROJOULES_PER_JOULE


def watts(smi: Any, handle: Any) -> float | None:
    """Return the power of a GPU in watts, or None."""
    try:
        answer = smi.amdsmi_get_power_info(handle)
    except smi.AmdSmiException:
        return None
    fields = ("current_socket_power", "average_socket_power", "socket_power")
    values = [_number(answer.get(field)) for field in fields]
    return next((value for value in values if value), None)


def _number(value: Any) -> float | None:
    """Return a number, or None for ``N/A`` and for the maximum of its integer type."""
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    absent = (0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)
    return float(value) if is_number and value >= 0 and value not in absent else None


def line(error: Exception) -> str:
    """Return the message of an error as one line."""
    return " ".join(str(error).split())
