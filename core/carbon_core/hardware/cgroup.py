"""The control group of a container or a batch job: processor time and memory of all its processes.

Kernel documentation: https://docs.kernel.org/admin-guide/cgroup-v2.html (``cpu.stat``,
``memory.current``) and https://docs.kernel.org/admin-guide/cgroup-v1/cpuacct.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from carbon_core.hardware.host import Host
from carbon_core.units import BYTES_PER_GIB

_MOUNT = "sys/fs/cgroup"
# Everything up to a batch job's own group, which holds its steps and tasks on this node.
_JOB = re.compile(r".*?/job_[0-9]+")
_CONTAINER = re.compile(r"docker|kubepods|containerd|crio|libpod|podman|lxc")


@dataclass(frozen=True)
class Cgroup:
    """A control group whose counters can be read.

    Attributes:
        path: Path of the group in the hierarchy, for messages.
        cpu_file: File with the cumulative processor time, relative to the root.
        memory_file: File with the memory in use, relative to the root.
    """

    path: str
    cpu_file: str
    memory_file: str

    def cpu_s(self, host: Host) -> float | None:
        """Return the processor time of all processes in seconds, including those that have ended."""
        text = host.text(self.cpu_file)
        if text.isdecimal():  # version 1: nanoseconds
            return int(text) / 1e9
        found = re.search(r"^usage_usec ([0-9]+)$", text, re.MULTILINE)
        return int(found[1]) / 1e6 if found else None

    def memory_gb(self, host: Host) -> float | None:
        """Return the memory in use in GiB."""
        text = host.text(self.memory_file)
        return int(text) / BYTES_PER_GIB if text.isdecimal() else None


def own_cgroup(host: Host) -> Cgroup | None:
    """Return the group of the container or job that this process runs in, or None.

    The group of a desktop session or a service is not returned: it is unrelated to a training.
    """
    lines = [line.split(":", 2) for line in host.text("proc/self/cgroup").splitlines()]
    for _, controllers, path in (line for line in lines if len(line) == 3):
        wanted = not controllers or "cpuacct" in controllers.split(",")
        group = _group_of(host, controllers, path) if wanted else None
        if group is not None and group.cpu_s(host) is not None:
            return group
    return None


def _group_of(host: Host, controllers: str, path: str) -> Cgroup | None:
    job = _JOB.match(path)
    # In its own namespace, a container sees its group as the root of the hierarchy. The root of the
    # machine has no limits, so it has no such file.
    inside = path == "/" and bool(host.text(f"{_MOUNT}/cpu.max"))
    if not (job or inside or _CONTAINER.search(path)):
        return None
    place = (job[0] if job else path).rstrip("/")
    if controllers:
        cpu, memory = f"{_MOUNT}/{controllers}{place}", f"{_MOUNT}/memory{place}"
        return Cgroup(path, f"{cpu}/cpuacct.usage", f"{memory}/memory.usage_in_bytes")
    return Cgroup(path, f"{_MOUNT}{place}/cpu.stat", f"{_MOUNT}{place}/memory.current")
