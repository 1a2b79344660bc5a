"""``carbon-callbacks doctor --load`` on a machine of files and a stand-in for the driver's library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nvml_standin import standin

pytest.importorskip("typer", reason="the extra cli is not installed here")
pytest.importorskip("rich", reason="the extra cli is not installed here")

from carbon_callbacks.cli import gpu_load, load_run, load_table
from carbon_callbacks.cli.load_check import DeviceCheck, KernelWindow, WindowCheck
from carbon_callbacks.cli.load_series import Update
from carbon_callbacks.cli.terminal import PlainConsole
from carbon_core.hardware.base import Detection

# The first package consumes 50 W, the counter of the second one stands still.
DOCTOR = """
import sys, threading, time
from pathlib import Path
from carbon_callbacks.cli import detect
zone = Path(sys.argv[1]) / "sys/class/powercap/intel-rapl:0"
counter = open(zone / "energy_uj", "r+b", buffering=0)
def move():
    while True:
        counter.seek(0)
        counter.write(b"%012d" % round(time.monotonic() * 50e6 % 1e11))
        time.sleep(0.005)
threading.Thread(target=move, daemon=True).start()
detect.run(as_json=True, at_least=detect.Grade.B, load_s=float(sys.argv[2]), root=Path(sys.argv[1]))
"""
BUSY = """
import os, sys, time
from carbon_callbacks.cli.load_run import busy_processes
with busy_processes(2, 600.0):
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.skipif(standin.why_not() is not None, reason=str(standin.why_not()))
def test_doctor_finds_the_counter_that_stands_still(command, tmp_path: Path) -> None:
    from carbon_core.testing import RaplTree

    tree = RaplTree(tmp_path / "root")
    for number in (0, 1):
        tree.zone(f"intel-rapl:{number}", f"package-{number}")
    library = standin.build(tmp_path / "lib")
    curve = standin.PowerCurve.constant(250.0)
    variables = standin.environment(library.parent, gpus=1, curve=curve, counter_ms=100.0)
    without_torch = tmp_path / "without"
    without_torch.mkdir()
    (without_torch / "torch.py").write_text("raise ImportError('none in this test')\n")
    variables["PYTHONPATH"] = ":".join([str(without_torch), *sys.path])
    done = command(str(tree.root), "4", code=DOCTOR, **variables)
    found = json.loads(done.stdout)["load_check"]
    moving, still, gpu = found["devices"][:3]
    assert done.returncode == 1
    (problem,) = [one for one in found["problems"] if "package-1" in one]
    assert problem.startswith("cpu: package-1: its counter stands still for ")
    assert problem in done.stderr
    assert not [one for one in found["problems"] if "package-1" not in one], found["problems"]
    assert 40.0 < moving["load_w"] < 60.0
    assert moving["only_rises"] is True
    assert still["load_w"] == 0.0
    assert gpu["idle_w"] == pytest.approx(250.0, rel=0.1)
    assert gpu["update"]["seconds"] == pytest.approx(0.1, rel=0.3)
    assert gpu["load_w"] is None
    assert abs(gpu["counter_vs_power_pct"]["idle"]) < 10.0
    assert 1 <= found["processes"] <= load_run.logical_processors()
    (reason,) = [text for text in found["not_checked"] if text.startswith("load of the GPUs")]
    assert "PyTorch is not installed or cannot be imported (none in this test)" in reason


def test_processes_that_load_the_processors_end_with_their_block() -> None:
    with load_run.busy_processes(2, 60.0) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert None not in [process.poll() for process in processes]


def test_processes_that_load_the_processors_end_with_a_killed_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{BUSY}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert int(parent.stdout.readline()) == parent.pid
    parent.kill()
    # They have inherited the pipe: it ends when the last of them does.
    assert parent.communicate(timeout=60) == (b"", None)


def test_a_machine_without_a_meter_is_not_loaded() -> None:
    said: list[str] = []
    check = load_run.run_check(Detection(()), 5.0, said.append)
    assert (check.processes, check.problems, said) == (0, [], [])
    assert check.not_checked == ["everything: this machine has no meter"]


def test_lines_of_libraries_between_the_events_are_skipped(tmp_path: Path) -> None:
    output = tmp_path / "events"
    output.write_bytes(
        b'warning\n{"event": "load", "start_ns": 1}\n[1]\n{"a": 1}\n\xff{"event": "end'
    )
    assert load_run.read_events(output) == [{"event": "load", "start_ns": 1}]


def test_figures_of_a_gpu_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    device = DeviceCheck(
        "gpu:0",
        "gpu",
        "H100",
        "NVML energy counter",
        update=Update(0.1, is_limit=False),
        power_update=Update(0.0012, is_limit=True),
        idle_w=70.0,
        load_w=650.0,
        only_rises=True,
        windows=[WindowCheck(0.1, 50, 2.0, 31.5)],
        kernels=[KernelWindow(0.1, 58.5, 65.0, -1.0)],
        counter_vs_power_pct={"load": -0.5},
    )
    drain = {"empty_us": 8.0, "step_ms": 0.3, "step_with_drain_ms": 0.35}
    steps = {"step_ms": 0.3, "step_with_callback_ms": 0.3004}
    check = load_run.LoadCheck(30.0, 16, [device], {"drain": drain, "steps": steps}, ["this: why"])
    load_table.show(check, PlainConsole(width=200))
    shown = capsys.readouterr().out
    for text in (
        "│ gpu: H100 │ 100 ms", "power ≤ 1.2 ms", "650 W", "load -0.5 %", "31.5/-/-/- %",
        "kernels for 100 ms: 58.5 J, expected 65.0 J (-10.0 %; ", "until 0.25 s later -1.0 %)",
        "torch.cuda.synchronize: 8.0 us", "with it after each one 0.350 ms", "(+0.4 us)",
        "not checked: this: why", "counters checked: 1, no problem found",
    ):  # fmt: skip
        assert text in shown, text
    assert json.loads(json.dumps(load_table.as_data(check)))["problems"] == []


@pytest.mark.slow
def test_the_load_of_the_gpus_reports_when_kernels_ran_and_what_waiting_costs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
    monkeypatch.setattr(gpu_load, "_MATRIX", 64)
    gpu_load.load_gpus(torch, ["cpu"], lambda gpu: None, 0.2, kernels_s=(0.05,), count=2)
    events: list[dict[str, Any]] = [
        json.loads(line) for line in capsys.readouterr().out.splitlines()
    ]
    assert [event["event"] for event in events] == ["load", "kernels", "drain", "steps", "end"]
    load, kernels, drain, steps = events[:4]
    assert load["end_ns"] - load["start_ns"] >= 0.2e9
    assert kernels["start_ns"] >= load["end_ns"]
    assert kernels["end_ns"] - kernels["start_ns"] >= 0.05e9
    assert min(drain["step_ms"], drain["step_with_drain_ms"], steps["step_with_callback_ms"]) > 0.0
