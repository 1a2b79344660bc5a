"""Facts about the machine that the model of whole servers needs."""

from __future__ import annotations

import re

from carbon_core.hardware.cpu_identity import CpuIdentity, sockets_of
from carbon_core.hardware.dimms import read_dimms
from carbon_core.hardware.host import Host
from carbon_core.system_files import LARGE

# A virtual machine may report each of its processors as a socket.
_LEAST_W_PER_SOCKET = 30.0
_RATED_CLOCK = re.compile(r"@ ?(\d+\.\d+) ?GHz", re.IGNORECASE)


def node_facts(host: Host, cpu: CpuIdentity) -> dict[str, str]:
    """Return sockets, memory modules and rated clock; those that are unknown are absent.

    Args:
        host: The machine.
        cpu: Its processor.
    """
    sockets = sockets_of(host.text("proc/cpuinfo", LARGE))
    is_real = cpu.tdp_w >= sockets * _LEAST_W_PER_SOCKET
    dimms = read_dimms(host.root)
    clock = _RATED_CLOCK.search(cpu.model_name or "")
    return {
        "cpu_sockets": str(sockets if is_real else 1),
        **({"memory_modules": str(dimms.count)} if dimms else {}),
        **({"cpu_rated_ghz": clock[1]} if clock else {}),
    }
