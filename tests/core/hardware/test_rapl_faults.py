"""RAPL counters that fail during a run: real files, a real meter, the real tracker between."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults.lab import JOULES_PER_KWH, LabTracker, eventually, said

from carbon_core.hardware import rapl_zones
from carbon_core.hardware.claims import kept_with
from carbon_core.hardware.cpu_identity import identify
from carbon_core.hardware.cpu_load import modelled_power
from carbon_core.hardware.host import CpuTimes
from carbon_core.hardware.load_model import cpu_power_w
from carbon_core.hardware.process_share import SharedMeter
from carbon_core.hardware.rapl import open_rapl
from carbon_core.report import Report
from carbon_core.system_files import text_in
from carbon_core.testing import FakeClock, RaplTree

XEON = "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz"
RANGE_J = 65_532.6


class Machine:
    """Two packages of 100 W and 50 W, and a tracker that measures them."""

    def __init__(self, root: Path) -> None:
        self.clock = FakeClock()
        self.tree = RaplTree(root)
        self.zones = [
            self.tree.zone(f"intel-rapl:{i}", f"package-{i}", range_j=RANGE_J) for i in (0, 1)
        ]
        self.joules = [1_000.0, 2_000.0]
        self.broken = self.opened = False
        self.run_s = 0.0
        self._show()
        self.tracker = LabTracker(self.clock, lambda: [self._meter()])

    def _meter(self):
        tell = self.tracker.messages.warn
        meter = open_rapl(self.tree.root, self.clock, 15.0, XEON, on_problem=tell)
        self.opened = True
        return meter

    def start(self) -> None:
        """Start, and wait for the first reading: the fake clock would not."""
        self.tracker.start()
        assert eventually(lambda: self.opened)
        self.tracker.flush()

    def work(self, seconds: float) -> None:
        """Let time pass at full load, and have every counter read."""
        self.run_s += seconds
        self.joules = [self.joules[0] + 100.0 * seconds, self.joules[1] + 50.0 * seconds]
        # Counters first: a reading in between has the time of the last one, and is ignored.
        self._show()
        self.clock.advance(seconds)
        self.tracker.flush()

    def spoil(self, content: str) -> None:
        """Let the first package's counter show something else."""
        self.broken = True
        (self.zones[0] / "energy_uj").write_text(content)

    def repair(self) -> None:
        self.broken = False

    def _show(self) -> None:
        first, second = self.zones
        if not self.broken:
            self.tree.set_joules(first, self.joules[0])
        self.tree.set_joules(second, self.joules[1])

    def stop(self) -> Report:
        self.tracker.stop()
        report = self.tracker.final_report
        assert report is not None
        return report


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.start()
    machine.work(10.0)
    return machine


def joules(report: Report) -> float:
    return report.energy_kwh.value * JOULES_PER_KWH


def lines_about_the_counter(machine: Machine) -> list[str]:
    return [line for line in said(machine.tracker) if "energy_uj" in line]


def descriptor_of(file: Path) -> int:
    """Return this process's open descriptor of a file."""
    for entry in Path("/proc/self/fd").iterdir():
        if entry.exists() and entry.samefile(file):
            return int(entry.name)
    raise AssertionError(f"{file} is not open")


def test_control_a_healthy_run_is_exact_and_says_nothing(machine: Machine) -> None:
    machine.work(20.0)
    report = machine.stop()
    assert joules(report) == pytest.approx(150.0 * 30.0)
    assert report.missing_s == 0.0
    assert lines_about_the_counter(machine) == []


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("", "it shows nothing"),
        ("busy\n", "it shows busy"),
        ("-5\n", "it shows -5, which is implausible"),
        (f"{2**63}\n", f"it shows {2**63}, which is implausible"),
        ("\x1b[31m\n", "it shows \\x1b[31m"),
    ],
)
def test_garbage_is_missing_said_once_and_made_up_for(
    machine: Machine, content: str, shown: str
) -> None:
    machine.spoil(content)
    for _ in range(3):
        machine.work(10.0)
    machine.repair()
    machine.work(10.0)
    report = machine.stop()
    assert report.missing_s == pytest.approx(30.0)
    assert joules(report) == pytest.approx(150.0 * machine.run_s)
    (line,) = lines_about_the_counter(machine)
    assert f"cannot read intel-rapl:0/energy_uj of package-0 any more: {shown}" in line


def test_garbage_to_the_end_is_carried_over_and_graded_so(machine: Machine) -> None:
    machine.spoil("")
    for _ in range(3):
        machine.work(10.0)
    report = machine.stop()
    assert joules(report) == pytest.approx(150.0 * 40.0)
    assert report.shares_by_grade["E"] == pytest.approx(100.0 * 30.0 / (150.0 * 40.0))


def unplug(machine: Machine) -> None:
    """Take the first socket away: its open file can no longer be read, and its place is empty."""
    counter = machine.zones[0] / "energy_uj"
    refused = os.open(os.devnull, os.O_WRONLY)
    os.dup2(refused, descriptor_of(counter))
    os.close(refused)
    machine.broken = True
    counter.rename(counter.with_name("unplugged"))


def test_a_socket_that_is_plugged_in_again_is_read_again(machine: Machine) -> None:
    unplug(machine)
    for _ in range(3):
        machine.work(10.0)
    (machine.zones[0] / "unplugged").rename(machine.zones[0] / "energy_uj")
    machine.repair()
    machine.work(10.0)
    report = machine.stop()
    assert report.missing_s == pytest.approx(30.0)
    assert joules(report) == pytest.approx(150.0 * machine.run_s)
    assert len(lines_about_the_counter(machine)) == 1


def test_a_right_withdrawn_or_a_zone_unplugged_fails_alone_and_is_said_once(
    machine: Machine,
) -> None:
    unplug(machine)
    for _ in range(3):
        machine.work(10.0)
    report = machine.stop()
    assert report.missing_s == pytest.approx(30.0)
    by_name = {device.name: energy for device, energy in report.window.by_device.items()}
    assert by_name["package-1"][:3] == pytest.approx((50.0 * 40.0, 0.0, 0.0))
    assert by_name["package-0"][:3] == pytest.approx((100.0 * 10.0, 100.0 * 30.0, 30.0))
    (line,) = lines_about_the_counter(machine)
    assert "Bad file descriptor" in line


def test_a_reset_is_missing_and_never_a_wrap(machine: Machine) -> None:
    machine.joules[0] = -1_000.0  # so that it is back at zero, ten seconds on
    machine.work(10.0)
    machine.work(10.0)
    report = machine.stop()
    assert report.missing_s == pytest.approx(10.0)
    assert joules(report) == pytest.approx(150.0 * 30.0)


def test_wraps_seen_and_unseen_are_all_counted(machine: Machine) -> None:
    for seconds in (600.0, 60.0, 3_600.0, 10.0):
        machine.work(seconds)
    report = machine.stop()
    assert joules(report) == pytest.approx(150.0 * machine.run_s, rel=1e-6)
    assert report.missing_s == 0.0


def test_without_a_range_a_fall_is_a_reset_and_nothing_is_guessed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.joules[0] = RANGE_J - 2_000.0
    machine._show()
    (machine.zones[0] / "max_energy_range_uj").rename(tmp_path / "hidden")
    machine.start()
    (tmp_path / "hidden").rename(machine.zones[0] / "max_energy_range_uj")
    for _ in range(4):
        machine.work(10.0)
    report = machine.stop()
    assert report.missing_s == pytest.approx(10.0)
    assert joules(report) == pytest.approx(150.0 * 40.0)


def test_a_counter_that_stands_still_is_extrapolated_from_its_last_power(machine: Machine) -> None:
    machine.broken = True
    for _ in range(3):
        machine.work(10.0)
    report = machine.stop()
    by_name = {device.name: energy for device, energy in report.window.by_device.items()}
    assert by_name["package-0"][:3] == pytest.approx((100.0 * 10.0, 100.0 * 30.0, 30.0))
    assert report.shares_by_grade["E"] == pytest.approx(3_000.0 / (150.0 * 40.0))
    (line,) = [line for line in said(machine.tracker) if "stands still" in line]
    assert line.startswith("package-0 (cpu:package-0)")


def test_a_counter_that_has_slowed_is_read_again_soon(tmp_path: Path) -> None:
    tree, clock = RaplTree(tmp_path), FakeClock()
    zone = tree.zone("intel-rapl:0", "package-0")
    meter = open_rapl(tree.root, clock, 15.0, XEON)
    for joules in (100.0, 200.0, 300.0):
        tree.set_joules(zone, joules)
        clock.advance(1.0)
        meter.read()
    assert meter.period_s == 15.0
    for joules, period_s in ((310.0, 1.02), (320.0, 15.0), (330.0, 15.0)):
        tree.set_joules(zone, joules)
        clock.advance(1.0)
        meter.read()
        assert meter.period_s == period_s
    meter.close()


def test_zones_that_are_renumbered_are_found_by_their_names(machine: Machine) -> None:
    first, second = machine.zones
    (first / "name").write_text("package-1\n")
    (second / "name").write_text("package-0\n")
    machine.zones = [second, first]
    machine._show()
    for _ in range(3):
        machine.work(10.0)
    report = machine.stop()
    by_name = {device.name: energy for device, energy in report.window.by_device.items()}
    assert by_name["package-0"][:3] == pytest.approx((100.0 * 40.0, 0.0, 0.0))
    assert by_name["package-1"][:3] == pytest.approx((50.0 * 40.0, 0.0, 0.0))


def test_names_are_read_again_once_a_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, clock = RaplTree(tmp_path), FakeClock()
    package = tree.zone("intel-rapl:0", "package-0", range_j=RANGE_J)
    tree.zone("intel-rapl:0:0", "dram", range_j=RANGE_J)
    meter = open_rapl(tree.root, clock, 15.0, XEON)
    read: list[Path] = []

    def noting(path: Path) -> str:
        read.append(path)
        return text_in(path)

    def names_read() -> int:
        read.clear()
        clock.advance(1.0)
        assert [one.value for one in meter.read()] == [0.0, 0.0]
        return len(read)

    names_read()
    monkeypatch.setattr(rapl_zones, "text_in", noting)
    assert names_read() == 0
    (package / "name").rename(package / "aside")
    (package / "name").write_text("package-0\n")
    assert names_read() > 0
    assert names_read() == 0
    meter.close()


def test_a_tree_that_is_made_anew_with_other_numbers_is_followed(machine: Machine) -> None:
    first, second = machine.zones
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    machine.zones = [second, first]
    for _ in range(3):
        machine.work(10.0)
    report = machine.stop()
    assert joules(report) == pytest.approx(150.0 * 40.0)
    assert report.missing_s == 0.0


def test_a_place_that_another_kind_of_zone_takes_is_missing_and_said(machine: Machine) -> None:
    (machine.zones[0] / "name").write_text("psys\n")
    machine.joules[0] += 9_000.0
    for _ in range(3):
        machine.work(10.0)
    report = machine.stop()
    by_name = {device.name: energy for device, energy in report.window.by_device.items()}
    assert by_name["package-0"][:3] == pytest.approx((100.0 * 10.0, 100.0 * 30.0, 30.0))
    (line,) = lines_about_the_counter(machine)
    assert "no zone is called package-0" in line


def test_a_counter_that_never_moves_is_replaced_by_the_load_model(tmp_path: Path) -> None:
    tree, clock = RaplTree(tmp_path), FakeClock()
    tree.zone("intel-rapl:0", "package-0")
    tree.zone("intel-rapl:1", "package-1")
    meter = open_rapl(tree.root, clock, 15.0, XEON, models_w={"cpu": lambda: 80.0})
    assert [reading.power_w for reading in meter.read()] == [None, None]
    clock.advance(15.0)
    assert [reading.power_w for reading in meter.read()] == [40.0, 40.0]
    meter.close()


def test_memory_whose_counter_never_moves_has_the_power_of_its_model(tmp_path: Path) -> None:
    tree, clock = RaplTree(tmp_path), FakeClock()
    package = tree.zone("intel-rapl:0", "package-0")
    tree.zone("intel-rapl:0:0", "dram")
    models_w = {"cpu": lambda: 80.0, "ram": lambda: 12.0}
    meter = open_rapl(tree.root, clock, 15.0, XEON, models_w=models_w)
    meter.read()
    clock.advance(15.0)
    tree.set_joules(package, 1000.0)
    assert [reading.power_w for reading in meter.read()] == [None, 12.0]
    meter.close()


def test_packages_that_never_move_divide_one_model(tmp_path: Path) -> None:
    clock, tree = FakeClock(), RaplTree(tmp_path)
    for i in (0, 1):
        tree.zone(f"intel-rapl:{i}", f"package-{i}", range_j=RANGE_J)
    times = iter(CpuTimes(100.0 * i, 100.0 * i) for i in range(9))
    host = SimpleNamespace(root=tmp_path, cpu_times=lambda: next(times))
    model_w = modelled_power(host, lambda: identify("", logical_cpus=8))
    meter = open_rapl(tree.root, clock, 15.0, XEON, models_w={"cpu": model_w})
    meter.read()
    clock.advance(5.0)
    first, second = meter.read()
    meter.close()
    assert first.power_w == second.power_w
    assert first.power_w == pytest.approx(cpu_power_w(identify("", logical_cpus=8).tdp_w, 1.0) / 2)


class OneUse:
    """The use of a machine by a job that nothing measures."""

    first = None

    def now(self):
        return None


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda meter, clock: SharedMeter(meter, OneUse(), clock), id="share"),
        pytest.param(lambda meter, clock: kept_with([meter], FreeClaims())[0], id="claims"),
    ],
)
def test_a_meter_within_another_keeps_its_period_and_its_warnings(tmp_path: Path, wrap) -> None:
    clock, tree = FakeClock(), RaplTree(tmp_path)
    zone = tree.zone("intel-rapl:0", "package-0", range_j=RANGE_J)
    inner = open_rapl(tree.root, clock, 15.0, XEON)
    meter = wrap(inner, clock)
    for joules in (100.0, 3_100.0, 6_100.0, 6_200.0):
        (zone / "energy_uj").write_text(str(round(joules * 1e6)))
        meter.read()
        clock.advance(15.0)
    assert meter.period_s == inner.period_s < 2.0
    assert meter.reports_failures
    meter.close()


class FreeClaims:
    """Claims that hold nothing."""

    def release(self) -> None:
        pass
