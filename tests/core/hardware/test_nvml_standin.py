"""The stand-in for NVML keeps its word: the real ``pynvml`` reads from it what its truth says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from nvml_standin import standin
from nvml_standin.standin import PowerCurve, build, environment

pytest.importorskip("pynvml", reason="the NVML stand-in is read by pynvml (nvidia-ml-py)")
_REASON = standin.why_not()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

WAVE = PowerCurve(100.0, 400.0, period_s=0.05)
MJ = 1e-3

READER = """
import json, sys, time
import pynvml as nvml

def tried(function, *args):
    before = time.monotonic_ns()
    try:
        value = function(*args)
    except nvml.NVMLError as error:
        value = type(error).__name__
    return before, value, time.monotonic_ns()

def text(value):
    return value.decode() if isinstance(value, bytes) else value

def fields(handle):
    field = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION])[0]
    return field.value.ullVal

nvml.nvmlInit()
gpus = []
for index in range(nvml.nvmlDeviceGetCount()):
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    gpus.append({
        "name": text(nvml.nvmlDeviceGetName(handle)),
        "uuid": text(nvml.nvmlDeviceGetUUID(handle)),
        "bus": text(nvml.nvmlDeviceGetPciInfo(handle).busId),
        "limit": nvml.nvmlDeviceGetEnforcedPowerLimit(handle),
        "memory": nvml.nvmlDeviceGetMemoryInfo(handle).total,
        "processes": nvml.nvmlDeviceGetComputeRunningProcesses(handle),
        "mig": tried(nvml.nvmlDeviceGetMigMode, handle)[1],
        "power": tried(nvml.nvmlDeviceGetPowerUsage, handle),
        "utilization": tried(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        "field": tried(fields, handle),
        "energy": [],
    })
for _ in range(int(sys.argv[1])):
    for index, gpu in enumerate(gpus):
        handle = nvml.nvmlDeviceGetHandleByUUID(gpu["uuid"].encode())
        gpu["energy"].append(tried(nvml.nvmlDeviceGetTotalEnergyConsumption, handle))
    time.sleep(0.004)
nvml.nvmlShutdown()
print(json.dumps(gpus))
"""


@pytest.fixture(scope="module")
def lib_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml")).parent


def read(variables: dict[str, str], rounds: int = 25) -> list[dict[str, Any]]:
    """Read every GPU `rounds` times through the real pynvml, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", READER, str(rounds)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    gpus: list[dict[str, Any]] = json.loads(done.stdout)
    return gpus


@pytest.mark.parametrize("curve", [WAVE, PowerCurve.constant(250.0)], ids=["wave", "constant"])
def test_counter_is_the_analytic_truth(lib_dir: Path, curve: PowerCurve) -> None:
    for index, gpu in enumerate(read(environment(lib_dir, gpus=2, curve=curve))):
        for before_ns, millijoules, after_ns in [*gpu["energy"], gpu["field"]]:
            joules = millijoules / 1000 - 1000 * index
            assert curve.energy_j(0, before_ns) - 2 * MJ <= joules
            assert joules <= curve.energy_j(0, after_ns) + 2 * MJ


def test_power_and_utilization_follow_the_curve(lib_dir: Path) -> None:
    (gpu,) = read(environment(lib_dir, curve=PowerCurve.constant(250.0), limit_w=500.0), rounds=1)
    assert gpu["power"][1] == 250_000
    assert gpu["utilization"][1] == 50
    assert gpu["limit"] == 500_000


def test_each_gpu_has_its_own_identity(lib_dir: Path) -> None:
    gpus = read(environment(lib_dir, gpus=3, names=["NVIDIA A100", "NVIDIA H100"]), rounds=1)
    assert [gpu["name"] for gpu in gpus] == ["NVIDIA A100", "NVIDIA H100", "NVIDIA H100"]
    assert gpus[2]["uuid"] == "GPU-00000000-0000-0000-0000-000000000002"
    assert [gpu["bus"] for gpu in gpus][:2] == ["00000000:01:00.0", "00000000:02:00.0"]
    assert gpus[0]["memory"] == 80 << 30
    assert gpus[0]["processes"] == []
    assert gpus[0]["mig"] == "NVMLError_NotSupported"


def test_what_is_not_supported_says_so(lib_dir: Path) -> None:
    (gpu,) = read(environment(lib_dir, supports=["power"]), rounds=1)
    assert gpu["energy"][0][1] == "NVMLError_NotSupported"
    assert gpu["utilization"][1] == "NVMLError_NotSupported"
    assert gpu["power"][1] == 100_000
    (gpu,) = read(environment(lib_dir, supports=[]), rounds=1)
    assert gpu["power"][1] == "NVMLError_NotSupported"


def test_counter_moves_in_steps(lib_dir: Path) -> None:
    variables = environment(lib_dir, curve=PowerCurve.constant(100.0), counter_ms=20.0)
    (gpu,) = read(variables)
    for before_ns, millijoules, after_ns in gpu["energy"]:
        steps = {100 * (t_ns // 20_000_000 * 20) for t_ns in (before_ns, after_ns)}
        # The library reckons in floating point and cuts off what is left of a millijoule.
        assert {millijoules, millijoules + 1} & steps


def test_lost_gpu_comes_back_and_the_others_stay(lib_dir: Path) -> None:
    now_ns = time.monotonic_ns()
    lost = (now_ns - 10**9, now_ns + 3600 * 10**9)
    gone, there = read(environment(lib_dir, gpus=2, lost=(0, now_ns), lost_index=0), rounds=1)
    assert isinstance(gone["energy"][0][1], int)
    assert isinstance(there["energy"][0][1], int)
    done = subprocess.run(
        [sys.executable, "-c", READER, "1"],
        env={**os.environ, **environment(lib_dir, gpus=2, lost=lost, lost_index=0)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "NVMLError_GpuIsLost" in done.stderr


def test_counter_falls_to_zero_at_a_reset(lib_dir: Path) -> None:
    reset_ns = time.monotonic_ns() - 10**9
    curve = PowerCurve.constant(100.0)
    (gpu,) = read(environment(lib_dir, curve=curve, reset_at_ns=reset_ns), rounds=2)
    for before_ns, millijoules, after_ns in gpu["energy"]:
        assert curve.energy_j(reset_ns, before_ns) - 2 * MJ <= millijoules / 1000
        assert millijoules / 1000 <= curve.energy_j(reset_ns, after_ns) + 2 * MJ


def test_readings_can_be_slow_and_can_hang(lib_dir: Path) -> None:
    (gpu,) = read(environment(lib_dir, latency_ms=5.0), rounds=1)
    assert gpu["energy"][0][2] - gpu["energy"][0][0] >= 5_000_000
    (gpu,) = read(environment(lib_dir, hang=(0, 0.05)), rounds=1)
    assert gpu["energy"][0][2] - gpu["energy"][0][0] >= 50_000_000


@pytest.mark.parametrize(
    ("span_ns", "joules"),
    [((0, 3 * 10**9), 750.0), ((0, 1_500_000_000), 150.0), ((1_500_000_000, 3 * 10**9), 600.0)],
    ids=["period", "low", "high"],
)
def test_curve_in_numbers(span_ns: tuple[int, int], joules: float) -> None:
    curve = PowerCurve(100.0, 400.0, period_s=3.0)
    assert curve.energy_j(*span_ns) == pytest.approx(joules)
    assert curve == PowerCurve.from_environment(environment(Path(), curve=curve))


def test_unknown_reading_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        environment(Path(), supports=["temperature"])


def test_no_compiler_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(standin.StandinError, match="needs a C compiler"):
        build(tmp_path / "lib")
