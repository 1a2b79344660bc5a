"""RAPL over a tree of plain files: which zones count, how often, and what happens when they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import carbon_core
from carbon_core.errors import MeterError
from carbon_core.hardware.rapl import RaplMeter, open_rapl
from carbon_core.ledger import Ledger
from carbon_core.records import Energy, Snapshot
from carbon_core.testing import FakeClock, RaplTree

XEON = "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz"
EPYC = "AMD EPYC 7742 64-Core Processor"


@pytest.fixture
def tree(tmp_path: Path) -> RaplTree:
    return RaplTree(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def opened(tree: RaplTree, clock: FakeClock, cpu: str = XEON, **more: bool) -> RaplMeter:
    return open_rapl(tree.root, clock, 15.0, cpu, **more)


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def values(meter: RaplMeter) -> dict[str, float | None]:
    return {reading.device_id: reading.value for reading in meter.read()}


class Run:
    """A meter that feeds a ledger, on a clock that is turned by hand."""

    def __init__(self, tree: RaplTree, clock: FakeClock, cpu: str = XEON) -> None:
        self._clock = clock
        self._meter = opened(tree, clock, cpu)
        self._ledger = Ledger(clock.monotonic_ns())
        self._ledger.add_devices(self._meter.devices)
        self.read()

    def read(self, after_s: float = 0.0) -> Snapshot:
        """Let time pass, read every zone and return the totals."""
        self._clock.advance(after_s)
        self._ledger.update(self._meter.read())
        return self._ledger.snapshot(self._clock.monotonic_ns())


def amounts(totals: Snapshot) -> tuple[Energy, ...]:
    """Return the energies without the spread of what was extrapolated."""
    return tuple(energy._replace(extrapolated_sd_j=0.0) for energy in totals.energies)


def test_packages_and_their_dram_are_read_in_joules(tree: RaplTree, clock: FakeClock) -> None:
    for socket in (0, 1):
        package = tree.zone(f"intel-rapl:{socket}", f"package-{socket}")
        dram = tree.zone(f"intel-rapl:{socket}:0", "dram")
        tree.set_joules(package, 100.0 + socket)
        tree.set_joules(dram, 10.0 + socket)
    meter = opened(tree, clock)
    assert values(meter) == {
        "cpu:package-0": 100.0,
        "ram:package-0 dram": 10.0,
        "cpu:package-1": 101.0,
        "ram:package-1 dram": 11.0,
    }
    assert [device.component for device in meter.devices] == ["cpu", "ram", "cpu", "ram"]
    assert {reading.t_ns for reading in meter.read()} == {clock.monotonic_ns()}
    meter.close()


def test_zones_within_or_around_a_package_are_not_counted_again(
    tree: RaplTree, clock: FakeClock
) -> None:
    tree.zone("intel-rapl:0", "package-0")
    tree.zone("intel-rapl:0:0", "core")
    tree.zone("intel-rapl:0:1", "uncore")
    tree.zone("intel-rapl:0:2", "dram")
    tree.zone("intel-rapl:1", "psys")
    tree.zone("intel-rapl-mmio:0", "package-0")
    meter = opened(tree, clock)
    assert set(values(meter)) == {"cpu:package-0", "ram:package-0 dram"}
    meter.close()


def test_the_registers_view_of_a_package_is_preferred_to_its_twin(
    tree: RaplTree, clock: FakeClock
) -> None:
    tree.set_joules(tree.zone("intel-rapl-mmio:0", "package-0"), 999.0)
    tree.set_joules(tree.zone("intel-rapl:0", "package-0"), 100.0)
    meter = opened(tree, clock)
    assert values(meter) == {"cpu:package-0": 100.0}
    meter.close()


def test_ten_packages_are_ten_packages(tree: RaplTree, clock: FakeClock) -> None:
    for socket in range(12):
        tree.zone(f"intel-rapl:{socket}", f"package-{socket}")
        tree.zone(f"intel-rapl:{socket}:0", "dram")
    meter = opened(tree, clock)
    assert len(values(meter)) == 24
    meter.close()


def test_dram_is_left_out_when_memory_is_given_otherwise(tree: RaplTree, clock: FakeClock) -> None:
    tree.zone("intel-rapl:0", "package-0")
    tree.zone("intel-rapl:0:0", "dram")
    meter = opened(tree, clock, dram=False)
    assert list(values(meter)) == ["cpu:package-0"]
    meter.close()


@pytest.mark.parametrize(
    ("cpu", "grade"), [(XEON, "A"), ("Intel(R) Core(TM) i9-13900K", "B"), (EPYC, "B"), ("", "B")]
)
def test_how_far_a_counter_is_trusted(
    tree: RaplTree, clock: FakeClock, cpu: str, grade: str
) -> None:
    tree.zone("intel-rapl:0", "package-0")
    tree.zone("intel-rapl:0:0", "dram")
    meter = opened(tree, clock, cpu)
    assert [device.method.grade for device in meter.devices] == [grade, "B"]
    assert [device.method.name for device in meter.devices] == ["rapl.package", "rapl.dram"]
    meter.close()


@pytest.mark.parametrize(("wanted_s", "period_s"), [(1.0, 1.0), (15.0, 15.0), (600.0, 30.0)])
def test_the_period_is_short_enough_for_no_second_wrap(
    tree: RaplTree, clock: FakeClock, wanted_s: float, period_s: float
) -> None:
    tree.zone("intel-rapl:0", "package-0")
    meter = open_rapl(tree.root, clock, wanted_s, XEON)
    assert meter.period_s == period_s
    meter.close()


# --- through the ledger ---------------------------------------------------------------------------


def test_constant_power_gives_exact_joules(tree: RaplTree, clock: FakeClock) -> None:
    package = tree.zone("intel-rapl:0", "package-0")
    run = Run(tree, clock)
    for i in range(1, 5):
        tree.set_joules(package, 750.0 * i)
        totals = run.read(15.0)
    assert totals.energies == (Energy(3_000.0, 0.0, 0.0),)


def test_a_wrap_counts_once(tree: RaplTree, clock: FakeClock) -> None:
    package = tree.zone("intel-rapl:0", "package-0", range_j=65_532.0)
    run = Run(tree, clock)
    for i in range(1, 21):
        tree.set_joules(package, 7_500.0 * i)
        totals = run.read(15.0)
    assert totals.joules == pytest.approx(150_000.0, abs=1e-3)
    assert totals.energies[0].missing_s == 0.0


def test_a_reset_is_not_booked_as_a_wrap(tree: RaplTree, clock: FakeClock) -> None:
    package = tree.zone("intel-rapl:0", "package-0")
    run = Run(tree, clock)
    for joules in (750.0, 1_500.0, 0.0, 750.0):
        tree.set_joules(package, joules)
        totals = run.read(15.0)
    assert amounts(totals) == (Energy(2_250.0, 750.0, 15.0),)


@pytest.mark.parametrize("content", ["", "\n", "garbage\n", "nan\n", "1e9\n", "\0\0\0\0", "-5\n"])
def test_a_counter_that_shows_garbage_is_missing_until_it_is_back(
    tree: RaplTree, clock: FakeClock, content: str
) -> None:
    package = tree.zone("intel-rapl:0", "package-0")
    run = Run(tree, clock)
    tree.set_joules(package, 750.0)
    run.read(15.0)
    (package / "energy_uj").write_text(content)
    assert amounts(run.read(15.0)) == (Energy(750.0, 750.0, 15.0),)
    tree.set_joules(package, 2_500.0)
    assert run.read(15.0).joules == 2_500.0


def test_a_zone_that_vanishes_leaves_the_others(tree: RaplTree, clock: FakeClock) -> None:
    gone = tree.zone("intel-rapl:0", "package-0")
    stays = tree.zone("intel-rapl:1", "package-1")
    run = Run(tree, clock)
    for zone in (gone, stays):
        tree.set_joules(zone, 750.0)
    run.read(15.0)
    # A truncated file is the nearest thing to a zone taken away under an open descriptor.
    (gone / "energy_uj").write_text("")
    (gone / "energy_uj").unlink()
    tree.set_joules(stays, 2_000.0)
    assert amounts(run.read(15.0)) == (Energy(750.0, 750.0, 15.0), Energy(2_000.0, 0.0, 0.0))


# --- refusals ---------------------------------------------------------------------------------------


def refusal(tree: RaplTree, clock: FakeClock) -> MeterError:
    before = open_files()
    with pytest.raises(MeterError) as caught:
        opened(tree, clock)
    assert open_files() == before  # nothing is left open
    return caught.value


def test_no_tree_is_refused_with_the_likely_reasons(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(MeterError, match="no RAPL package zone under /sys/class/powercap"):
        open_rapl(tmp_path, clock, 15.0)


def test_a_counter_that_is_absent_is_refused(tree: RaplTree, clock: FakeClock) -> None:
    tree.zone("intel-rapl:0", "package-0")
    (tree.zone("intel-rapl:1", "package-1") / "energy_uj").unlink()
    assert refusal(tree, clock).reason == (
        "cannot read intel-rapl:1/energy_uj: No such file or directory"
    )


@pytest.mark.parametrize("content", ["", "garbage\n"])
def test_a_counter_that_never_showed_a_number_is_refused(
    tree: RaplTree, clock: FakeClock, content: str
) -> None:
    package = tree.zone("intel-rapl:0", "package-0")
    (package / "energy_uj").write_text(content)
    assert "cannot read intel-rapl:0/energy_uj" in refusal(tree, clock).reason


def test_a_dram_counter_that_cannot_be_read_does_not_cost_the_package(
    tree: RaplTree, clock: FakeClock
) -> None:
    tree.zone("intel-rapl:0", "package-0")
    (tree.zone("intel-rapl:0:0", "dram") / "energy_uj").unlink()
    meter = opened(tree, clock)
    assert list(values(meter)) == ["cpu:package-0"]
    meter.close()


@pytest.mark.parametrize("content", [None, "", "garbage\n"])
def test_an_unknown_range_still_measures_and_takes_a_fall_for_a_reset(
    tree: RaplTree, clock: FakeClock, content: str | None
) -> None:
    package = tree.zone("intel-rapl:0", "package-0")
    tree.set_joules(package, 1_000.0)
    run_range = package / "max_energy_range_uj"
    run_range.unlink()
    if content is not None:
        run_range.write_text(content)
    run = Run(tree, clock)
    (package / "energy_uj").write_text("1750000000\n")
    assert amounts(run.read(15.0)) == (Energy(750.0, 0.0, 0.0),)
    (package / "energy_uj").write_text("0\n")
    assert amounts(run.read(15.0)) == (Energy(750.0, 750.0, 15.0),)


FORBIDDEN = """
import encodings.ascii, os, tempfile  # all while the library can still be read
from pathlib import Path
from carbon_core.errors import MeterError
from carbon_core.hardware.rapl import open_rapl
from carbon_core.testing import FakeClock, RaplTree
if os.getuid() == 0:
    os.setuid(65534)  # root may read everything
with tempfile.TemporaryDirectory() as place:
    tree = RaplTree(Path(place))
    (tree.zone("intel-rapl:0", "package-0") / "energy_uj").chmod(0)
    try:
        open_rapl(tree.root, FakeClock(), 15.0)
    except MeterError as error:
        print(error.reason)
        print(error.remedy)
"""


def test_a_forbidden_counter_is_refused_with_a_remedy() -> None:
    child = subprocess.run(
        [sys.executable, "-c", FORBIDDEN],
        env={"PYTHONPATH": str(Path(carbon_core.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=30,
    )
    reason, remedy = child.stdout.splitlines()
    assert reason == "cannot read intel-rapl:0/energy_uj: permission denied"
    assert "chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in remedy


def test_closing_lets_go_of_the_files_and_may_be_repeated(tree: RaplTree, clock: FakeClock) -> None:
    tree.zone("intel-rapl:0", "package-0")
    before = open_files()
    meter = opened(tree, clock)
    assert open_files() == before + 1
    meter.close()
    meter.close()
    assert open_files() == before
    assert meter.read() == []


def test_a_descriptor_that_the_program_closed_and_uses_is_not_touched(
    tree: RaplTree, clock: FakeClock, tmp_path: Path
) -> None:
    tree.zone("intel-rapl:0", "package-0")
    meter = opened(tree, clock)
    first = values(meter)
    number = meter._counters[0].descriptor
    os.close(number)
    own = os.open(tmp_path / "checkpoint", os.O_RDWR | os.O_CREAT)
    assert own == number, "control: the number is used again"
    os.write(own, b"7")
    assert values(meter) == first
    os.close(meter._counters[0].descriptor)
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    meter.close()
    assert (os.write(own, b"1"), os.write(other, b"2")) == (1, 1)
    os.close(own)
    os.close(other)
