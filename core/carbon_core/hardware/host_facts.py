"""Facts about the machine of a run: its hardware, and what the model of whole servers needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from carbon_core.hardware.cpu_identity import CpuIdentity, identify, sockets_of
from carbon_core.hardware.dimms import read_dimms
from carbon_core.hardware.driver_calls import attempt
from carbon_core.hardware.host import Host
from carbon_core.hardware.rapl_zones import zone_facts
from carbon_core.records import Device, HostFacts
from carbon_core.system_files import LARGE

# A virtual machine may report each of its processors as a socket.
_LEAST_W_PER_SOCKET = 30.0
_RATED_CLOCK = re.compile(r"@ ?(\d+\.\d+) ?GHz", re.IGNORECASE)
# On x86, twice the rate of the time stamp counter in MHz, which is the rated clock; elsewhere any rate.
_BOGOMIPS = re.compile(r"^bogomips\s*:\s*(\d{1,6}(?:\.\d{1,3})?)\s*$", re.MULTILINE)
_X86 = re.compile(r"^vendor_id\s*:\s*(?:GenuineIntel|AuthenticAMD)\b", re.MULTILINE)
_BOGOMIPS_PER_GHZ = 2000.0
_LEAST_GHZ, _MOST_GHZ = 0.8, 6.0


def identity_of(host: Host) -> CpuIdentity:
    """Return the processor of a machine; an unknown one if its files cannot be read."""
    cpus = host.logical_cpus()
    cpuinfo, vendor = host.text("proc/cpuinfo", LARGE), host.text("sys/class/dmi/id/sys_vendor")
    found = attempt(lambda: identify(cpuinfo, sys_vendor=vendor, logical_cpus=cpus), None)
    return found or identify("", logical_cpus=cpus)


def host_facts(
    host: Host, cpu: CpuIdentity, devices: Sequence[Device], idle_w: Mapping[str, float]
) -> HostFacts:
    """Return the hardware of a machine.

    Args:
        host: The machine.
        cpu: Its processor.
        devices: Devices that are measured.
        idle_w: Idle power of devices by id in watts.
    """
    return HostFacts(
        cpu_model=cpu.model_name,
        cpu_count=host.logical_cpus(),
        ram_total_gb=host.ram_total_gb(),
        gpu_models=tuple(one.name for one in devices if one.component == "gpu"),
        facts={
            "cpu_tdp_w": f"{cpu.tdp_w:g}",
            "cpu_tdp_match": cpu.match,
            **attempt(lambda: node_facts(host, cpu), {}),
            **attempt(lambda: zone_facts(host.root), {}),
        },
        idle_w=idle_w,
    )


def node_facts(host: Host, cpu: CpuIdentity) -> dict[str, str]:
    """Return sockets, memory modules and rated clock; those that are unknown are absent.

    Args:
        host: The machine.
        cpu: Its processor.
    """
    cpuinfo = host.text("proc/cpuinfo", LARGE)
    sockets = sockets_of(cpuinfo)
    is_real = cpu.tdp_w >= sockets * _LEAST_W_PER_SOCKET
    dimms = read_dimms(host.root)
    clock = _rated_clock(cpu.model_name or "", cpuinfo)
    return {
        "cpu_sockets": str(sockets if is_real else 1),
        **({"memory_modules": str(dimms.count)} if dimms else {}),
        **({"cpu_rated_ghz": clock} if clock else {}),
    }


def _rated_clock(model_name: str, cpuinfo: str) -> str:
    """Return the rated clock in GHz, from the processor's name or its time stamp counter."""
    if in_name := _RATED_CLOCK.search(model_name):
        return in_name[1]
    rate = _BOGOMIPS.search(cpuinfo) if _X86.search(cpuinfo) else None
    ghz = float(rate[1]) / _BOGOMIPS_PER_GHZ if rate else 0.0
    return f"{ghz:.3g}" if _LEAST_GHZ <= ghz <= _MOST_GHZ else ""
