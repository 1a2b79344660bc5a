"""One contract for every meter: the rows of the table, each on a machine where it works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from core.hardware import meter_contract, test_amd
from core.hardware.test_hwmon import Boards
from core.hardware.test_rapl_perf import MEMORY, PACKAGE, Kernel, PerfTree
from nvml_standin import standin

from carbon_core.clock import SystemClock
from carbon_core.errors import MeterError
from carbon_core.hardware import meters
from carbon_core.hardware.base import DetectionOptions
from carbon_core.hardware.discover import discover
from carbon_core.hardware.host import Host
from carbon_core.hardware.rapl_perf import open_rapl_perf
from carbon_core.testing import FakeClock, RaplTree

ROWS = {row.name: row for row in meters.METERS}
HERE = "tests/core/hardware/test_meter_contract.py"
SPAN_S = 10.0


class Machine:
    """A machine that is a directory, with a clock to turn.

    Attributes:
        root: Stands for ``/``.
        clock: The clock.
        use: Called with the seconds that pass; a machine adds what uses energy.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.monkeypatch = monkeypatch
        self.clock = FakeClock()
        self.use: Callable[[], None] = lambda: None

    def advance(self) -> None:
        self.clock.advance(SPAN_S)
        self.use()


@contextmanager
def apple(machine: Machine) -> Iterator[None]:
    def totals() -> SimpleNamespace:
        mj = round(machine.clock.monotonic_ns() / 1e6 * 20)
        return SimpleNamespace(cpu_total_mj=mj, gpu_mj=mj, dram_mj=mj, ane_mj=mj)

    monitor = SimpleNamespace(get_cumulative_energy=totals)
    package = SimpleNamespace(AppleEnergyMonitor=lambda: monitor)
    machine.monkeypatch.setitem(sys.modules, "zeus_apple_silicon", package)
    yield


@contextmanager
def rapl(machine: Machine) -> Iterator[None]:
    tree = RaplTree(machine.root)
    zones = [tree.zone("intel-rapl:0", "package-0"), tree.zone("intel-rapl:0:0", "dram")]

    def use() -> None:
        for zone in zones:
            tree.set_joules(zone, 500.0)

    machine.use = use
    yield


@contextmanager
def rapl_by_perf(machine: Machine) -> Iterator[None]:
    PerfTree(machine.root)
    kernel = Kernel()

    def perf_open(attributes: bytes, cpu: int) -> int:
        descriptor = kernel.open(attributes, cpu)
        _, config, _, _ = kernel.asked[-1]
        kernel.show(config, cpu, 0.0)  # for the first reading; opening the event takes one, too
        return descriptor

    machine.monkeypatch.setitem(open_rapl_perf.__kwdefaults__, "perf_open", perf_open)

    def use() -> None:
        for code in (PACKAGE, MEMORY):
            for cpu in (0, 2):
                kernel.show(code, cpu, 500.0)

    machine.use = use
    yield
    kernel.close()


@contextmanager
def amdsmi(machine: Machine) -> Iterator[None]:
    (machine.root / "sys/class/kfd").mkdir(parents=True)
    package = SimpleNamespace(__name__="amdsmi")
    exec(test_amd.PACKAGE, package.__dict__)  # the stand-in of the other tests
    machine.monkeypatch.setitem(sys.modules, "amdsmi", package)
    rocm = test_amd.Rocm(package)
    rocm.clock = machine.clock
    machine.monkeypatch.setattr(
        "carbon_core.hardware.amd.search.open_amd.__defaults__", (machine.clock.advance,)
    )
    rocm.add(300.0, load=40)
    rocm.add(300.0, joules=None)
    yield
    assert package.opened == 0


@contextmanager
def hwmon(machine: Machine) -> Iterator[None]:
    boards = Boards(machine.root)
    place = boards.add(0, "i915", "gpu", energy1_input=1_000_000)
    boards.add(1, "ina3221", "cpu", in1_label="VDD_CPU", in1_input=5000, curr1_input=1000)
    machine.use = lambda: (place / "energy1_input").write_text("501000000")
    yield


@contextmanager
def bare(machine: Machine) -> Iterator[None]:
    yield


MACHINES = {
    "apple": apple,
    "rapl": rapl,
    "rapl by perf": rapl_by_perf,
    "amdsmi": amdsmi,
    "hwmon": hwmon,
    "cpu load": bare,
    "ram model": bare,
}
IN_A_CHILD = {"nvml"}  # the loader reads where the stand-in library lies once, at its start


def test_every_row_has_a_machine_on_which_it_works() -> None:
    assert set(MACHINES) | IN_A_CHILD == set(ROWS), f"add a machine to MACHINES in {HERE}"


@pytest.mark.parametrize("name", MACHINES)
def test_a_meter_meets_the_contract(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    with MACHINES[name](machine):
        context = meter_contract.context_of(tmp_path, machine.clock)
        meter_contract.check(ROWS[name], context, machine.advance)


@pytest.mark.skipif(standin.why_not() is not None, reason=str(standin.why_not()))
@pytest.mark.parametrize("supports", [standin.READINGS, ("power",), ("utilization",)])
def test_nvml_meets_the_contract(tmp_path: Path, supports: tuple[str, ...]) -> None:
    pytest.importorskip("pynvml")
    library = standin.build(tmp_path)
    variables = standin.environment(library.parent, gpus=2, supports=supports)
    done = subprocess.run(
        [sys.executable, meter_contract.__file__, "nvml", str(tmp_path)],
        env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


# --- machines on which a meter does not work ------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.vendor_module])
def test_without_its_vendors_library_a_meter_is_refused_and_the_remedy_names_its_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ROWS[name]
    monkeypatch.setitem(sys.modules, row.vendor_module, None)
    # One that every installation has may be missing only where the installation is broken.
    expected = MeterError if row.extra else (MeterError, ImportError)
    with pytest.raises(expected) as caught:
        meter_contract.open_row(row, meter_contract.context_of(tmp_path, FakeClock()))
    if row.extra:
        assert f"carbon-callbacks[{row.extra}]" in caught.value.remedy


def test_on_a_bare_machine_every_row_is_used_refused_or_not_tried_with_a_reason(
    tmp_path: Path,
) -> None:
    hidden = dict.fromkeys(meters.gpu_variables(), "")
    options = DetectionOptions(gpu_environ=hidden)
    detection = discover(Host(tmp_path), SystemClock(), options, lambda line: None)
    methods = {device.method for meter in detection.meters for device in meter.devices}
    used = {name for name, row in ROWS.items() if methods.intersection(row.methods)}
    refused = {refusal.meter: refusal.reason for refusal in detection.refusals}
    assert used | set(refused) | set(detection.not_tried) == set(ROWS)
    assert all({**refused, **detection.not_tried}.values())
    assert list(detection.not_tried) == [name for name in ROWS if name in detection.not_tried]
    for meter in detection.meters:
        meter.close()
