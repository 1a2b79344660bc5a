"""Idle power of the machine, measured once and stored in the home directory, one file per host.

With it, results show the energy above idle in addition to the total.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from carbon_core.plausible import number
from carbon_core.system_files import text_in

_MAX_BYTES = 64 * 1024
_MAX_W = 100_000.0


def idle_file(home: Path) -> Path:
    """Return the file with the idle power of this host; hosts may share a home directory."""
    host = re.sub(r"[^A-Za-z0-9._-]", "_", platform.node())[:100] or "host"
    return home / ".config" / "carbon-callbacks" / f"idle-{host}.json"


def as_json(
    idle_w: Mapping[str, float], seconds: float, measured_at: str, not_idle: Sequence[str] = ()
) -> str:
    """Return the contents of the file.

    Args:
        idle_w: Mean power in watts by `Device.id`.
        seconds: Duration of the measurement.
        measured_at: ISO time.
        not_idle: What was seen of other work on the machine.
    """
    data: dict[str, object] = {"measured_at": measured_at, "seconds": seconds}
    data |= {"idle_w": dict(idle_w), "not_idle": list(not_idle)}
    return json.dumps(data, indent=2) + "\n"


def read_idle(path: Path) -> dict[str, float]:
    """Return the idle power in watts by `Device.id`; empty where none was measured."""
    try:
        items = json.loads(text_in(path, _MAX_BYTES))["idle_w"].items()
        return {str(key): float(watts) for key, watts in items if _is_power(watts)}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # Missing, incomplete or another format: there is no baseline, and nothing else depends on it.
        return {}


def _is_power(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and number(value, 0.0, _MAX_W) is not None
