"""Implausible answers of psutil and of vendor libraries: NaN, None, negative, endless names."""

from __future__ import annotations

import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from carbon_core.hardware.amd.answers import joules, load_percent
from carbon_core.hardware.apple import AppleMeter
from carbon_core.hardware.driver_calls import attempt_text
from carbon_core.hardware.host import Host
from carbon_core.hardware.load_gauge import LoadGauge
from carbon_core.hardware.nvml.board import probe
from carbon_core.testing import FakeClock

psutil = pytest.importorskip("psutil")
Times = namedtuple("Times", "user system idle")
ODD = [float("nan"), float("inf"), -1.0, None, "x", 10**400]


@pytest.mark.parametrize("odd", ODD)
def test_implausible_answers_of_psutil_are_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, odd: Any
) -> None:
    memory = SimpleNamespace(total=odd, used=odd, percent=odd)
    monkeypatch.setattr(psutil, "cpu_times", lambda: Times(odd, odd, 0.0))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(psutil, "cpu_count", lambda: odd)
    host = Host(tmp_path)
    assert host.cpu_times() is None
    assert host.ram_total_gb() is None
    assert host.ram_used() is None
    assert host.logical_cpus() >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_files_of_linux_give_what_psutil_gives() -> None:
    host, memory = Host(), psutil.virtual_memory()
    before, times, after = psutil.cpu_times(), host.cpu_times(), psutil.cpu_times()
    assert times is not None
    twice_s = before.guest + before.guest_nice
    assert sum(before) - twice_s <= times.total_s + 0.01
    assert times.total_s <= sum(after) - twice_s + 0.01
    assert host.ram_total_gb() == memory.total / 2**30
    assert host.logical_cpus() == psutil.cpu_count()


@pytest.mark.parametrize(
    ("stat", "meminfo"),
    [
        ("", ""),
        ("cpu", "MemTotal: 8 kB"),
        ("cpu 1 2 3", "MemTotal: 8 kB\nMemAvailable: 9 kB"),
        ("cpu x 0 0 0 0 0 0 0 0 0", "MemTotal: x kB\nMemAvailable: 9 kB"),
        ("intr 1 0 0 0 0 0 0 0 0 0", "MemTotal: 0 kB\nMemAvailable: 0 kB"),
    ],
)
def test_psutil_is_asked_where_files_are_damaged(tmp_path: Path, stat: str, meminfo: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(stat)
    (tmp_path / "proc/meminfo").write_text(meminfo)
    host = Host(tmp_path)
    assert host.ram_total_gb() == psutil.virtual_memory().total / 2**30
    times = host.cpu_times()
    assert times is not None
    assert times.total_s > 1.0


@pytest.mark.parametrize("odd", ODD)
def test_an_implausible_load_of_gpus_is_not_averaged(odd: Any) -> None:
    gauge = LoadGauge(Host(), lambda: odd)
    gauge.sample_gpus()
    assert gauge.means().gpu_percent is None


@pytest.mark.parametrize("odd", ODD)
def test_an_implausible_answer_of_nvml_is_no_readout(odd: Any) -> None:
    answer = SimpleNamespace(gpu=odd)
    nvml = SimpleNamespace(
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: odd,
        nvmlDeviceGetPowerUsage=lambda handle: odd,
        nvmlDeviceGetEnforcedPowerLimit=lambda handle: 300_000,
        nvmlDeviceGetUtilizationRates=lambda handle: answer,
    )
    assert probe(nvml, 0).readout is None


@pytest.mark.parametrize("odd", ODD)
def test_an_implausible_answer_of_amdsmi_is_unknown(odd: Any) -> None:
    smi = SimpleNamespace(
        amdsmi_get_energy_count=lambda h: {"energy_accumulator": odd, "counter_resolution": 15.3},
        amdsmi_get_gpu_activity=lambda h: {"gfx_activity": odd},
    )
    assert joules(smi, 0) is None
    assert load_percent(smi, 0) is None


@pytest.mark.parametrize("odd", ODD)
def test_one_implausible_part_of_an_apple_chip_costs_only_itself(odd: Any) -> None:
    answer = SimpleNamespace(cpu_total_mj=1000, gpu_mj=0)
    meter = AppleMeter(lambda: answer, FakeClock(), 1.0)
    answer.gpu_mj = odd
    assert [reading.value for reading in meter.read()] == [1.0, None]


def test_names_are_one_printable_line() -> None:
    assert attempt_text(lambda: "GPU\0X\n\x1b[31m" + "y" * 100_000, "GPU")[:8] == "GPU X  ["
    assert len(attempt_text(lambda: "y" * 100_000, "GPU")) <= 200
    assert attempt_text(lambda: b"\0\0", "GPU") == "GPU"
