"""Of the machine's energy, the share of this process and its children, or of its job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from faults.lab import LabTracker

from carbon_core.errors import MeterError
from carbon_core.hardware.cgroup import own_cgroup
from carbon_core.hardware.host import CpuTimes, Host, ProcessTree
from carbon_core.hardware.process_share import JobUse, SharedMeter, share_of
from carbon_core.records import Component
from carbon_core.testing import FakeClock, FakeMeter, fake_device
from carbon_core.units import BYTES_PER_GIB

BURN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


class ScriptedTree(ProcessTree):
    """A process and its children whose use is set by hand."""

    def __init__(self, host: ScriptedHost) -> None:
        super().__init__()
        self._host = host
        self.walks = 0

    def walk(self) -> None:
        self.walks += 1

    def use(self) -> tuple[float, float] | None:
        return self._host.job


class ScriptedHost(Host):
    """A machine whose use is set by hand; its files are those of a directory."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.job: tuple[float, float] | None = (10.0, 1.0)
        self.busy_s = 1000.0
        self.used_gb = 4.0

    def cpu_times(self) -> CpuTimes:
        return CpuTimes(self.busy_s, 2 * self.busy_s)

    def ram_used(self) -> tuple[float, float]:
        return 50.0, self.used_gb


def job_use(host: ScriptedHost, clock: FakeClock) -> JobUse:
    return JobUse(host, clock, ScriptedTree(host))


@pytest.fixture
def host(tmp_path: Path) -> ScriptedHost:
    return ScriptedHost(tmp_path)


def run(host: ScriptedHost, spans: list[tuple[float, float, float]]) -> LabTracker:
    """Run a 100 W processor for spans of (seconds, job's and everybody's processor seconds)."""
    clock = FakeClock()
    meters = [
        FakeMeter(clock, lambda t_s: 100.0 * t_s, fake_device("cpu")),
        FakeMeter(clock, lambda t_s: 10.0 * t_s, fake_device("ram")),
        FakeMeter(clock, lambda t_s: 50.0 * t_s, fake_device("gpu")),
    ]
    tracker = LabTracker(clock, lambda: share_of(meters, job_use(host, clock), clock))
    tracker.start()
    assert tracker._run is not None
    assert tracker._run._sampler.started.wait(5)
    for seconds, job_s, busy_s in spans:
        clock.advance(seconds)
        cpu_s, memory_gb = host.job or (0.0, 0.0)
        host.job, host.busy_s = (cpu_s + job_s, memory_gb), host.busy_s + busy_s
        tracker.flush()
    tracker.stop()
    return tracker


def joules(tracker: LabTracker, component: Component) -> float:
    assert tracker.final_report is not None
    return tracker.final_report.window.component_j(component)


def test_each_span_counts_by_its_own_share(host: ScriptedHost) -> None:
    tracker = run(host, [(10, 5.0, 10.0), (10, 2.0, 20.0), (10, 0.0, 5.0)])
    assert joules(tracker, "cpu") == pytest.approx(1000 * 0.5 + 1000 * 0.1 + 0, rel=1e-6)
    assert joules(tracker, "ram") == pytest.approx(300 * 0.25, rel=1e-6)
    assert joules(tracker, "gpu") == pytest.approx(1500, rel=1e-6)


def test_jobs_that_fill_a_machine_add_up_to_it(tmp_path: Path) -> None:
    spans = [(10, 5.0, 10.0), (5, 1.0, 8.0), (20, 0.5, 2.0)]
    one = run(ScriptedHost(tmp_path), spans)
    other = run(ScriptedHost(tmp_path), [(s, busy - job, busy) for s, job, busy in spans])
    assert joules(one, "cpu") + joules(other, "cpu") == pytest.approx(3500, rel=1e-6)


def test_a_share_is_a_model_whatever_the_meter(host: ScriptedHost) -> None:
    clock = FakeClock()
    (meter,) = share_of([FakeMeter(clock, lambda t_s: t_s)], job_use(host, clock), clock)
    (device,) = meter.devices
    assert (device.method.name, device.method.grade) == ("rapl.package.share", "C")
    assert device.method.sigma_ln > 0.25


def test_a_child_that_vanishes_from_the_tree_for_a_moment_takes_nothing_away(
    host: ScriptedHost,
) -> None:
    assert joules(run(host, [(10, 5.0, 10.0), (10, -4.0, 10.0)]), "cpu") == pytest.approx(500)


def test_where_the_system_does_not_tell_there_is_no_share(host: ScriptedHost) -> None:
    host.job = None
    with pytest.raises(MeterError, match="does not report"):
        job_use(host, FakeClock())


def test_a_use_that_is_not_told_for_once_keeps_the_share(host: ScriptedHost) -> None:
    clock = FakeClock()
    meter = SharedMeter(FakeMeter(clock, lambda t_s: t_s), job_use(host, clock), clock)
    clock.advance(2)
    host.job, host.busy_s = (15.0, 1.0), 1010.0
    assert meter.read()[0].share == 0.5
    clock.advance(2)
    host.job = None
    assert meter.read()[0].share == 0.5


def test_children_count_also_when_they_have_ended() -> None:
    tree = ProcessTree()
    tree.walk()
    before = tree.use()
    subprocess.run([sys.executable, "-c", BURN], check=True)
    after = tree.use()
    assert before is not None
    assert after is not None
    assert after[0] - before[0] >= 0.25


def test_children_count_while_they_run() -> None:
    tree = ProcessTree()
    tree.walk()
    before = tree.use()
    child = subprocess.Popen(
        [sys.executable, "-c", f"{BURN}\nprint(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    tree.walk()
    after = tree.use()
    child.communicate(b"\n")
    assert before is not None
    assert after is not None
    assert after[0] - before[0] >= 0.25


WORKERS = """
import os, sys
data = bytearray(os.urandom(1)) * (100 * 2**20)
for _ in range(6):
    if os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only on Linux")
def test_memory_that_workers_share_counts_once() -> None:
    tree = ProcessTree()
    tree.walk()
    before = tree.use()
    parent = subprocess.Popen(
        [sys.executable, "-c", WORKERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    tree = ProcessTree()
    tree.walk()
    after = tree.use()
    parent.communicate(b"")
    assert before is not None
    assert after is not None
    assert 0.08 < after[1] - before[1] < 0.25  # 100 MiB and six small workers
    assert set(tree.memory_kinds) == {"AnonPages", "Shmem"}


def test_the_tree_is_walked_seldom(host: ScriptedHost) -> None:
    clock = FakeClock()
    tree = ScriptedTree(host)
    use = JobUse(host, clock, tree)
    for _ in range(30):
        clock.advance(1)
        assert use.now() is not None
    assert tree.walks == 3


# --- control groups ---


def write(root: Path, files: dict[str, str]) -> Host:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return Host(root)


STAT = "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000"
GIB = str(BYTES_PER_GIB)
V2 = "sys/fs/cgroup"
JOB = f"{V2}/system.slice/slurmstepd.scope/job_42"


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            {
                "proc/self/cgroup": "0::/",
                f"{V2}/cpu.max": "max 100000",
                f"{V2}/cpu.stat": STAT,
                f"{V2}/memory.current": GIB,
            },
            id="container with a namespace",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/system.slice/slurmstepd.scope/job_42/step_0/user/task_0",
                f"{JOB}/cpu.stat": STAT,
                f"{JOB}/memory.current": GIB,
            },
            id="batch job: all its steps",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/ab12\n3:memory:/docker/ab12",
                f"{V2}/cpu,cpuacct/docker/ab12/cpuacct.usage": "2500000000",
                f"{V2}/memory/docker/ab12/memory.usage_in_bytes": GIB,
            },
            id="version 1",
        ),
    ],
)
def test_the_group_of_a_container_or_job(tmp_path: Path, files: dict[str, str]) -> None:
    host = write(tmp_path, files)
    group = own_cgroup(host)
    assert group is not None
    assert (group.cpu_s(host), group.memory_gb(host)) == (2.5, 1.0)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="none"),
        pytest.param({"proc/self/cgroup": "0::/", f"{V2}/cpu.stat": STAT}, id="the machine's root"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/user.slice/session-1.scope",
                f"{V2}/user.slice/session-1.scope/cpu.stat": STAT,
            },
            id="a desktop session",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/docker/ab12\ngarbage", f"{V2}/docker/ab12/cpu.stat": "?"},
            id="unreadable",
        ),
    ],
)
def test_no_group_that_says_something_about_a_training(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert own_cgroup(write(tmp_path, files)) is None


CPUACCT = "35 25 0:30 {root} /sys/fs/cgroup/{place} rw - cgroup cgroup rw,{options}"
MEMORY = "36 25 0:31 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
UNIFIED = "30 25 0:27 {root} /{place} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"


def two_hierarchies(
    path: str, root: str, below: str, *, names: str = "cpu,cpuacct", place: str = "cpu,cpuacct"
) -> dict[str, str]:
    """Return the files of version 1: the group, what is mounted, and where the group then is."""
    mounts = (CPUACCT.format(root=root, place=place, options=names), MEMORY.format(root=root))
    return {
        "proc/self/cgroup": f"4:{names}:{path}\n3:memory:{path}",
        "proc/self/mountinfo": "\n".join(("22 1 8:1 / / rw - ext4 /dev/sda1 rw", *mounts)),
        f"{V2}/{place}{below}/cpuacct.usage": "2500000000",
        f"{V2}/memory{below}/memory.usage_in_bytes": GIB,
    }


def one_hierarchy(path: str, root: str, directory: str, place: str = V2) -> dict[str, str]:
    """Return the files of version 2: the group, what is mounted where, and the group's directory."""
    return {
        "proc/self/cgroup": f"0::{path}",
        "proc/self/mountinfo": UNIFIED.format(root=root, place=place),
        f"{directory}/cpu.stat": STAT,
        f"{directory}/memory.current": GIB,
    }


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(two_hierarchies("/docker/ab12", "/docker/ab12", ""), id="bind mount"),
        pytest.param(two_hierarchies("/docker/ab12", "/", "/docker/ab12"), id="of the machine"),
        pytest.param(
            two_hierarchies("/kubepods/pod1/c1", "/kubepods/pod1", "", place="cpuacct,cpu"),
            id="part of a pod",
        ),
        pytest.param(
            two_hierarchies("/ecs/task1/c1", "/ecs/task1/c1", "", names="cpuacct,cpu"),
            id="controllers the other way round",
        ),
        pytest.param(
            two_hierarchies("/docker/ab12", "/", "/docker/ab12", names="cpuacct", place="cpuacct"),
            id="one controller in a hierarchy",
        ),
        pytest.param(
            {
                **two_hierarchies("/", "/", ""),
                f"{V2}/cpu,cpuacct/notify_on_release": "0",
                f"{V2}/memory/notify_on_release": "0",
            },
            id="version 1 with a namespace",
        ),
        pytest.param(
            {**two_hierarchies("/", "/", ""), ".dockerenv": ""}, id="Docker with namespace"
        ),
        pytest.param(
            two_hierarchies("/slurm/uid_7/job_42/step_0/task_0", "/", "/slurm/uid_7/job_42"),
            id="batch job",
        ),
        pytest.param(
            two_hierarchies(
                "/slurm/uid_7/job_42/step_0/task_0", "/slurm/uid_7", "/job_42", place="c\\040d"
            )
            | {f"{V2}/c d/job_42/cpuacct.usage": "2500000000"},
            id="a blank in the name of a mount",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/ab12\n3:memory:/docker/ab12",
                f"{V2}/cpuacct,cpu/docker/ab12/cpuacct.usage": "2500000000",
                f"{V2}/memory/docker/ab12/memory.usage_in_bytes": GIB,
            },
            id="without mounts: the other way round",
        ),
        pytest.param(
            {
                **two_hierarchies("/docker/ab12", "/", "/docker/ab12"),
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/ab12\n3:memory:/docker/ab12\n0::/x",
            },
            id="both versions",
        ),
        pytest.param(one_hierarchy("/docker/ab12", "/docker/ab12", V2), id="version 2: bind mount"),
        pytest.param(
            one_hierarchy("/kubepods/pod1", "/", "host/cgroup/kubepods/pod1", "host/cgroup"),
            id="version 2: the machine's, elsewhere",
        ),
        pytest.param(
            {**one_hierarchy("/init.scope", "/", V2), f"{V2}/cpu.max": "max 100000"},
            id="a service of a container",
        ),
        pytest.param(
            {**one_hierarchy("/", "/", V2), f"{V2}/cgroup.events": "populated 1"},
            id="a container without limits",
        ),
        pytest.param(
            one_hierarchy(
                "/pbs_jobs.service/jobid/7.srv/x", "/", f"{V2}/pbs_jobs.service/jobid/7.srv"
            ),
            id="PBS",
        ),
    ],
)
def test_the_group_is_found_by_its_mount(tmp_path: Path, files: dict[str, str]) -> None:
    host = write(tmp_path, files)
    group = own_cgroup(host)
    assert group is not None
    assert (group.cpu_s(host), group.memory_gb(host)) == (2.5, 1.0)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(two_hierarchies("/", "/", ""), id="version 1: the machine's root"),
        pytest.param(two_hierarchies("/user.slice", "/", "/user.slice"), id="a user"),
        pytest.param(one_hierarchy("/", "/../..", V2), id="outside of the namespace"),
        pytest.param(one_hierarchy("/docker/ab12", "/docker/cd34", V2), id="of another container"),
        pytest.param(
            {
                "proc/self/cgroup": "4:cpuacct:/docker/ab12",
                f"{V2}/cpuacct/docker/ab12/cpuacct.usage": "2500000000",
            },
            id="without a memory controller",
        ),
    ],
)
def test_no_group_of_a_job_is_mounted(tmp_path: Path, files: dict[str, str]) -> None:
    assert own_cgroup(write(tmp_path, files)) is None


def gib(count: float) -> int:
    return round(count * BYTES_PER_GIB)


MEMINFO = "MemTotal: 67108864 kB\nMemFree: 33554432 kB\nCached: 25165824 kB\n"


@pytest.mark.parametrize(
    ("stat", "meminfo", "share"),
    [
        pytest.param(f"anon {gib(2)}\nfile {gib(30)}", "", 0.5, id="page cache"),
        pytest.param(
            f"anon {gib(2)}\nfile {gib(30)}",
            f"{MEMINFO}AnonPages: 6291456 kB\nShmem: 9999999 kB",
            2 / 6,
            id="anonymous memory by anonymous memory",
        ),
        pytest.param(
            f"anon {gib(1)}\nshmem {gib(1)}\nslab_unreclaimable {gib(0.5)}",
            f"{MEMINFO}AnonPages: 2097152 kB\nShmem: 2097152 kB\nSUnreclaim: 1048576 kB",
            0.5,
            id="with the kernel's part",
        ),
        pytest.param(
            f"cache {gib(30)}\nrss {gib(0)}\ntotal_cache {gib(30)}\ntotal_rss {gib(1)}",
            f"{MEMINFO}AnonPages: 4194304 kB",
            0.25,
            id="version 1",
        ),
        pytest.param("", MEMINFO, 1 / 32, id="no statistics: both with page cache"),
    ],
)
def test_memory_of_a_group_is_compared_with_the_same_kind(
    host: ScriptedHost, stat: str, meminfo: str, share: float
) -> None:
    files = {**one_hierarchy("/docker/ab12", "/docker/ab12", V2), "proc/meminfo": meminfo}
    write(host.root, {**files, f"{V2}/memory.stat": stat})
    now = job_use(host, FakeClock()).now()
    assert now is not None
    assert now.memory == pytest.approx(share)


def test_a_job_is_counted_by_its_group(host: ScriptedHost) -> None:
    group = f"{V2}/kubepods/pod1"
    write(
        host.root,
        {
            "proc/self/cgroup": "0::/kubepods/pod1",
            f"{group}/cpu.stat": STAT,
            f"{group}/memory.current": GIB,
        },
    )
    use = job_use(host, FakeClock())
    assert use.name == "control group /kubepods/pod1"
    assert use.now() == (2.5, 1000.0, 0.25)
