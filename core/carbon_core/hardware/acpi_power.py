"""What the ACPI power meters of a machine measure, by their ``power*_oem_info``.

Most firmware has one meter, of the whole machine. NVIDIA Grace has several for each socket, and on GH200
and GB200 one for the module of processor and GPU; see "Power Telemetry" in NVIDIA's Grace Performance
Tuning Guide. They include one another, so that each socket is counted either whole or by its rails:

- Module: processor, memory, GPU and the losses of the regulators.
- Grace, or Total: processor and memory, with the losses of their regulators.
- CPU and SysIO, or SoC: the rails of the processor; DRAM: that of the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from typing import NamedTuple

from carbon_core.records import Component

DRIVER = "power_meter"
_LABEL = re.compile(
    r"(module|grace|total|cpu|sysio|soc|dram)(?: rail)?(?: input)? power(?: in uw)? socket (\d{1,6})"
)
_WHOLE = ("grace", "total")
_RAILS: dict[str, Component] = {"cpu": "cpu", "sysio": "cpu", "soc": "cpu", "dram": "ram"}
_OF_A_MODULE = (
    "it measures a module's processor, memory and GPU together, which are counted one by one"
)
_WITHOUT_POWER = "it shows no power; the rails of its socket are counted"


class _Part(NamedTuple):
    kind: str
    socket: int


def whole_sockets(labels: Iterable[str]) -> frozenset[int]:
    """Return the sockets that have a meter of processor and memory together.

    Args:
        labels: Labels of the meters that can be read.
    """
    parts = filter(None, map(_part, labels))
    return frozenset(part.socket for part in parts if part.kind in _WHOLE)


def names_a_socket(label: str) -> bool:
    """Return whether a meter measures a part of the machine, by its label."""
    return _part(label) is not None


def includes_memory(label: str) -> bool:
    """Return whether a meter measures processor and memory together."""
    part = _part(label)
    return part is not None and part.kind in _WHOLE


def component(label: str, whole: Set[int]) -> tuple[Component | None, str]:
    """Return what a meter of a socket counts as, or why it is not counted.

    Args:
        label: Its label.
        whole: The sockets that a meter measures whole.
    """
    part = _part(label)
    if part is None or part.kind == "module":
        return None, _OF_A_MODULE
    if part.kind in _WHOLE:
        return ("cpu", "") if part.socket in whole else (None, _WITHOUT_POWER)
    return (None if part.socket in whole else _RAILS[part.kind]), ""


def _part(label: str) -> _Part | None:
    found = _LABEL.fullmatch(" ".join(label.lower().split()))
    return _Part(found[1], int(found[2])) if found else None
