"""Values of amdsmi's responses, which mark missing ones in several ways."""

from __future__ import annotations

from typing import Any

from carbon_core.hardware.driver_calls import attempt, attempt_text
from carbon_core.plausible import number

_MICROJOULES_PER_JOULE = 1e6


def names(smi: Any, handle: Any, index: int) -> tuple[str, str]:
    """Return the name of a GPU and its serial, spelled as in ROCm's variables."""
    facts = attempt(lambda: dict(smi.amdsmi_get_gpu_asic_info(handle)), {})
    serial = attempt_text(lambda: facts["asic_serial"], "").lower().removeprefix("0x")
    name = attempt_text(lambda: facts["market_name"], "AMD GPU")
    return name, serial if serial not in ("", "n/a") else f"index-{index}"


def joules(smi: Any, handle: Any) -> float | None:
    """Return the energy counter of a GPU in joules, or None."""
    answer = attempt(lambda: dict(smi.amdsmi_get_energy_count(handle)), {})
    # Named `power` before ROCm 6.
    count = _number(answer.get("energy_accumulator", answer.get("power")))
    resolution_uj = _number(answer.get("counter_resolution"))
    if count is None or not resolution_uj:
        return None
    return count * resolution_uj / _MICROJOULES_PER_JOULE


def watts(smi: Any, handle: Any) -> float | None:
    """Return the power of a GPU in watts, or None.

    The fields are whole watts, and those that a board lacks are marked: where all of a board's own
    are 0, it sleeps.
    """
    answer = attempt(lambda: dict(smi.amdsmi_get_power_info(handle)), {})
    fields = ("current_socket_power", "average_socket_power", "socket_power")
    known = [value for field in fields if (value := _number(answer.get(field))) is not None]
    return next((value for value in known if value), 0.0 if known else None)


def load_percent(smi: Any, handle: Any) -> float | None:
    """Return the utilisation of a GPU in percent, or None."""
    return attempt(lambda: _number(smi.amdsmi_get_gpu_activity(handle).get("gfx_activity")), None)


def _number(value: Any) -> float | None:
    """Return a number, or None for ``N/A`` and for the maximum of its integer type."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    absent = (0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)
    return number(value, most=2.0**64) if is_number and value not in absent else None
