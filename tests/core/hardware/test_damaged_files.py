"""Damaged, hostile and huge files of the machine: what they contain is unknown, all else measured."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carbon_core.code import git_commit
from carbon_core.hardware.base import Detection
from carbon_core.hardware.discover import DetectionOptions, discover
from carbon_core.hardware.host import Host
from carbon_core.hardware.idle import read_idle
from carbon_core.hardware.rapl_perf import open_rapl_perf
from carbon_core.intensity.time_zone import machine_time_zone
from carbon_core.ledger import Ledger
from carbon_core.testing import FakeClock, RaplTree

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
MOST_J = 1e6

CGROUP = "sys/fs/cgroup/system.slice/job_7"
POWER = "sys/bus/event_source/devices/power"
FILES = {
    "proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t: 85\n"
    "stepping\t: 7\nmodel name\t: Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz\nphysical id\t: 0\n",
    "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 500 kB\nAnonPages: 400 kB\nShmem: 10 kB\n",
    "proc/self/cgroup": "0::/system.slice/job_7\n",
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    f"{CGROUP}/cpu.stat": "usage_usec 1000000\n",
    f"{CGROUP}/memory.current": "1000000\n",
    f"{CGROUP}/memory.stat": "anon 200000\nshmem 1000\n",
    "sys/class/dmi/id/sys_vendor": "QEMU\n",
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "1000000\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:0/intel-rapl:0:0/name": "dram\n",
    "sys/class/powercap/intel-rapl:0/intel-rapl:0:0/energy_uj": "2000000\n",
    "sys/class/powercap/intel-rapl:0/intel-rapl:0:0/max_energy_range_uj": "65712999613\n",
    "sys/class/hwmon/hwmon0/name": "amdgpu\n",
    "sys/class/hwmon/hwmon0/power1_average": "50000000\n",
    "sys/class/hwmon/hwmon0/power1_cap": "300000000\n",
    "sys/class/hwmon/hwmon1/name": "power_meter\n",
    "sys/class/hwmon/hwmon1/device/power1_average": "90000000\n",
    "sys/class/hwmon/hwmon1/device/power1_oem_info": "CPU Power Socket 0\n",
    "sys/class/hwmon/hwmon2/name": "ina3221\n",
    "sys/class/hwmon/hwmon2/curr1_input": "1000\n",
    "sys/class/hwmon/hwmon2/in1_input": "5000\n",
    "sys/class/hwmon/hwmon2/in1_label": "CPU rail\n",
    "sys/devices/system/edac/mc/mc0/dimm0/size": "16384\n",
    "sys/devices/system/edac/mc/mc0/dimm1/size": "16384\n",
}


def _write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "directory": Path.mkdir,
    "FIFO": os.mkfifo,
    "loop": lambda path: path.symlink_to(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "empty": _write(b""),
    "binary": _write(bytes(range(256))),
    "digits": _write(b"9" * 400),
    "more digits": _write(b"9" * 5000),
    "superscript": _write("stepping : ²\nusage_usec ²\n²\n".encode()),
    "nan": _write(b"nan\n"),
    "inf": _write(b"inf\n"),
    "negative": _write(b"-1\n"),
    "huge": _write(b"1: 2\n" * 2_000_000),
}


def tree_with(root: Path, damaged: str, damage: Callable[[Path], object]) -> None:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == damaged:
            damage(path)
        else:
            path.write_text(text)


@pytest.fixture
def detected() -> Iterator[Callable[..., Detection]]:
    found: list[Detection] = []

    def search(root: Path, clock: FakeClock, **wanted: object) -> Detection:
        options = DetectionOptions(gpu_environ={"CUDA_VISIBLE_DEVICES": ""}, **wanted)  # type: ignore[arg-type]
        found.append(discover(Host(root), clock, options, lambda text: None))
        return found[-1]

    yield search
    for detection in found:
        for meter in detection.meters:
            meter.close()


@pytest.mark.parametrize("damaged", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_one_damaged_file_costs_no_other_measurement(
    tmp_path: Path, detected: Callable[..., Detection], damaged: str, damage: str
) -> None:
    tree_with(tmp_path, damaged, DAMAGES[damage])
    clock = FakeClock()
    detection = detected(tmp_path, clock, only_job=damaged.startswith(("proc", CGROUP)))
    ledger = Ledger(clock.monotonic_ns())
    for meter in detection.meters:
        ledger.add_devices(meter.devices)
    for _ in range(2):
        for meter in detection.meters:
            ledger.update(meter.read())
        clock.advance(0.5)
    window = ledger.snapshot(clock.monotonic_ns()) - ledger.snapshot(0)
    assert {"cpu", "ram"} <= {device.component for device in window.by_device}
    for device, energy in window.by_device.items():
        assert 0.0 <= energy.joules < MOST_J, device
    assert math.isfinite(detection.host.ram_total_gb or 0.0)
    assert all(len(value) < 1000 for value in detection.host.facts.values())
    assert len(detection.host.cpu_model or "") < 1000


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "damaged", ["cpumask", "type", "events/energy-pkg", "events/energy-pkg.scale"]
)
def test_damaged_descriptions_of_perf_events_raise_nothing_unexpected(
    tmp_path: Path, damaged: str, damage: str
) -> None:
    files = {"cpumask": "0", "type": "9", "events/energy-pkg": "event=0x02"}
    for name, text in {**files, "events/energy-pkg.scale": "2.3e-10"}.items():
        path = tmp_path / POWER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (DAMAGES[damage] if name == damaged else _write(text.encode()))(path)
    count = tmp_path / "count"
    count.write_bytes((5).to_bytes(8, "little"))

    def perf_open(attributes: bytes, cpu: int) -> int:
        return os.open(count, os.O_RDONLY)

    from carbon_core.errors import MeterError

    try:
        meter = open_rapl_perf(tmp_path, FakeClock(), 1.0, perf_open=perf_open)
    except MeterError:
        return
    meter.close()


# --- a counter's range ------------------------------------------------------------------------------


def test_a_range_that_no_counter_has_is_unknown(
    tmp_path: Path, detected: Callable[..., Detection]
) -> None:
    tree = RaplTree(tmp_path)
    zone = tree.zone("intel-rapl:0", "package-0")
    (zone / "max_energy_range_uj").write_text("5\n")
    (meter, *_) = detected(tmp_path, FakeClock()).meters
    assert meter.devices[0].wrap_j is None


# --- the idle power ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    ["[" * 60_000, '{"idle_w": {"a": 1' + "0" * 400 + "}}", '{"idle_w": {"a": 1e300, "b": NaN}}'],
)
def test_an_implausible_idle_file_is_no_baseline(tmp_path: Path, content: str) -> None:
    (tmp_path / "idle.json").write_text(content)
    assert read_idle(tmp_path / "idle.json") == {}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_idle_file_is_no_baseline(tmp_path: Path, damage: str) -> None:
    DAMAGES[damage](tmp_path / "idle.json")
    assert read_idle(tmp_path / "idle.json") == {}


# --- Git --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "damaged", ["HEAD", "commondir", "packed-refs", "refs/heads/main", "refs/heads"]
)
def test_a_damaged_repository_has_no_known_commit(
    tmp_path: Path, damaged: str, damage: str
) -> None:
    git = tmp_path / ".git"
    (git / "refs/heads").mkdir(parents=True)
    if damaged == "refs/heads":
        (git / damaged).rmdir()
    if damaged != "HEAD":
        (git / "HEAD").write_text("ref: refs/heads/main\n")
    DAMAGES[damage](git / damaged)
    assert git_commit(tmp_path) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_link_to_a_repository_leads_nowhere(tmp_path: Path, damage: str) -> None:
    DAMAGES[damage](tmp_path / "there")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".git").write_text(f"gitdir: {tmp_path / 'there'}\n")
    assert git_commit(tmp_path / "tree") is None


def test_a_cut_list_of_references_gives_no_commit_of_another(tmp_path: Path) -> None:
    from carbon_core.system_files import LARGE

    git = tmp_path / ".git"
    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    line = f"{'a' * 40} refs/heads/main-2\n"
    filler = "#" * (LARGE - len(line) + 2) + "\n"
    (git / "packed-refs").write_text(filler + line)
    assert (filler + line)[:LARGE].endswith("refs/heads/main")
    assert git_commit(tmp_path) is None


# --- the time zone ----------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_time_zone_is_unknown(tmp_path: Path, damage: str) -> None:
    (tmp_path / "etc").mkdir()
    DAMAGES[damage](tmp_path / "etc/timezone")
    found = machine_time_zone(tmp_path, None)
    assert found is None or len(found) <= 64
