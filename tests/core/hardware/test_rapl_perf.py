"""RAPL by perf events: a described source in a tree of files, and pipes that give the counts."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from carbon_core.errors import MeterError
from carbon_core.hardware.discover import DetectionOptions, discover
from carbon_core.hardware.host import Host
from carbon_core.hardware.rapl_perf import open_rapl_perf, perf_event_open
from carbon_core.ledger import Ledger
from carbon_core.records import Energy
from carbon_core.testing import FakeClock, RaplTree

POWER = "sys/bus/event_source/devices/power"
JOULES_PER_COUNT = 2.0**-32
PACKAGE, MEMORY = 0x02, 0x03
XEON = "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz"


class PerfTree:
    """What a kernel shows of its energy events, for two packages of two processors each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / POWER / "events").mkdir(parents=True)
        self.write("type", "23")
        self.write("cpumask", "0,2")
        for name, code in (("energy-pkg", PACKAGE), ("energy-ram", MEMORY)):
            self.write(f"events/{name}", f"event={code:#04x}")
            self.write(f"events/{name}.scale", "2.3283064365386962890625e-10")
        for cpu in range(4):
            self.place(cpu, package=cpu // 2)
        (root / "proc/sys/kernel").mkdir(parents=True)
        (root / "proc/sys/kernel/perf_event_paranoid").write_text("4\n")

    def write(self, file: str, text: str) -> None:
        (self.root / POWER / file).write_text(f"{text}\n")

    def place(self, cpu: int, package: int) -> None:
        topology = self.root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True, exist_ok=True)
        (topology / "physical_package_id").write_text(f"{package}\n")


class Kernel:
    """Opens events that are pipes; each read of one takes the next count that was shown."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int, int]] = []
        self.refuse: dict[int, int] = {}
        self.opened: list[int] = []
        self._writers: dict[tuple[int, int], int] = {}
        self._pipes: list[int] = []

    def open(self, attributes: bytes, cpu: int) -> int:
        kind, size, config = struct.unpack_from("=IIQ", attributes)
        assert size == len(attributes) == 64
        assert not any(attributes[16:])
        self.asked.append((kind, config, cpu, size))
        if config in self.refuse:
            raise OSError(self.refuse[config], os.strerror(self.refuse[config]))
        reader, self._writers[config, cpu] = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.opened.append(reader)
        self._pipes.append(self._writers[config, cpu])
        self.show(config, cpu, 0.0)
        return reader

    def show(self, config: int, cpu: int, joules: float) -> None:
        count = round(joules / JOULES_PER_COUNT)
        os.write(self._writers[config, cpu], count.to_bytes(8, "little"))

    def write(self, config: int, cpu: int, content: bytes) -> None:
        os.write(self._writers[config, cpu], content)

    def close(self) -> None:
        for writer in self._pipes:
            os.close(writer)


@pytest.fixture
def tree(tmp_path: Path) -> PerfTree:
    return PerfTree(tmp_path)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()
    for descriptor in kernel.opened:  # nothing of the meter's is left open
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def opened(tree: PerfTree, kernel: Kernel, clock: FakeClock | None = None, **more):
    return open_rapl_perf(
        tree.root, clock or FakeClock(), 15.0, XEON, perf_open=kernel.open, **more
    )


def refusal(tree: PerfTree, kernel: Kernel) -> MeterError:
    with pytest.raises(MeterError) as caught:
        opened(tree, kernel)
    return caught.value


def test_one_event_is_opened_for_each_package_and_its_memory(
    tree: PerfTree, kernel: Kernel
) -> None:
    meter = opened(tree, kernel)
    events = [(config, cpu) for _, config, cpu, _ in kernel.asked]
    assert events == [(PACKAGE, 0), (MEMORY, 0), (PACKAGE, 2), (MEMORY, 2)]
    assert {kind for kind, *_ in kernel.asked} == {23}
    assert [device.id for device in meter.devices] == [
        "cpu:package-0",
        "ram:package-0 dram",
        "cpu:package-1",
        "ram:package-1 dram",
    ]
    assert [device.method.name for device in meter.devices] == ["rapl.package", "rapl.dram"] * 2
    assert {device.wrap_j for device in meter.devices} == {None}
    meter.close()


def test_counts_become_joules_through_the_ledger(tree: PerfTree, kernel: Kernel) -> None:
    clock, joules = FakeClock(), 0.0
    meter = opened(tree, kernel, clock, dram=False)
    ledger = Ledger(clock.monotonic_ns())
    ledger.add_devices(meter.devices)
    for _ in range(5):
        for cpu in (0, 2):
            kernel.show(PACKAGE, cpu, joules)
        ledger.update(meter.read())
        clock.advance(1_000.0)  # however long: the kernel counts in 64 bits
        joules += 200_000.0
    totals = ledger.snapshot(clock.monotonic_ns() - 1_000_000_000_000)
    assert totals.energies == (pytest.approx(Energy(800_000.0, 0.0, 0.0)),) * 2
    meter.close()


def test_an_event_that_fails_is_missing_said_once_and_the_others_go_on(
    tree: PerfTree, kernel: Kernel
) -> None:
    problems: list[str] = []
    meter = opened(tree, kernel, dram=False, on_problem=problems.append)
    for content in (b"", b"\1\2\3"):
        kernel.write(PACKAGE, 0, content)
        kernel.show(PACKAGE, 2, 50.0)
        assert [reading.value for reading in meter.read()] == [None, 50.0]
    (line,) = problems
    assert line.startswith("cannot read power/energy-pkg of package-0 any more: ")
    meter.close()


@pytest.mark.parametrize("permitted", [True, False])
def test_events_of_the_package_come_before_files_of_its_cores(
    tree: PerfTree, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, *, permitted: bool
) -> None:
    RaplTree(tree.root).zone("intel-rapl:0", "core")
    monkeypatch.setitem(open_rapl_perf.__kwdefaults__, "perf_open", kernel.open)
    if not permitted:
        kernel.refuse[PACKAGE] = errno.EACCES
    wanted = DetectionOptions(gpu_environ={"CUDA_VISIBLE_DEVICES": ""})
    detection = discover(Host(tree.root), FakeClock(), wanted, lambda line: None)
    methods = {d.method.name for m in detection.meters for d in m.devices if d.component == "cpu"}
    reasons = {refusal.meter: refusal.reason for refusal in detection.refusals}
    assert methods == ({"rapl.package"} if permitted else {"rapl.core"})
    assert ("rapl" in reasons) is permitted
    assert ("rapl by perf" in reasons) is not permitted
    for meter in detection.meters:
        meter.close()


def test_memory_is_left_out_where_it_is_not_wanted_or_not_shown(
    tree: PerfTree, kernel: Kernel
) -> None:
    for more in ({"dram": False}, {}):
        meter = opened(tree, kernel, **more)
        assert {device.component for device in meter.devices} == {"cpu"}
        meter.close()
        (tree.root / POWER / "events/energy-ram").unlink(missing_ok=True)


def test_memory_that_cannot_be_opened_does_not_cost_the_package(
    tree: PerfTree, kernel: Kernel
) -> None:
    kernel.refuse[MEMORY] = errno.EINVAL
    meter = opened(tree, kernel)
    assert [device.id for device in meter.devices] == ["cpu:package-0", "cpu:package-1"]
    meter.close()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_no_permission_is_refused_with_the_exact_remedy(
    tree: PerfTree, kernel: Kernel, code: int
) -> None:
    kernel.refuse[PACKAGE] = code
    error = refusal(tree, kernel)
    assert error.reason == (
        "cannot open the perf event power/energy-pkg: permission denied "
        "(kernel.perf_event_paranoid is 4)"
    )
    assert "`sudo sysctl kernel.perf_event_paranoid=0`" in error.remedy
    assert "CAP_PERFMON" in error.remedy


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENODEV, errno.EMFILE])
def test_any_other_refusal_of_the_kernel_is_told_as_it_is(
    tree: PerfTree, kernel: Kernel, code: int
) -> None:
    kernel.refuse[PACKAGE] = code
    assert refusal(tree, kernel).reason.endswith(os.strerror(code))


def test_no_source_of_energy_events_is_refused(tmp_path: Path, kernel: Kernel) -> None:
    with pytest.raises(MeterError, match="no perf event power/energy-pkg"):
        open_rapl_perf(tmp_path, FakeClock(), 15.0, perf_open=kernel.open)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("type", "power"),
        ("type", "-1"),
        ("cpumask", ""),
        ("cpumask", "all"),
        ("events/energy-pkg", "umask=0x02"),
        ("events/energy-pkg.scale", "nan"),
        ("events/energy-pkg.scale", "0"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(
    tree: PerfTree, kernel: Kernel, file: str, content: str
) -> None:
    tree.write(file, content)
    assert "no perf event power/energy-pkg" in refusal(tree, kernel).reason
    assert kernel.asked == []


def test_several_counters_of_one_package_are_refused_rather_than_added_up(
    tree: PerfTree, kernel: Kernel
) -> None:
    tree.write("cpumask", "0-1,2")
    assert "several counters for package-0" in refusal(tree, kernel).reason


def test_the_real_call_opens_an_event_or_says_why_not() -> None:
    """A clock of the kernel's own, which every machine has: the call itself is what is tested."""
    attributes = struct.pack("=IIQQQQQIIQ", 1, 64, 0, *[0] * 7)
    try:
        descriptor = perf_event_open(attributes, 0)
    except OSError as error:
        assert error.errno in {None, errno.EACCES, errno.EPERM, errno.ENOSYS}
        return
    try:
        assert len(os.read(descriptor, 8)) == 8
    finally:
        os.close(descriptor)
