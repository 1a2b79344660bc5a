"""Apple silicon: a stand-in for the package that reads it, and the real ledger behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carbon_core.errors import MeterError
from carbon_core.hardware.apple import open_apple
from carbon_core.hardware.discover import DetectionOptions, discover
from carbon_core.hardware.host import Host
from carbon_core.ledger import Ledger
from carbon_core.testing import FakeClock

# The package's names: cumulative millijoules, None for what the chip does not tell.
PACKAGE = """
totals = {"cpu_total_mj": 1000, "gpu_mj": 2000, "dram_mj": None, "ane_mj": 0}
error = None

class Totals:
    def __init__(self):
        self.__dict__.update(totals)

class AppleEnergyMonitor:
    def get_cumulative_energy(self):
        if error is not None:
            raise error
        return Totals()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    (tmp_path / "zeus_apple_silicon.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import zeus_apple_silicon

    yield zeus_apple_silicon
    del sys.modules["zeus_apple_silicon"]


def test_the_parts_that_the_chip_tells_of(package) -> None:
    meter = open_apple(FakeClock(), 15.0)
    assert {device.id: device.component for device in meter.devices} == {
        "cpu:apple": "cpu",
        "gpu:apple": "gpu",
        "gpu:apple-ane": "gpu",
    }
    assert {device.method.grade for device in meter.devices} == {"C"}
    meter.close()


def test_millijoules_become_joules_through_the_ledger(package) -> None:
    clock = FakeClock()
    meter = open_apple(clock, 15.0)
    ledger = Ledger(clock.monotonic_ns())
    ledger.add_devices(meter.devices)
    ledger.update(meter.read())
    clock.advance(10.0)
    package.totals.update(cpu_total_mj=101_000, gpu_mj=302_000, ane_mj=5_000)
    ledger.update(meter.read())
    energies = ledger.snapshot(clock.monotonic_ns()).energies
    assert [energy.measured_j for energy in energies] == pytest.approx([100.0, 300.0, 5.0])


def test_a_reading_that_fails_is_missing(package) -> None:
    meter = open_apple(FakeClock(), 15.0)
    package.error = RuntimeError("IOReport is gone")
    assert [reading.value for reading in meter.read()] == [None] * 3


def test_a_chip_that_tells_nothing_or_fails_is_refused(package) -> None:
    package.totals.update(dict.fromkeys(package.totals))
    with pytest.raises(MeterError, match="no part of its chip"):
        open_apple(FakeClock(), 15.0)
    package.error = RuntimeError("IOReport is gone")
    with pytest.raises(MeterError, match="IOReport is gone"):
        open_apple(FakeClock(), 15.0)


def test_without_the_package_the_remedy_is_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeus_apple_silicon", None)
    with pytest.raises(MeterError) as caught:
        open_apple(FakeClock(), 15.0)
    assert "carbon-callbacks[apple]" in caught.value.remedy


class Mac(Host):
    def is_apple(self) -> bool:
        return True


def test_the_search_takes_what_the_chip_tells_and_models_the_rest(package, tmp_path: Path) -> None:
    detection = discover(Mac(tmp_path), FakeClock(), DetectionOptions(), lambda line: None)
    found = {d.id.partition(":")[0]: d.method.name for m in detection.meters for d in m.devices}
    assert found == {"cpu": "apple.energy", "gpu": "apple.energy", "ram": "ram.model"}
