"""A machine whose files contain anything: detection, readings and report of a small tree."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from carbon_core.code import git_commit
from carbon_core.errors import MeterError
from carbon_core.hardware.base import Meter
from carbon_core.hardware.discover import DetectionOptions, discover
from carbon_core.hardware.host import Host
from carbon_core.hardware.idle import read_idle
from carbon_core.hardware.rapl_perf import open_rapl_perf
from carbon_core.intensity.time_zone import machine_time_zone
from carbon_core.ledger import Ledger
from carbon_core.outputs.emissions_data import emissions_data
from carbon_core.outputs.receipt import receipt
from carbon_core.records import Intensity, IntensityShare, Snapshot, Window
from carbon_core.report import Report, RunFacts
from carbon_core.testing import FakeClock

_ZONE = "sys/class/powercap/intel-rapl:0"
_GROUP = "sys/fs/cgroup/system.slice/job_7"
_POWER = "sys/bus/event_source/devices/power"
# The files of the tree in their order: a file's number in the input is its index here.
FILES = {
    f"{_ZONE}/name": b"package-0\n",
    f"{_ZONE}/energy_uj": b"1000000\n",
    f"{_ZONE}/max_energy_range_uj": b"262143328850\n",
    f"{_ZONE}/intel-rapl:0:0/name": b"dram\n",
    f"{_ZONE}/intel-rapl:0:0/energy_uj": b"2000000\n",
    f"{_ZONE}/intel-rapl:0:0/max_energy_range_uj": b"65712999613\n",
    "sys/class/hwmon/hwmon0/name": b"amdgpu\n",
    "sys/class/hwmon/hwmon0/power1_average": b"50000000\n",
    "sys/class/hwmon/hwmon0/power1_cap": b"300000000\n",
    "sys/class/hwmon/hwmon1/name": b"power_meter\n",
    "sys/class/hwmon/hwmon1/device/power1_average": b"90000000\n",
    "sys/class/hwmon/hwmon1/device/power1_oem_info": b"CPU Power Socket 0\n",
    "sys/class/hwmon/hwmon2/name": b"ina3221\n",
    "sys/class/hwmon/hwmon2/curr1_input": b"1000\n",
    "sys/class/hwmon/hwmon2/in1_input": b"5000\n",
    "sys/class/hwmon/hwmon2/in1_label": b"CPU rail\n",
    "sys/devices/system/edac/mc/mc0/dimm0/size": b"16384\n",
    "sys/firmware/dmi/tables/DMI": b"\x11\x22\x00\x00" + b"\x00" * 8 + b"\x00\x40" + b"\x00" * 22,
    "proc/cpuinfo": b"processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t: 85\n"
    b"stepping\t: 7\nmodel name\t: Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz\nphysical id\t: 0\n",
    "proc/meminfo": b"MemTotal: 1000 kB\nMemFree: 500 kB\nAnonPages: 400 kB\nShmem: 10 kB\n",
    "proc/self/cgroup": b"0::/system.slice/job_7\n",
    "proc/self/mountinfo": b"30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    f"{_GROUP}/cpu.stat": b"usage_usec 1000000\n",
    f"{_GROUP}/memory.current": b"1000000\n",
    f"{_GROUP}/memory.stat": b"anon 200000\nshmem 1000\n",
    "sys/class/dmi/id/sys_vendor": b"QEMU\n",
    "etc/timezone": b"Europe/Paris\n",
    "idle.json": b'{"idle_w": {"cpu:package-0": 30.0}}',
    ".git/HEAD": b"ref: refs/heads/main\n",
    ".git/packed-refs": b"0123456789012345678901234567890123456789 refs/heads/main\n",
    f"{_POWER}/cpumask": b"0\n",
    f"{_POWER}/type": b"9\n",
    f"{_POWER}/events/energy-pkg": b"event=0x02\n",
    f"{_POWER}/events/energy-pkg.scale": b"2.3e-10\n",
}
_NAMES = tuple(FILES)
_MARK = b"\n%%"
_MOST_J = 1e6


def _changed(*changes: tuple[str, bytes]) -> bytes:
    parts = [bytes([_NAMES.index(name)]) + content for name, content in changes]
    return b"".join(_MARK + part for part in parts)


SEEDS = (
    b"",
    *(_changed((name, content)) for name, content in FILES.items()),
    _changed((f"{_ZONE}/energy_uj", b"FIFO"), ("proc/cpuinfo", b"DIRECTORY")),
    _changed((f"{_ZONE}/name", b"ABSENT"), ("sys/class/hwmon/hwmon1/name", b"LOOP")),
    _changed(("idle.json", b"[" * 1000), ("etc/timezone", b"\xff\xfe")),
)
DICTIONARY = (
    _MARK, b"FIFO", b"DIRECTORY", b"ABSENT", b"LOOP", b"nan", b"inf", b"-1", b"9" * 400, b"1e400",
    b"0x", b"\0", b"job_1", b"docker", b"psys", b"core", b"package-0-die-1", b"model name\t: ",
    "²".encode(), b"cpu0", b"esocket", b"amd_energy", b"0-8191",
)  # fmt: skip


def run(data: bytes, directory: Path) -> None:
    """Build the tree of an input, detect, read twice, and report."""
    _build(data, directory)
    _perf_events(directory)
    read_idle(directory / "idle.json")
    commit = git_commit(directory)
    assert commit is None or len(commit) in (40, 64)
    zone = machine_time_zone(directory, None)
    assert zone is None or len(zone) <= 64
    clock = FakeClock()
    options = DetectionOptions(
        gpu_environ={"CUDA_VISIBLE_DEVICES": ""},
        only_job=len(data) % 2 == 1,
        idle_file=directory / "idle.json",
    )
    detection = discover(Host(directory), clock, options, lambda text: None)
    try:
        window = _read_twice(detection.meters, clock)
    finally:
        for meter in detection.meters:
            meter.close()
    intensity = Intensity(100.0, "France", "a test", "user", None, 0.1)
    share = IntensityShare(intensity, window.joules, window.joules * 100.0 / 3.6e6)
    facts = RunFacts("run", "fuzz", "2026-01-01T00:00:00+00:00", "0", "3", "Linux")
    _check(
        Report(
            facts,
            "completed",
            "2026-01-01T00:00:01+00:00",
            window,
            (share,),
            host=detection.host,
            refusals=detection.refusals,
            utilization=detection.gauge.means() if detection.gauge else Report.utilization,
        )
    )


def _build(data: bytes, directory: Path) -> None:
    contents = dict(FILES)
    for part in data.split(_MARK)[1:]:
        if part:
            contents[_NAMES[part[0] % len(_NAMES)]] = part[1:]
    for name, content in contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content == b"FIFO":
            os.mkfifo(path)
        elif content == b"DIRECTORY":
            path.mkdir()
        elif content == b"LOOP":
            path.symlink_to(path)
        elif content != b"ABSENT":
            path.write_bytes(content)


def _perf_events(directory: Path) -> None:
    """Open the perf events that the tree describes; the kernel's call is replaced by a file."""
    count = directory / "count"
    count.write_bytes((5).to_bytes(8, "little"))
    try:
        meter = open_rapl_perf(
            directory, FakeClock(), 1.0, perf_open=lambda *_: os.open(count, os.O_RDONLY)
        )
    except MeterError:
        return
    meter.read()
    meter.close()
    for name in ("cpumask", "type"):  # the detection must not call the kernel
        (directory / _POWER / name).unlink(missing_ok=True)


def _read_twice(meters: Sequence[Meter], clock: FakeClock) -> Window:
    began_ns = clock.monotonic_ns()
    ledger = Ledger(began_ns)
    for meter in meters:
        ledger.add_devices(meter.devices)
    for _ in range(2):
        for meter in meters:
            ledger.update(meter.read())
        clock.advance(0.5)
    return ledger.snapshot(clock.monotonic_ns()) - Snapshot(began_ns)


def _check(report: Report) -> None:
    for device, energy in report.window.by_device.items():
        assert all(math.isfinite(figure) and figure >= 0.0 for figure in energy), device
        assert energy.joules < _MOST_J, device
        assert len(device.id) < 1000, device
    found = json.loads(json.dumps(receipt(report), default=str, allow_nan=False))
    row = emissions_data(report)
    json.dumps(row.values, allow_nan=False, default=str)
    assert found["is_known"] is (found["energy_kwh"]["value"] is not None)
    assert (row.energy_consumed is None) is (not report.is_known)
    if report.is_known:
        assert report.duration_s > 0
        assert row.energy_consumed is not None
        assert 0.0 <= report.energy_kwh.low <= row.energy_consumed <= report.energy_kwh.high
