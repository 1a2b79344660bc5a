"""Names of processors in the /proc/cpuinfo of architectures without a ``model name`` line.

Each architecture of Linux has its own fields: ``cpu`` (POWER, SPARC), ``cpu model`` (MIPS, Alpha),
``uarch`` and ``isa`` (RISC-V), ``machine`` (s390x), ``Processor`` (32-bit Arm before Linux 3.8).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

# Fields that hold a name, best first. The value of ``processor`` is mostly the processor's number.
_FIELDS = ("cpu model", "cpu", "uarch", "cpu type", "processor", "system type")
# IBM's machine types, which s390x reports in place of a name.
_MAINFRAMES = {
    "2097": "z10",
    "2098": "z10",
    "2817": "z196",
    "2818": "z114",
    "2827": "zEC12",
    "2828": "zBC12",
    "2964": "z13",
    "2965": "z13s",
    "3906": "z14",
    "3907": "z14 ZR1",
    "8561": "z15",
    "8562": "z15 T02",
    "3931": "z16",
    "3932": "z16 A02",
    "9175": "z17",
}


def other_name(fields: Mapping[str, str], parts: AbstractSet[tuple[str, str]]) -> str:
    """Return the name of a processor without a ``model name``; an empty string if unknown.

    Args:
        fields: Fields of /proc/cpuinfo by lower-case name, of the first processor.
        parts: Implementer and part number of its Arm cores.
    """
    if fields.get("vendor_id", "").startswith("IBM/S390"):
        return _mainframe(fields)
    for field in _FIELDS:
        value = fields.get(field, "").partition(", altivec")[0].strip()
        if re.search("[A-Za-z]", value):
            return value
    if "isa" in fields:
        return f"RISC-V {fields['isa'].partition('_')[0]}"
    implementer, part = min(parts, default=("", ""))
    return f"Arm core {part} of implementer {implementer}" if part else ""


def _mainframe(fields: Mapping[str, str]) -> str:
    """Return the name of an IBM Z, by the machine type of its first processor."""
    # "processor 0: version = FF,  identification = 0E5BC7,  machine = 8561"; newer kernels add fields.
    lines = (text for key, text in fields.items() if key.startswith("processor "))
    found = re.search(r"machine = (\w+)", next(lines, ""))
    machine = found[1] if found else fields.get("machine", "")
    if not machine:
        return "IBM Z"
    return f"IBM {_MAINFRAMES.get(machine, 'Z')} ({machine})"
