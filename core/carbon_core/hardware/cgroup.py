"""The control group of a container or a batch job: processor time and memory of all its processes.

/proc/self/cgroup has the group of each hierarchy, /proc/self/mountinfo where a hierarchy, or a part of
it, is mounted. Kernel documentation: https://docs.kernel.org/admin-guide/cgroup-v2.html
(``cpu.stat``, ``memory.stat``), https://docs.kernel.org/admin-guide/cgroup-v1/cpuacct.html and
https://man7.org/linux/man-pages/man7/cgroup_namespaces.7.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from carbon_core.hardware.host import Host
from carbon_core.hardware.job_memory import WITH_CACHE, Memory, of_stat
from carbon_core.plausible import number, whole_number
from carbon_core.record import record
from carbon_core.system_files import LARGE, exists
from carbon_core.units import BYTES_PER_GIB

_MOUNT = "sys/fs/cgroup"
# Everything up to a batch job's own group, which holds its steps and tasks on this node: Slurm,
# PBS and LSF.
_JOB = re.compile(r".*?/(?:job_[0-9]+|jobid/[^/]+|job\.[0-9]+[^/]*)(?=/|$)")
_CONTAINER = re.compile(
    r"docker|kubepods|containerd|crio|libpod|podman|lxc|machine\.slice|^/(?:ecs|garden)/"
)
_NOT_OF_THE_ROOT = ("cpu.max", "cgroup.events", "cgroup.type")
# Linux has some fifteen controllers.
_MOST_HIERARCHIES = 64
_MOST_MOUNTS = 64
_MARKS_OF_CONTAINERS = (".dockerenv", "run/.containerenv")


@record(frozen=True)
class Cgroup:
    """A control group whose counters can be read.

    Attributes:
        path: Path of the group in the hierarchy, for messages.
        cpu_file: File with the cumulative processor time, relative to the root.
        memory_file: File with the memory in use, page cache included, relative to the root.
    """

    path: str
    cpu_file: str
    memory_file: str

    def cpu_s(self, host: Host) -> float | None:
        """Return the processor time of all processes in seconds, including those that have ended."""
        return _cpu_s(host.text(self.cpu_file))

    def memory(self, host: Host) -> Memory | None:
        """Return the memory in use: without page cache where the kernel distinguishes it."""
        directory = self.memory_file.rpartition("/")[0]
        known = of_stat(host.text(f"{directory}/memory.stat"))
        if known is not None:
            return known
        used = whole_number(host.text(self.memory_file))
        return None if used is None else Memory(used / BYTES_PER_GIB, WITH_CACHE)

    def memory_gb(self, host: Host) -> float | None:
        """Return the memory in use in GiB."""
        memory = self.memory(host)
        return memory.gb if memory else None


def own_cgroup(host: Host) -> Cgroup | None:
    """Return the group of the container or job that this process runs in, or None.

    The group of a desktop session or a service is not returned: it is unrelated to a training.
    """
    groups = list(_groups(host))
    for cpu in groups:
        cpu_file = f"{cpu.directory}/{'cpuacct.usage' if cpu.version == 1 else 'cpu.stat'}"
        if not cpu.has("cpuacct") or _cpu_s(host.text(cpu_file)) is None:
            continue
        for memory in groups:
            name = "memory.usage_in_bytes" if memory.version == 1 else "memory.current"
            found = Cgroup(cpu.path, cpu_file, f"{memory.directory}/{name}")
            if memory.has("memory") and found.memory(host) is not None:
                return found
    return None


class _Mount(NamedTuple):
    """A mounted hierarchy, or a part of one.

    Attributes:
        controllers: Its controllers; empty for version 2, which has one hierarchy for all.
        root: The group that is mounted, as /proc/self/cgroup spells groups.
        place: Where it is mounted, relative to the root directory.
    """

    controllers: frozenset[str]
    root: str
    place: str


class _Group(NamedTuple):
    """A group of one hierarchy: its controllers, its path there and the directory that shows it."""

    controllers: frozenset[str]
    path: str
    directory: str

    @property
    def version(self) -> int:
        return 1 if self.controllers else 2

    def has(self, controller: str) -> bool:
        return not self.controllers or controller in self.controllers


def _groups(host: Host) -> Iterator[_Group]:
    """Yield the groups of the container or job, one for each hierarchy and place of its mounts."""
    shown = host.text("proc/self/cgroup").splitlines()[:_MOST_HIERARCHIES]
    lines = [line.split(":", 2) for line in shown]
    mounts = list(islice(_mounts(host.text("proc/self/mountinfo", LARGE)), _MOST_MOUNTS))
    for _, names, path in (line for line in lines if len(line) == 3):
        controllers = frozenset(filter(None, names.split(",")))
        of_hierarchy = [mount for mount in mounts if mount.controllers >= controllers]
        if not controllers:
            of_hierarchy = [mount for mount in mounts if not mount.controllers]
        for mount in of_hierarchy or _usual_mounts(controllers):
            directory = _directory(host, mount, path)
            if directory is not None:
                yield _Group(controllers, path, directory)


def _mounts(mountinfo: str) -> Iterator[_Mount]:
    """Yield the control group hierarchies of a /proc/self/mountinfo."""
    for line in mountinfo.splitlines():
        mount, _, system = line.partition(" - ")
        fields, kind = mount.split(), system.split()
        if len(fields) < 5 or not kind or kind[0] not in ("cgroup", "cgroup2"):
            continue
        options = kind[2].split(",") if kind[0] == "cgroup" and len(kind) > 2 else []
        place = _unescaped(fields[4]).strip("/")
        yield _Mount(frozenset(options), _unescaped(fields[3]), place)


def _unescaped(text: str) -> str:
    """Return a path of mountinfo, in which a blank is written as its octal code."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _usual_mounts(controllers: frozenset[str]) -> Iterator[_Mount]:
    """Yield where a hierarchy is usually mounted, for systems that hide their mounts."""
    if not controllers:
        yield _Mount(controllers, "/", _MOUNT)
        yield _Mount(controllers, "/", f"{_MOUNT}/unified")
    joined = sorted(controllers)
    for name in (",".join(joined), ",".join(reversed(joined)), *joined):
        if name:
            yield _Mount(controllers, "/", f"{_MOUNT}/{name}")


def _directory(host: Host, mount: _Mount, path: str) -> str | None:
    """Return the directory that shows the group of the container or job; None if there is none.

    Args:
        host: The machine.
        mount: A mount of the hierarchy.
        path: Group of this process in it.
    """
    job = _JOB.match(path)
    if job and (inside := _below(mount.root, job[0])) is not None:
        return f"{mount.place}{inside}"
    below = _below(mount.root, path)
    if below is None:
        return None
    # Only for a container, a part of the hierarchy is mounted.
    if mount.root != "/" and ".." not in mount.root:
        return mount.place
    if _CONTAINER.search(path):
        return f"{mount.place}{below}"
    return mount.place if _is_inside(host, mount) else None


def _below(root: str, path: str) -> str | None:
    """Return the path of a group below a mounted one, such as ``/step_0``; None if it is outside."""
    roots, parts = (list(filter(None, text.split("/"))) for text in (root, path))
    rest = parts[len(roots) :]
    if parts[: len(roots)] != roots or ".." in rest:
        return None
    return "".join(f"/{part}" for part in rest)


def _is_inside(host: Host, mount: _Mount) -> bool:
    """Return whether the mounted group is that of a container, and not the machine's root.

    In its own namespace, a container sees its group as the root of the hierarchy. The root of the
    machine has no limits and no state, so it has no ``cpu.max`` and no ``cgroup.events``; in version
    1 it alone has a ``release_agent``.
    """
    if not mount.controllers:
        return any(host.text(f"{mount.place}/{name}") for name in _NOT_OF_THE_ROOT)
    root = host.root / mount.place
    if exists(root / "release_agent"):
        return False
    is_container = any(exists(host.root / mark) for mark in _MARKS_OF_CONTAINERS)
    return is_container or exists(root / "notify_on_release")


def _cpu_s(text: str) -> float | None:
    """Return the seconds in a text of ``cpu.stat`` (version 2) or ``cpuacct.usage`` (version 1)."""
    if text.isdecimal():  # version 1: nanoseconds
        used_ns = number(text)
        return None if used_ns is None else used_ns / 1e9
    found = re.search(r"^usage_usec ([0-9]+)$", text, re.MULTILINE)
    used_us = number(found[1]) if found else None
    return None if used_us is None else used_us / 1e6
